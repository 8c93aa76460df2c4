"""A story in words: sections that the text and the page share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from horizon.observe.explain.rules import DAY_S
from horizon.observe.explain.story import Consent, Record, Score, Story

Row = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A heading, one sentence, facts by name, and a table."""

    title: str
    lead: str = ""
    facts: Sequence[tuple[str, str]] = ()
    head: Row = ()
    rows: Sequence[Row] = field(default=())
    after: str = ""


def sections(story: Story) -> list[Section]:
    """In the order of the chain, from the decision down to what came back."""
    parts: tuple[Callable[[Story], Iterator[Section]], ...] = (
        _decision, _alert, _score, _events, _person, _consent, _campaign, _delivery, _responses,
        _runs, _sealed,
    )  # fmt: skip
    return [section for part in parts for section in part(story)]


def moment(instant: datetime | None) -> str:
    """``2026-06-15 12:00:00.000 UTC``."""
    if instant is None:
        return ""
    utc = instant.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03d} UTC"


def second(instant: datetime | None) -> str:
    """``2026-06-15 12:00:00``, for tables."""
    return "" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def number(value: float) -> str:
    """``14`` and not ``14.0``; never in powers of ten."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def sum_of(score: Score) -> str:
    """The score's arithmetic, to be done again with a pencil."""
    window_s = score.window_days * DAY_S
    told = (
        f"{number(score.silent_s)} s of silence / {number(window_s)} s "
        f"({number(score.window_days)} days) = {score.ratio:.6f}"
    )
    if score.silent_s < 0:
        return f"{number(score.silent_s)} s of silence count as none: {score.score:.6f}"
    return f"{told}, at most 1: {score.score:.6f}" if score.ratio > 1 else told


def _decision(story: Story) -> Iterator[Section]:
    one = story.decision
    facts = [
        ("status", one.status), ("reason", one.reason or ""), ("campaign", one.campaign),
        ("occasion", one.occasion), ("step", str(one.step)),
        ("reached instead by", str(one.instead or "")),
        ("planned by run", str(one.run_id or "")), ("correlation id", str(one.correlation_id)),
    ]  # fmt: skip
    rows = [(f"this {reached.of}", str(reached.message_id)) for reached in one.reached]
    yield Section(
        f"Message {story.message_id}", one.why, _told(facts),
        ("reached on this occasion", "by message"), rows,
    )  # fmt: skip


def _alert(story: Story) -> Iterator[Section]:
    one = story.alert
    if one is None:
        return
    yield Section(
        f"Alert {one.alert_id}",
        f"The score of {one.score:.6f} reached the threshold of {number(one.threshold)}.",
        _told([
            ("rule", one.rule), ("status", one.status), ("tier", one.tier),
            ("NEW", moment(one.created_at)), ("NOTIFIED", moment(one.notified_at)),
            ("RESOLVED", moment(one.resolved_at)), ("no other until", moment(one.quiet_until)),
        ]),
    )  # fmt: skip


_SOURCES = {
    "alert": "kept with the alert",
    "run": "the row of its run",
    "events": "counted again from the events, since only the newest three runs are kept",
}


def _score(story: Story) -> Iterator[Section]:
    one = story.score
    if one is None:
        return
    since = "the last activity" if one.since == "last_activity" else "the first event"
    yield Section(
        f"Score {one.score:.6f}, {one.tier}",
        f"{sum_of(one)}.",
        _told([
            (f"silent since ({since})", moment(one.silent_from)), ("as of", moment(one.scored_at)),
            ("activities in the window", str(one.activities)),
            ("high from", number(one.high)), ("medium from", number(one.medium)),
            ("scorer's run", str(one.score_run)), ("these facts are", _SOURCES[one.source]),
        ]),
    )  # fmt: skip


def _events(story: Story) -> Iterator[Section]:
    found = story.events
    if found is None:
        return
    rows = [
        (second(one.time), one.name or one.type, "yes" if one.in_window else "no",
         str(one.event_id), one.source, one.message_id)
        for one in found.listed
    ]  # fmt: skip
    yield Section(
        "Events",
        f"{_activities(found.activities)} known, {found.in_window:,} of them in the window; "
        "the newest first.",
        (), ("time", "what", "in the window", "event", "source", "messageId"), rows,
        f"and {found.more:,} older" if found.more else "",
    )  # fmt: skip


def _activities(number: int) -> str:
    return "1 activity was" if number == 1 else f"{number:,} activities were"


def _person(story: Story) -> Iterator[Section]:
    one = story.person
    moved = one.profile_now is not None and one.profile_now != one.profile_id
    yield Section(
        "Person",
        "" if one.nodes else "Of this person nothing is stored any more, or there is none.",
        _told([
            ("user", one.user_id or ""), ("address", one.address or ""),
            ("profile", f"p{one.profile_id}"),
            ("profile now", f"p{one.profile_now}" if moved else ""),
            ("decided for node", str(one.node or "")),
        ]),
        ("identifier", "value", "node", "first seen"),
        [(node.kind + ("" if node.live else " (blocked)"), node.value, str(node.node),
          second(node.first_seen)) for node in one.nodes],
    )  # fmt: skip


