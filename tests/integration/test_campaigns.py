"""Who gets a campaign's message, and why not where not: decided in rows."""

from __future__ import annotations

import time
from datetime import timedelta
from importlib import resources
from uuid import uuid4

import pytest

from horizon.delivery import templating
from horizon.delivery.templating import compile_template
from horizon.errors import TemplateError, UsageError
from horizon.pipeline import stages
from tests import merging
from tests.world import DAY, NOW, World


def _decided(world: World) -> dict[str, str]:
    query = (
        "SELECT n.value, coalesce(m.reason, m.status) AS verdict FROM messages m JOIN nodes n USING (node)"
        " ORDER BY m.planned_at"
    )
    return {row.value: row.verdict for row in world.rows(query)}


def _at_risk(world: World) -> None:
    world.score()
    world.alert()


def test_consent_decides(world: World) -> None:
    world.person("yes", 13 * DAY)
    world.person("no", 13 * DAY, consent=False)
    world.person("silent", 13 * DAY, consent=None)
    world.person("noaddress", 13 * DAY, email=None)
    world.person("withdrew", 13 * DAY)
    world.put(world.identify("withdrew", 2 * DAY, consent=False))
    world.person("again", 13 * DAY, consent=False)
    world.put(world.identify("again", 2 * DAY, consent=True))
    _at_risk(world)
    world.plan()
    assert _decided(world) == {
        "yes": "planned", "no": "refused", "silent": "no_consent", "noaddress": "no_address",
        "withdrew": "refused", "again": "planned",
    }  # fmt: skip


def test_consent_that_comes_after_now_does_not_exist_but_a_refusal_does(world: World) -> None:
    world.person("later_yes", 13 * DAY, consent=None)
    world.person("later_no", 13 * DAY)
    world.put(world.identify("later_yes", 1 * DAY, consent=True))
    world.put(world.identify("later_no", 1 * DAY, consent=False))
    world.now -= 2 * DAY
    _at_risk(world)
    world.plan()
    assert _decided(world) == {"later_yes": "no_consent", "later_no": "refused"}


def test_another_purpose_or_channel_is_no_consent(world: World) -> None:
    world.person("ann", 13 * DAY, consent=None)
    other = world.identify("ann", 2 * DAY)
    other["context"] = {
        "consent": {"categoryPreferences": {"newsletter.email": True, "marketing.sms": True}}
    }
    world.put(other)
    _at_risk(world)
    world.plan()
    assert _decided(world) == {"ann": "no_consent"}


@pytest.mark.parametrize("purpose", ["*", "marketing"])
def test_a_suppressed_address_gets_nothing_whoever_has_it(world: World, purpose: str) -> None:
    world.person("ann", 13 * DAY, email="Ann@Example.com")
    world.person("bob", 13 * DAY, email="ann@example.com ")
    _at_risk(world)
    world.rows(
        "INSERT INTO suppressions SELECT value_node, %s, 'complaint', now() FROM traits"
        " WHERE name = 'email' LIMIT 1 RETURNING 1",
        purpose,
    )
    world.plan()
    assert set(_decided(world).values()) == {"complaint"}


def test_an_address_that_two_profiles_share_gets_one_mail(world: World) -> None:
    world.person("ann", 13 * DAY, email="both@example.com")
    world.person("bob", 13 * DAY, email="BOTH@example.com")
    _at_risk(world)
    world.plan()
    assert sorted(_decided(world).values()) == ["planned", "same_address"]


@pytest.mark.parametrize(
    "address",
    ["plain", "two@@example.com", "a b@example.com", "a@b", "a@example.com\r\nBcc: x@example.com",
     "<a@example.com>", "a@example.com,b@example.com", "@example.com", "a@.com", "x" * 250 + "@example.com"],
)  # fmt: skip
def test_what_only_looks_like_an_address_is_skipped(world: World, address: str) -> None:
    world.person("ann", 13 * DAY, email=address)
    _at_risk(world)
    world.plan()
    assert _decided(world)["ann"] in ("invalid_address", "no_address")


def test_a_rerun_decides_nothing_twice(world: World) -> None:
    world.person("yes", 13 * DAY)
    world.person("no", 13 * DAY, consent=False)
    _at_risk(world)
    world.plan()
    figures = world.plan().figures
    assert (figures["planned"], figures["skipped"]) == (0, 0)
    assert len(world.rows("SELECT FROM messages")) == 2


def test_good_activity_is_for_the_engaged_every_thirty_days(world: World) -> None:
    world.person("engaged", 1 * DAY)
    world.person("medium", 8 * DAY)
    world.person("gone", 20 * DAY)
    world.put(world.identify("onlyknown", 0 * DAY, email="only@example.com", consent=True))
    world.score()
    world.plan("good_activity")
    assert _decided(world) == {"engaged": "planned"}
    for days, expected in ((1, 0), (29, 0), (30, 1)):
        world.now += days * DAY - timedelta(0)
        world.put(world.track("engaged", 1 * DAY))
        world.score()
        assert world.plan("good_activity").figures["planned"] == expected, days
        world.now -= days * DAY


