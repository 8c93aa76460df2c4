"""A channel's tests ask for what all tests may ask for."""

from tests.conftest import free_port

__all__ = ["free_port"]
