"""Who the simulator's people are, and what they can buy: tables, no behaviour.

After the epoch's score with a window of 14 days, the personas' silence makes 35 people high (15 of
them at 1), 25 medium and 140 low. Every bound keeps some hours away from a threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Stance(StrEnum):
    """What a person says about mail."""

    AGREES = "agrees"
    REFUSES = "refuses"
    SILENT = "silent"  # never says anything
    WITHDRAWS = "withdraws"  # agrees first, unsubscribes after the last visit


@dataclass(frozen=True)
class Persona:
    people: int
    silent_days: tuple[float, float]  # from the last visit's end to the epoch
    visits: tuple[int, int]
    buys: float  # the chance that a visit with something in the cart ends with an order
    refuses: int
    says_nothing: int
    withdraws: int = 0
    without_email: int = 0

    def stances(self) -> Iterator[tuple[Stance, bool]]:
        """Each person's stance, and whether an address is known."""
        agree = self.people - self.refuses - self.says_nothing - self.withdraws
        yield from [(Stance.REFUSES, True)] * self.refuses
        yield from [(Stance.SILENT, True)] * self.says_nothing
        yield from [(Stance.WITHDRAWS, True)] * self.withdraws
        yield from ((Stance.AGREES, count >= self.without_email) for count in range(agree))


PERSONAS = {
    "regular": Persona(80, (0.01, 3), (5, 9), 0.5, refuses=12, says_nothing=2),
    "occasional": Persona(60, (1, 6.5), (2, 4), 0.4, refuses=9, says_nothing=1, without_email=1),
    "fading": Persona(25, (7.3, 9.4), (3, 6), 0.3, refuses=4, says_nothing=1),
    "leaving": Persona(
        20, (10.1, 13.6), (3, 6), 0.3, refuses=3, says_nothing=1, withdraws=1, without_email=1
    ),
    "gone": Persona(15, (15, 26), (1, 4), 0.2, refuses=2, says_nothing=1),
}

# Domains that RFC 2606 keeps for examples: a mail that escaped would reach nobody.
DOMAINS = ("example.com", "example.org", "example.net")

FIRST_NAMES = (
    "Ada", "Ben", "Clara", "Dina", "Emil", "Finn", "Greta", "Hana", "Ivo", "Jana", "Kofi", "Lena",
    "Milo", "Nora", "Omar", "Pia", "Quinn", "Rosa", "Sam", "Tara", "Uma", "Vera", "Wanda", "Yara",
    "Zoë", "José", "Søren", "Łucja", "Nguyệt", "Þóra", "Chloé", "Jürgen", "Αλεξία", "さくら",
)  # fmt: skip


@dataclass(frozen=True)
class Product:
    product_id: str
    name: str
    category: str
    price: float


PRODUCTS = (
    Product("tent-2", "Two-person tent", "Camping", 249.0),
    Product("stove-1", "Folding stove", "Camping", 64.5),
    Product("mug-4", "Enamel mug", "Camping", 12.9),
    Product("bag-30", "Day pack, 30 l", "Packs", 89.0),
    Product("bag-65", "Trekking pack, 65 l", "Packs", 189.0),
    Product("bottle-1", "Steel bottle, 1 l", "Packs", 27.9),
    Product("jacket-r", "Rain jacket", "Clothing", 139.0),
    Product("socks-3", "Wool socks, three pairs", "Clothing", 33.0),
    Product("hat-1", "Sun hat", "Clothing", 24.5),
    Product("lamp-h", "Head lamp", "Light", 45.0),
)

# How busy the shop is by hour (UTC) and by day from Monday, 1 = the busiest.
HOURS = (
    0.10, 0.06, 0.05, 0.05, 0.06, 0.12, 0.30, 0.45, 0.55, 0.60, 0.60, 0.65,
    0.75, 0.70, 0.60, 0.60, 0.65, 0.75, 0.90, 1.00, 1.00, 0.85, 0.55, 0.25,
)  # fmt: skip
WEEKDAYS = (0.70, 0.65, 0.65, 0.70, 0.80, 1.00, 0.95)
