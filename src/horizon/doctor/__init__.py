"""Looks a whole installation over and says of each part what to do."""
