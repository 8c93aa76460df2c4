"""The console as a Django application."""

from __future__ import annotations

from django.apps import AppConfig


class Console(AppConfig):
    name = "horizon.console"
    label = "console"

    def ready(self) -> None:
        from horizon.console import noted  # its receivers

        noted.connect()
