"""What an ASGI application does around its answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import perf_counter

from horizon.log import Logger
from horizon.serving.http import (
    Reading,
    Receive,
    Refusal,
    Reply,
    Request,
    Scope,
    Send,
    send_reply,
)


class Application(ABC):
    def __init__(self, log: Logger) -> None:
        self._log = log
        self._reading = Reading()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            began_s = perf_counter()
            request = Request(scope, receive, self._reading)
            try:
                reply = await self._answer(request)
            finally:
                request.release()
            await send_reply(send, reply, with_body=request.method != "HEAD")
            self.answered(request, reply, perf_counter() - began_s)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, request: Request) -> Reply:
        try:
            return await self.route(request)
        except Exception as exc:  # noqa: BLE001 - one request must not harm the others
            self._log.error("request_failed", error=type(exc).__name__)
            return self.refused(
                Refusal(
                    500, "internal_error", "The request could not be answered: tell the operator."
                )
            )

    def refused(self, refusal: Refusal) -> Reply:
        return refusal.reply()

    @abstractmethod
    async def start(self) -> None:
        """What is to be done before the first request."""

    @abstractmethod
    async def stop(self) -> None:
        """And after the last; a second call finds nothing to do."""

    @abstractmethod
    async def route(self, request: Request) -> Reply: ...

    @abstractmethod
    def answered(self, request: Request, reply: Reply, seconds: float) -> None:
        """The client has its answer: count it."""
