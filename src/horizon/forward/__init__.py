"""Accepted events are sent on to other endpoints of Segment's protocol, so that a team can run both
side by side and compare."""
