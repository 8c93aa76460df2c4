"""The chain: whatever is changed in it is seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from horizon.history.rules import FIRST, Body, Seal, chained, check_chain, check_head, seal_hash

AT = datetime(2026, 6, 15, 12, 0, 0, 250_000, tzinfo=UTC)
bodies = st.lists(
    st.tuples(st.integers(1, 1000), st.binary(min_size=32, max_size=32)), max_size=8
).map(lambda found: [Body(number, *one) for number, one in enumerate(found, 1)])


@given(bodies, st.integers(0, 8))
def test_a_chain_holds_however_it_was_grown(found: list[Body], cut: int) -> None:
    first = chained(FIRST, found[:cut], AT)
    grown = first + chained(first[-1].hash if first else FIRST, found[cut:], AT)
    assert grown == chained(FIRST, found, AT)
    assert check_chain(grown, found) == []
    for seal in grown:
        assert check_head(grown, seal.hash.hex().upper()) is None


@given(bodies.filter(bool), st.data())
def test_any_change_is_seen(found: list[Body], data: st.DataObject) -> None:
    seals = chained(FIRST, found, AT)
    place = data.draw(st.integers(0, len(seals) - 1))
    seal = seals[place]
    other = data.draw(st.binary(min_size=32, max_size=32))
    changed = data.draw(st.sampled_from([
        replace(seal, entries=seal.entries + 1), replace(seal, previous=other), replace(seal, hash=other),
        replace(seal, body=other), replace(seal, sealed_at=AT.replace(microsecond=1)),
    ]))  # fmt: skip
    if changed == seal:
        return
    problems = check_chain([*seals[:place], changed, *seals[place + 1 :]], found)
    assert seal.batch in {one.batch for one in problems}


@given(bodies.filter(lambda found: len(found) > 1), st.data())
def test_a_batch_that_is_forged_whole_is_seen_by_the_next_one(
    found: list[Body], data: st.DataObject
) -> None:
    seals = chained(FIRST, found, AT)
    place = data.draw(st.integers(0, len(seals) - 2))
    forged = replace(seals[place], body=bytes(31) + b"\1", hash=b"")
    forged = replace(forged, hash=seal_hash(forged))
    planted = [*found[:place], replace(found[place], body=forged.body), *found[place + 1 :]]
    problems = check_chain([*seals[:place], forged, *seals[place + 1 :]], planted)
    assert [one.batch for one in problems] == [place + 2]
    assert check_head([*seals[:place], forged], seals[place].hash.hex()) is not None


def test_to_forge_a_batch_is_to_change_every_hash_after_it() -> None:
    found = [Body(number, 1, bytes([number]) * 32) for number in (1, 2)]
    seals = chained(FIRST, found, AT)
    forged = replace(seals[0], body=bytes(32))
    forged = replace(forged, hash=seal_hash(forged))
    followed = replace(seals[1], previous=forged.hash)
    planted = [replace(found[0], body=bytes(32)), found[1]]
    [problem] = check_chain([forged, followed], planted)
    assert (problem.batch, problem.what) == (2, "its seal was changed")
    anew = replace(followed, hash=seal_hash(followed))
    assert check_chain([forged, anew], planted) == []
    assert check_head([forged, anew], seals[1].hash.hex()) is not None


def test_entries_without_a_seal_are_seen() -> None:
    found = [Body(1, 1, bytes(32)), Body(2, 1, bytes(32))]
    assert [one.batch for one in check_chain(chained(FIRST, found[:1], AT), found)] == [2]


def test_a_seal_without_entries_is_seen() -> None:
    found = [Body(1, 3, bytes(32))]
    [problem] = check_chain(chained(FIRST, found, AT), [])
    assert problem.what == "0 of its 3 entries are there"


def test_the_hash_does_not_depend_on_the_clock_s_zone() -> None:
    seal = Seal(1, 1, FIRST, bytes(32), b"", AT)
    assert seal_hash(seal) == seal_hash(replace(seal, sealed_at=AT.astimezone()))
