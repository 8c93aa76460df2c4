"""What delivery needs of a channel."""

from __future__ import annotations

from typing import Protocol


class Transport(Protocol):
    """One connection to a provider. Every method raises TransportError.

    ``offer`` may be taken back: nothing of the content has left. ``deliver`` sends the content
    and gives back the provider's answer; where it breaks, ``content_begun`` tells how far it got.
    """

    @property
    def connected(self) -> bool: ...

    def connect(self) -> None: ...

    def offer(self, to_addr: str) -> None: ...

    def withdraw(self) -> None: ...

    def deliver(self, content: bytes) -> str: ...

    def close(self) -> None: ...


class NullTransport:
    """Takes everything and sends nothing."""

    connected = True

    def connect(self) -> None:
        pass

    def offer(self, to_addr: str) -> None:
        pass

    def withdraw(self) -> None:
        pass

    def deliver(self, content: bytes) -> str:
        return f"250 2.0.0 taken by nobody, {len(content)} bytes"

    def close(self) -> None:
        pass
