"""The profile API while the map changes: an answer is of one moment, a cursor goes on after it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from horizon.api import parts
from tests import merging
from tests.integration.test_profiles_api import Api, api, at_once

__all__ = ["api", "at_once"]


def test_nobody_is_half_merged_within_an_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bob is absorbed after he was found and before he is read."""
    world = api.world
    for hours, user in ((9, "ada"), (8, "bob")):
        world.put(world.track(user, timedelta(hours=hours)))
        world.identify_all()
    number = merging.profile(world, "bob")
    found = parts.profile_of

    def and_then_merged(*asked: Any) -> tuple[int | None, str | None]:
        answer = found(*asked)
        merging.merge(world, "ada", "bob")
        return answer

    monkeypatch.setattr(parts, "profile_of", and_then_merged)
    seen = api.get("/v1/profiles/user_id:bob")
    assert (seen["profile_id"], seen["user_id"], seen["identifiers"]) == (number, "bob", 1)
    monkeypatch.setattr(parts, "profile_of", found)
    assert api.get("/v1/profiles/user_id:bob")["profile_id"] != number


def test_a_cursor_goes_on_through_a_merge_and_a_split(api: Api) -> None:
    world = api.world
    for hours in range(1, 13):
        user = "ada" if hours % 2 else "bob"
        world.put(world.track(user, timedelta(hours=hours), f"{user}-{hours}"))
    world.identify_all()
    page = api.get("/v1/profiles/user_id:ada/events?limit=2")
    told = [one["event"] for one in page["data"]]
    merging.merge(world, "ada", "bob")
    page = api.get(page["cursor"]["url"])
    told += [one["event"] for one in page["data"]]
    merging.split(world, "ada", "bob")
    told += [one["event"] for one in api.pages(page["cursor"]["url"])]
    assert told == ["ada-1", "ada-3", "bob-4", "ada-5", "ada-7", "ada-9", "ada-11"]


@pytest.mark.parametrize("path", ["/healthz", "/v1/openapi.json", "/v1/profiles/user_id:ada", "/x"])
def test_head_is_answered_without_a_body_by_the_application_itself(api: Api, path: str) -> None:
    """A server in front of it that sent what it is given would send a body."""
    api.world.people("ada")
    api.world.identify_all()
    got, head = (api.ask(path, method=method) for method in ("GET", "HEAD"))
    assert (head.status, head.body) == (got.status, b"")
    assert int(head.headers["content-length"]) == len(got.body) > 0
