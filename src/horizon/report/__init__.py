"""``horizon report``: the dashboard's pictures as one page, from the tables."""
