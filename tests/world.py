"""People for tests: events stored as the collector stores them, then the real stages."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from horizon.campaigns import stage as campaigns
from horizon.events import sources
from horizon.events.model import Source, read_message
from horizon.events.store import store
from horizon.pipeline import stages
from horizon.pipeline.installation import Installation
from horizon.pipeline.runner import Runner
from horizon.postgres.database import Role
from horizon.stage import StageResult

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class World:
    """One installation and a clock that stands still."""

    horizon: Installation
    now: datetime = NOW
    numbers: Any = field(default_factory=itertools.count)

    def put(
        self, *items: dict[str, Any], kind: str = "server", received_at: datetime | None = None
    ) -> int:
        """Store messages of Segment's form, received at once."""
        received_at = received_at or self.now
        with self.horizon.database.transaction(Role.WORKER) as tx:
            source = self.source(tx, kind)
            events = [
                read_message(
                    {"messageId": f"m{next(self.numbers)}", **item},
                    source=source, received_at=received_at, sent_at=received_at,
                    node_key=self.horizon.keys.node, kinds=self.horizon.kinds,
                )
                for item in items
            ]  # fmt: skip
            return store(tx, events, era=self.horizon.era())

    def source(self, tx: Any, kind: str) -> Source:
        if kind == "internal":
            found = sources.find_source(tx, "horizon")
        else:
            found = sources.find_source(tx, kind)
            if found is None:
                sources.add_source(tx, kind, kind)  # type: ignore[arg-type]
                found = sources.find_source(tx, kind)
        assert found is not None
        return found

    def track(
        self, user: str, ago: timedelta, event: str = "Product Viewed", **more: Any
    ) -> dict[str, Any]:
        return {
            "type": "track", "userId": user, "event": event,
            "timestamp": (self.now - ago).isoformat(), **more,
        }  # fmt: skip

    def identify(
        self,
        user: str,
        ago: timedelta = 20 * DAY,
        *,
        email: str | None = None,
        consent: bool | None = None,
        **traits: Any,
    ) -> dict[str, Any]:
        if email is not None:
            traits["email"] = email
        item: dict[str, Any] = {
            "type": "identify", "userId": user, "traits": traits,
            "timestamp": (self.now - ago).isoformat(),
        }  # fmt: skip
        if consent is not None:
            item["context"] = {"consent": {"categoryPreferences": {"marketing.email": consent}}}
        return item

    def person(
        self, user: str, silent: timedelta, *, consent: bool | None = True, email: str | None = ""
    ) -> None:
        """Somebody with an address who said yes, last active ``silent`` ago."""
        self.put(*self._person(user, silent, consent=consent, email=email))

    def _person(
        self, user: str, silent: timedelta, *, consent: bool | None = True, email: str | None = ""
    ) -> list[dict[str, Any]]:
        address = f"{user}@example.com" if email == "" else email
        name = user.partition("@")[0].title()
        return [
            self.identify(user, 25 * DAY, email=address, consent=consent, first_name=name),
            self.track(user, silent),
        ]

    def people(self, *users: str, silent: timedelta = 13 * DAY) -> None:
        """Each like ``person``, stored together; a user id may be the address."""
        self.put(*(
            item for user in users
            for item in self._person(user, silent, email=user if "@" in user else "")
        ))  # fmt: skip

    def planned(self, *users: str) -> int:
        """These are about to leave, and whoever is has a mail that waits: how many that are."""
        self.people(*users)
        self.score()
        self.alert()
        return int(self.plan().figures["planned"])

    def sending(self, port: int, **more: Any) -> World:
        """The same, but mails go to a server of 127.0.0.1."""
        changed = self.horizon.settings.changed(
            **{"SMTP_HOST": "127.0.0.1", "SMTP_PORT": port, "SMTP_TIMEOUT_S": 3, **more}
        )
        return replace(self, horizon=replace(self.horizon, settings=changed))

    def states(self) -> dict[str, str]:
        """What became of each message, by the name in its address."""
        rows = self.rows("SELECT to_addr, status FROM notifications_log")
        return {row.to_addr.partition("@")[0]: row.status for row in rows}

    @property
    def runner(self) -> Runner:
        return self.horizon.runner

    def identify_all(self) -> StageResult:
        return self.runner.run(
            stages.identity_stage(self.horizon.keys, self.horizon.settings), self.now
        )

    def score(self) -> StageResult:
        return stages.score(self.horizon, self.now)

    def alert(self, threshold: float | None = None) -> StageResult:
        return self.runner.run(stages.alert_stage(self.horizon.settings, threshold), self.now)

    def plan(self, campaign: str = "miss_you") -> StageResult:
        return stages.plan_campaign(self.horizon, campaign, self.now)

    def rows(self, query: str, *parameters: object) -> list[Any]:
        with self.horizon.database.transaction(Role.OWNER) as tx:
            return tx.execute(query.encode(), parameters or None).fetchall()

    def change(self, statement: str, *parameters: object) -> None:
        """What no command of ours does, as the owner."""
        with self.horizon.database.transaction(Role.OWNER) as tx:
            tx.execute(statement.encode(), parameters or None)

    def scores(self) -> dict[str, float]:
        return {
            row.user_id: row.score for row in self.rows("SELECT user_id, score FROM current_scores")
        }


def chunks_of(monkeypatch: pytest.MonkeyPatch, *sizes: int, lanes: int = 1) -> None:
    """Planning takes so many people at once."""
    begin = campaigns.Planning.__init__
    monkeypatch.setattr(begin, "__kwdefaults__", {**(begin.__kwdefaults__ or {}), "sizes": sizes})
    monkeypatch.setattr(campaigns, "FEW", 2)
    monkeypatch.setattr(campaigns, "LANES", lanes)