def _consent(story: Story) -> Iterator[Section]:
    one = story.consent
    lead = "This mail needs none." if not one.needed else ""
    if one.needed and one.allowed_by is None and not one.when_decided:
        lead = "Nobody ever said anything."
    facts = [
        *((f"suppressed for {'everything' if s.purpose == '*' else s.purpose}",
           f"{s.reason}, {moment(s.created_at)}") for s in one.suppressions),
        ("wants one in days", number(one.preference.every_days)
         if one.preference and one.preference.every_days else ""),
        ("paused until", moment(one.preference.paused_until) if one.preference else ""),
    ]  # fmt: skip
    if one.opt_in is not None:
        facts += [
            ("opt-in", str(one.opt_in.opt_in_id)), ("asked", moment(one.opt_in.asked_at)),
            ("asked by event", str(one.opt_in.event_id or "")), ("wording", one.opt_in.wording),
            ("confirmed", moment(one.opt_in.confirmed_at)),
        ]  # fmt: skip
    yield Section(
        f"Consent to {one.purpose} by {one.channel}", lead, _told(facts),
        ("counted", "of", "said", "time", "record", "by", "wording", "event"), _records(one),
    )  # fmt: skip


def _records(consent: Consent) -> list[Row]:
    """A row a record, with when it held and for whom; the newest first."""
    when: dict[int, list[str]] = {}
    of: dict[int, set[str]] = {}
    records: dict[int, Record] = {}
    named = [("when decided", one) for one in consent.when_decided]
    named += [("when sent", one) for one in consent.when_sent]
    if consent.allowed_by is not None:
        named.insert(0, ("to allow it", consent.allowed_by))
    for word, one in named:
        records.setdefault(one.consent_id, one)
        told = when.setdefault(one.consent_id, [])
        told += [] if word in told else [word]
        of.setdefault(one.consent_id, set()).update({one.about} - {"record"})
    newest = sorted(records.values(), key=lambda one: (one.time, one.consent_id), reverse=True)
    return [
        (
            ", ".join(when[one.consent_id]), ", ".join(sorted(of[one.consent_id])),
            "yes" if one.granted else "no", second(one.time), str(one.consent_id),
            one.way if one.actor == "person" else f"{one.way}, {one.actor}", one.wording or "",
            str(one.event_id or ""),
        )
        for one in newest
    ]  # fmt: skip


def _campaign(story: Story) -> Iterator[Section]:
    one = story.campaign
    version = f"version {one.version}"
    if not one.version_known:
        version = f"its version then is not known, this is version {one.version}"
    elif one.newest_version != one.version:
        version += f"; version {one.newest_version} holds now"
    yield Section(
        f"Campaign {one.campaign}", f"As it was when this was planned: {version}.",
        _told([
            ("audience", one.audience), ("channel", one.channel), ("purpose", one.purpose),
            ("at most once in days", number(one.every_days) if one.every_days else ""),
            ("sent to", one.target_host or ""), ("since", moment(one.since)),
            ("template", story.template.template), ("template's digest", story.template.digest),
        ]),
    )  # fmt: skip


def _delivery(story: Story) -> Iterator[Section]:
    one, answer = story.delivery, story.delivery.answer
    facts = [(state.state, moment(state.at)) for state in one.states]
    facts += [
        ("due again", moment(one.due_at)), ("held", "by the breaker" if one.held else ""),
        ("attempts", str(one.attempts)),
    ]  # fmt: skip
    if answer is not None:
        facts += [
            ("provider answered", answer.text), ("code", str(answer.code or "")),
            ("status code", answer.status or ""), ("queue id", answer.queue_id or ""),
        ]  # fmt: skip
    yield Section(
        "Delivery", "", _told(facts), ("time", "what Horizon wrote down", "event"),
        [(second(told.time), told.name, str(told.event_id)) for told in one.events],
    )  # fmt: skip


def _responses(story: Story) -> Iterator[Section]:
    if story.responses:
        rows = [(second(one.time), one.kind, one.by, one.url or "", str(one.event_id))
                for one in story.responses]  # fmt: skip
        yield Section("Opens and clicks", "", (), ("time", "what", "by", "link", "event"), rows)


def _runs(story: Story) -> Iterator[Section]:
    rows = [
        (run.stage, run.campaign or "", run.status, second(run.started_at), str(run.run_id))
        for run in story.runs
    ]
    if rows:
        yield Section(
            "Runs", "The stages that ran in one go with the planning.", (),
            ("stage", "campaign", "status", "started", "run"), rows,
        )  # fmt: skip


def _sealed(story: Story) -> Iterator[Section]:
    rows = [
        (f"{one.thing} {one.state}", second(one.sealed_at), f"{one.batch}, {one.place}", one.hash)
        for one in story.sealed
    ]
    lead = "`horizon audit verify` proves that nobody changed it since."
    yield Section(
        "Sealed", lead if rows else "Not yet: the next run seals it.", (),
        ("what", "when", "batch, place", "the batch's hash"), rows,
    )  # fmt: skip


def _told(facts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in facts if value]
