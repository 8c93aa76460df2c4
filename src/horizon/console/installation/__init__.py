"""The installation itself: the settings it runs with, and who reads profiles through the API."""