def test_the_message_keeps_what_it_says_of_the_person(world: World) -> None:
    world.person("ann", 13 * DAY)
    _at_risk(world)
    world.plan()
    (row,) = world.rows(
        "SELECT variables, tier, alert_id, template_digest, consent_id FROM messages"
    )
    (consent,) = world.rows("SELECT consent_id FROM consents")
    assert row.consent_id == consent.consent_id
    assert row.variables == {
        "first_name": "Ann", "tier": "high", "activity_count": 1, "days_silent": 13,
        "last_seen": "2026-06-02", "score_percent": 93,
    }  # fmt: skip
    assert row.alert_id is not None
    assert len(row.template_digest) == 64


def test_a_missing_variable_stops_the_campaign_before_the_first_row(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "<mjml><mj-head><mj-title>Hi</mj-title></mj-head><mj-body><mj-section><mj-column><mj-text>{{ shoe_size }}</mj-text></mj-column></mj-section></mj-body></mjml>"
    monkeypatch.setattr(templating, "load_template", lambda _: compile_template("broken", source))
    world.person("ann", 13 * DAY)
    _at_risk(world)
    with pytest.raises(TemplateError, match="shoe_size"):
        world.plan()
    assert world.rows("SELECT FROM messages") == []


@pytest.mark.parametrize("lacking", ["unsubscribe_url", "postal_address"])
def test_no_campaign_begins_without_a_way_out_and_a_postal_address(
    world: World, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    shipped = resources.files("horizon.delivery.channels.smtp") / "templates" / "miss_you.mjml"
    source = shipped.read_text().replace(f"{{{{ {lacking} }}}}", "https://shop.example/")
    monkeypatch.setattr(templating, "load_template", lambda _: compile_template("bare", source))
    world.person("ann", 13 * DAY)
    _at_risk(world)
    with pytest.raises(TemplateError, match=rf"\{{\{{ {lacking} \}}\}} into its footer"):
        world.plan()
    with pytest.raises(TemplateError, match=lacking):
        stages.plan_demo(
            world.horizon, "me@shop.example", aggregated=False, now=NOW, correlation_id=uuid4()
        )
    assert world.rows("SELECT FROM messages") == []


def test_an_unknown_campaign_names_those_there_are(world: World) -> None:
    with pytest.raises(UsageError, match="good_activity, miss_you"):
        stages.plan_campaign(world.horizon, "miss_yuo")


def test_after_a_restore_nobody_is_written_to_until_the_cooldown_is_over(world: World) -> None:
    world.person("ann", 13 * DAY)
    _at_risk(world)
    world.rows(
        "INSERT INTO restores VALUES (%s, %s, false) RETURNING 1",
        world.now - 6 * DAY,
        world.now - 9 * DAY,
    )
    world.plan()
    assert _decided(world) == {"ann": "restored"}
    world.now += 8 * DAY
    _at_risk(world)
    assert world.plan().figures["planned"] == 1


def test_of_two_merged_consents_the_stricter_holds(world: World) -> None:
    world.person("phone", 13 * DAY, email="ann@example.com")
    world.person("laptop", 13 * DAY, email="old@example.com", consent=False)
    world.identify_all()
    merging.merge(world, "phone", "laptop")
    _at_risk(world)
    world.plan()
    assert set(_decided(world).values()) == {"refused"}


def test_a_no_for_an_address_holds_whoever_has_it(world: World) -> None:
    world.person("first", 13 * DAY, email="ann@example.com", consent=False)
    world.person("second", 13 * DAY, email="ann@example.com", consent=None)
    world.put({**world.identify("second", 30 * DAY, consent=True)})
    _at_risk(world)
    world.plan()
    assert _decided(world)["second"] == "refused"


@pytest.mark.slow
def test_every_stage_grows_with_the_people_and_not_with_their_square(world: World) -> None:
    """Also before the first ANALYZE: a plan without statistics once took 7 minutes for these."""
    people = [f"u{number}" for number in range(20_000)]
    world.put(*(world.identify(user, email=f"{user}@example.com", consent=True) for user in people))
    world.put(*(world.track(user, 13 * DAY) for user in people))
    started = time.monotonic()
    world.score()
    world.alert()
    assert world.plan().figures["planned"] == len(people)
    assert len(world.rows("SELECT * FROM users")) == len(people)
    assert len(world.rows("SELECT * FROM notifications_log")) == len(people)
    assert len(world.rows("SELECT * FROM current_scores")) == len(people)
    assert time.monotonic() - started < 30
