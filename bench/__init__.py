"""``python -m bench NAME``: one JSON line a figure, its reference measured in the same run."""
