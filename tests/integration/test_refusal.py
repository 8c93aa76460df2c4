"""Planning decides consent for all at once, refusal() for one: the same answer for everybody."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from horizon.campaigns import stage as campaigns
from horizon.postgres.database import Connection, Database, Role
from horizon.stage import Window
from tests.world import DAY, NOW

PEOPLE = 600
REASONS = {
    None, "unsubscribed", "hard_bounce", "complaint", "domain_manual", "domain_null_mx",
    "no_consent", "refused", "paused", "less_often",
}  # fmt: skip
CAMPAIGN = campaigns.Campaign(
    "good_activity", "engaged", "good_activity", "email", "marketing", 30, None
)


class Population:
    """People with every mixture of what decides; reproducible by its seed."""

    def __init__(self, tx: Connection, seed: int) -> None:
        self.tx = tx
        self.random = random.Random(seed)
        self.addresses = [self.uuid() for _ in range(PEOPLE + 1)]

    def uuid(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def often(self, share: float) -> bool:
        return self.random.random() < share

    def time(self) -> datetime:
        """Whole days about now, so that times are often equal, and some are to come."""
        return NOW + self.random.randint(-6, 2) * DAY

    def make(self) -> None:
        for domain, reason in (("manual.example", "manual"), ("null.example", "null_mx")):
            self.put("suppressed_domains", domain=domain, reason=reason, created_at=NOW)
        self.tx.execute(
            "INSERT INTO score_runs (correlation_id, now, window_days, high, medium)"
            " VALUES (gen_random_uuid(), %s, 14, 0.7, 0.5)", [NOW],
        )  # fmt: skip
        self.tx.execute("SELECT open_score_run(1)")
        for number in range(PEOPLE):
            self.person(number)
        self.tx.execute("SELECT close_score_run(1)")

    def person(self, number: int) -> None:
        made = self.tx.execute("INSERT INTO profiles (created_at) VALUES (%s) RETURNING 1", [NOW])
        assert made.rowcount == 1
        profile = number + 1
        nodes = [self.uuid() for _ in range(self.random.choice([1, 1, 2, 3]))]
        address = self.addresses[number]
        for place, node in enumerate(nodes):
            self.put("nodes", node=node, kind="user_id" if place == 0 else "anonymous_id",
                     value=f"u{number}-{place}", profile_id=profile, first_seen=NOW,
                     dead=None if place == 0 or self.often(0.8) else "erased")  # fmt: skip
        domain = self.random.choice(["Good.example"] * 12 + ["manual.example", "NULL.example"])
        self.put("traits", node=nodes[0], name="email", value=f'"u{number}@{domain}"', value_node=address,
                 time=NOW, trusted=True, event_id=self.uuid())  # fmt: skip
        self.put("scores_1", score_run=1, profile_id=profile, silent_s=1, activities=1, score=0.1,
                 tier="low", ahead=False)  # fmt: skip
        self.consents(nodes, number)
        self.wishes(address)
        self.suppressions(address)

    def consents(self, nodes: list[UUID], number: int) -> None:
        """Also for nobody's address in particular, and for the next person's."""
        addresses = [self.addresses[number]] * 2 + [self.addresses[number + 1], None]
        for _ in range(self.random.choice([0, 1, 1, 1, 2, 3, 4])):
            self.put("consents", node=self.random.choice(nodes), address_hash=self.random.choice(addresses),
                     purpose=self.random.choice(["marketing"] * 5 + ["tracking"]),
                     channel=self.random.choice(["email"] * 5 + ["sms"]),
                     granted=self.often(0.8), time=self.time(), way="import")  # fmt: skip

    def wishes(self, address: UUID) -> None:
        for _ in range(self.random.choice([0, 0, 1, 2])):
            self.put("preferences", address_hash=address, channel=self.random.choice(["email"] * 4 + ["sms"]),
                     every_days=self.random.choice([None, 1, 30]), time=self.time(), way="page",
                     paused_until=self.random.choice([None, NOW - DAY, NOW, NOW + DAY]))  # fmt: skip
        for occasion in range(self.random.choice([0, 0, 1, 2])):
            self.put("messages", campaign=self.random.choice(["miss_you", "miss_you", "demo"]), profile_id=0,
                     occasion=f"{address}{occasion}", address_hash=address, template="t", template_digest="d",
                     status=self.random.choice(["sent", "delivered", "unknown", "failed", "planned"]),
                     correlation_id=self.uuid(), planned_at=NOW - self.random.choice([0, 1, 2, 31]) * DAY)  # fmt: skip

    def suppressions(self, address: UUID) -> None:
        for purpose in ("*", "marketing", "tracking"):
            if self.often(0.04):
                reason = self.random.choice(["unsubscribed", "hard_bounce", "complaint"])
                self.put(
                    "suppressions",
                    address_hash=address,
                    purpose=purpose,
                    reason=reason,
                    created_at=NOW,
                )

    def put(self, table: str, **values: Any) -> None:
        names, places = ", ".join(values), ", ".join(["%s"] * len(values))
        self.tx.execute(
            f"INSERT INTO {table} ({names}) VALUES ({places})".encode(), [*values.values()]
        )


@pytest.fixture(scope="module", params=range(4))
def people(request: pytest.FixtureRequest, module_database: Database) -> Iterator[Connection]:
    """A population by each seed; each test takes back what it plans for them."""
    with module_database.connect(Role.OWNER) as tx:
        tx.execute("TRUNCATE profiles RESTART IDENTITY CASCADE")
        tx.execute("TRUNCATE score_runs RESTART IDENTITY")
        Population(tx, request.param).make()
        yield tx
        tx.rollback()


@pytest.mark.parametrize("sizes", [(campaigns.FEW,), (campaigns.FEW + 1,), (7, 50, 1_000_000)])
@pytest.mark.parametrize("purpose", ["marketing", "tracking"])
def test_planning_and_refusal_agree(
    people: Connection, sizes: tuple[int, ...], purpose: str
) -> None:
    campaign = campaigns.Campaign(**{**CAMPAIGN.__dict__, "purpose": purpose})
    with people.transaction(force_rollback=True):
        asked = _asked_of_refusal(people, purpose)
        window = Window(NOW, uuid4(), uuid4(), 1, "1:1:")
        planning = campaigns.Planning(
            campaign, template_digest="d", cooldown_days=7, opt_ins_per_hour=1000, sizes=sizes
        )
        for _ in planning.run(people, window):
            pass
        decided = dict(
            people.execute(
                "SELECT profile_id, reason FROM messages WHERE correlation_id = %s",
                [window.correlation_id],
            ).fetchall()
        )
    assert len(decided) == PEOPLE
    assert decided == asked
    assert set(decided.values()) >= (REASONS if purpose == "marketing" else {None, "no_consent"})


def _asked_of_refusal(tx: Connection, purpose: str) -> dict[int, str | None]:
    rows = tx.execute(
        "SELECT n.profile_id, r.reason FROM traits t JOIN nodes n USING (node), refusal(n.profile_id,"
        " t.value_node, lower(split_part(t.value #>> '{}', '@', 2)), %s, 'email', %s) r",
        [purpose, NOW],
    )
    return dict(rows.fetchall())
