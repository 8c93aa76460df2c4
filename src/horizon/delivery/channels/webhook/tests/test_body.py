"""Bodies: a value is a value, whatever is in it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.delivery.channels.webhook.body import (
    MOST_BYTES,
    compile_template,
    load_template,
    shipped,
    values_of,
)
from horizon.delivery.ports import PERSON_VARIABLES, Claimed
from horizon.errors import TemplateError
from tests.world import NOW

PERSON = {
    "first_name": "Ann", "tier": "high", "activity_count": 3, "days_silent": 13,
    "last_seen": "2026-06-02", "score_percent": 93,
}  # fmt: skip


def message(**more: Any) -> Claimed:
    values = {
        "message_id": UUID(int=7), "campaign": "told", "profile_id": 3, "user_id": "ann",
        "to_addr": "https://hooks.example/", "domain": "hooks.example", "tier": "high",
        "variables": PERSON, "template": "full",
        "occasion": "day:2026-06-15", "planned_at": NOW, "tracked": False, "attempts": 0, **more,
    }  # fmt: skip
    return Claimed(**values)


def test_what_the_shipped_templates_say() -> None:
    assert shipped() == ("full", "thin")
    said = json.loads(load_template("full").render(values_of(message())))
    assert said == {
        "type": "campaign.message.full",
        "timestamp": NOW.isoformat(),
        "data": {
            "message_id": str(UUID(int=7)), "campaign": "told", "occasion": "day:2026-06-15",
            "profile": "p3", "user_id": "ann",
            **PERSON,
        },
    }  # fmt: skip
    said = json.loads(load_template("thin").render(values_of(message(user_id=None))))
    assert said == {
        "type": "campaign.message.thin",
        "timestamp": NOW.isoformat(),
        "data": {"message_id": str(UUID(int=7)), "campaign": "told", "user_id": None},
    }


@pytest.mark.parametrize("name", shipped())
def test_shipped_templates_use_what_every_message_has(name: str) -> None:
    known = {
        *PERSON_VARIABLES,
        "message_id",
        "campaign",
        "profile",
        "user_id",
        "occasion",
        "planned_at",
    }
    assert load_template(name).variables <= known
    assert set(values_of(message())) >= load_template(name).variables


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text())
def test_a_name_is_a_name(first_name: str, key: str) -> None:
    template = compile_template("t", b'{"$k": ["$first_name", {"x": "$first_name"}], "y": "a $b"}')
    said = json.loads(template.render({"first_name": first_name, "k": key}))
    assert said == {"$k": [first_name, {"x": first_name}], "y": "a $b"}


@pytest.mark.parametrize(
    "first_name", ['", "admin": true, "x": "', "$user_id", "a\r\nb\0", "\u2028"]
)
def test_values_that_look_like_more(first_name: str) -> None:
    body = load_template("full").render(
        values_of(message(variables={**PERSON, "first_name": first_name}))
    )
    assert json.loads(body)["data"]["first_name"] == first_name
    assert json.loads(body)["data"]["user_id"] == "ann"
    assert b"\n" not in body


def test_a_trait_does_not_take_the_place_of_the_message_s_own() -> None:
    values = values_of(message(variables={**PERSON, "user_id": "somebody else", "campaign": "x"}))
    assert (values["user_id"], values["campaign"]) == ("ann", "told")


def test_what_cannot_be_said_is_this_message_s_trouble_alone() -> None:
    template = load_template("full")
    with pytest.raises(TemplateError, match=r"\$activity_count, which is not there"):
        template.render({})
    with pytest.raises(TemplateError, match="cannot be filled"):
        template.render(values_of(message(user_id="\ud800")))
    with pytest.raises(TemplateError, match=f"more than {MOST_BYTES}"):
        template.render(values_of(message(user_id="x" * MOST_BYTES)))
    assert len(template.render(values_of(message(user_id="x" * 65_536)))) > 65_536


def test_a_template_that_is_not_there_or_no_json() -> None:
    with pytest.raises(TemplateError, match="use one of full, thin"):
        load_template("../full")
    with pytest.raises(TemplateError, match="is no JSON"):
        compile_template("t", b"{")


def test_the_digest_is_of_the_source() -> None:
    one, other = compile_template("t", b"{}"), compile_template("t", b"{ }")
    assert one.digest != other.digest == compile_template("x", b"{ }").digest
