"""Brings the one log into a search server: every line once, whatever dies on the way."""
