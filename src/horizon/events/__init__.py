"""The hot store: what an event is, how one is read, and how it is kept once."""
