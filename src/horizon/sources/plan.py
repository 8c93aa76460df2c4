"""What the simulator's people do in the 30 days before an epoch: log in, look, buy, fall silent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

from horizon.sources.people import (
    DOMAINS,
    FIRST_NAMES,
    HOURS,
    PERSONAS,
    PRODUCTS,
    WEEKDAYS,
    Persona,
    Product,
    Stance,
)

SEED = 20250925
DAYS = 30
SHOP = "https://shop.horizon.example"
CONSENT = "marketing.email"

Values = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One call of the SDK; ``values`` are an identify's traits, else the properties."""

    kind: Literal["identify", "page", "track"]
    user_id: str
    message_id: str
    timestamp: datetime
    name: str = ""
    values: Values = field(default_factory=dict)
    context: Values = field(default_factory=dict)


@dataclass(frozen=True)
class _Step:
    at: datetime
    kind: Literal["identify", "page", "track"]
    name: str
    values: Values
    context: Values = field(default_factory=dict)


def plan(epoch: datetime, seed: int = SEED) -> list[Call]:
    """Every call of the 30 days before ``epoch``, in the order of time, the last one at least ten
    minutes before it. The same epoch and seed give the same calls and message ids."""
    epoch = epoch.astimezone(UTC)  # the shop's hours are those of UTC
    calls = [call for person in _people(seed) for call in person.calls(epoch, seed)]
    return sorted(calls, key=lambda call: (call.timestamp, call.message_id))


def _people(seed: int) -> Iterator[_Person]:
    drawn = [
        (persona, stance, reachable)
        for persona in PERSONAS.values()
        for stance, reachable in persona.stances()
    ]
    Random(seed).shuffle(drawn)  # so that a number tells nothing about its person
    for number, (persona, stance, reachable) in enumerate(drawn, start=1):
        yield _Person(number, persona, stance, reachable, Random(f"{seed}:{number}"))


@dataclass(frozen=True)
class _Person:
    number: int
    persona: Persona
    stance: Stance
    reachable: bool
    random: Random

    @property
    def user_id(self) -> str:
        return f"user-{self.number:03d}"

    def calls(self, epoch: datetime, seed: int) -> Iterator[Call]:
        run = f"{seed}-{epoch:%Y%m%dT%H%M%SZ}"
        for index, step in enumerate(self._steps(epoch)):
            message_id = f"sim-{run}-{self.number:03d}-{index:03d}"
            yield Call(
                step.kind, self.user_id, message_id, _whole_ms(step.at), step.name, step.values,
                step.context,
            )  # fmt: skip

    def _steps(self, epoch: datetime) -> Iterator[_Step]:
        ends = self._visit_ends(epoch)
        visits = [self._visit(count, end) for count, end in enumerate(ends)]
        traits = self._traits()
        joined = min(visit[0].at for visit in visits) - timedelta(
            seconds=self.random.uniform(5, 40)
        )
        yield _Step(joined, "identify", "", traits, self._consent(self.stance != Stance.REFUSES))
        for visit in visits:
            yield from visit
        if self.stance == Stance.WITHDRAWS:
            leaving = self._moment(ends[-1] + timedelta(hours=1), epoch - timedelta(days=1))
            yield _Step(leaving, "identify", "", traits, self._consent(granted=False))

    def _traits(self) -> Values:
        traits: Values = {"first_name": self.random.choice(FIRST_NAMES)}
        if self.reachable:
            domain = DOMAINS[self.number % len(DOMAINS)]
            traits["email"] = f"{self.user_id.replace('-', '.')}@{domain}"
        return traits

    def _consent(self, granted: bool) -> Values:
        if self.stance == Stance.SILENT:
            return {}
        return {"consent": {"categoryPreferences": {CONSENT: granted}}}

    def _visit_ends(self, epoch: datetime) -> list[datetime]:
        shortest, longest = (timedelta(days=days) for days in self.persona.silent_days)
        last = self._moment(epoch - longest, epoch - shortest)
        begin = epoch - timedelta(days=DAYS) + timedelta(hours=2)
        earlier = self.random.randint(*self.persona.visits) - 1
        return [*sorted(self._moment(begin, last) for _ in range(earlier)), last]

    def _moment(self, earliest: datetime, latest: datetime) -> datetime:
        """A time between the two, likelier at busy hours and on busy days."""
        while True:
            moment = earliest + (latest - earliest) * self.random.random()
            if self.random.random() < HOURS[moment.hour] * WEEKDAYS[moment.weekday()]:
                return moment

    def _visit(self, count: int, end: datetime) -> list[_Step]:
        """What happens in one visit, its last step at ``end``."""
        doings = list(self._doings(f"{self.number:03d}-{count:02d}"))
        times = [end]
        for _ in doings[1:]:
            times.append(times[-1] - timedelta(seconds=self.random.uniform(12, 150)))
        return [_Step(at, *doing) for at, doing in zip(reversed(times), doings, strict=True)]

    def _doings(self, visit: str) -> Iterator[tuple[Literal["page", "track"], str, Values]]:
        viewed = self.random.sample(PRODUCTS, self.random.choice((1, 1, 2, 2, 3)))
        yield "track", "Logged In", {"method": "password"}
        yield "page", "Home", {"path": "/", "url": f"{SHOP}/", "title": "Horizon Outfitters"}
        for product in viewed:
            yield "track", "Product Viewed", _item(product)
        if self.random.random() < 0.5:
            yield "track", "Product Added", {"cart_id": f"cart-{visit}", **_item(viewed[-1])}
            if self.random.random() < self.persona.buys:
                yield "track", "Order Completed", _order(visit, viewed[-1])


def _item(product: Product) -> Values:
    """A product as Segment's ecommerce spec writes it."""
    return {
        "product_id": product.product_id, "name": product.name, "category": product.category,
        "price": product.price, "currency": "EUR", "quantity": 1,
    }  # fmt: skip


def _order(visit: str, product: Product) -> Values:
    shipping = 0.0 if product.price >= 50 else 4.9
    return {
        "order_id": f"order-{visit}", "revenue": product.price, "shipping": shipping,
        "total": round(product.price + shipping, 2), "currency": "EUR",
        "products": [_item(product)],
    }  # fmt: skip


def _whole_ms(moment: datetime) -> datetime:
    # The client cuts a timestamp to milliseconds; cut here, what is read back can be compared.
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
