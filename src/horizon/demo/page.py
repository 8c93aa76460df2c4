"""``.horizon/demo.html``: one file that shows what the demo did, and why, person by person.

It runs no script and asks nobody for anything: its policy forbids both, also to the mails in it.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import jinja2

from horizon import look
from horizon.demo import pictures, words
from horizon.demo.evidence import Chain, LeftAlone
from horizon.demo.figures import TAKEN, TIERS, WAITING, Campaign, Crowd, Figures
from horizon.demo.pictures import Flow, Stop, Stream, Style

_Row = TypeVar("_Row", Chain, LeftAlone)

_FOLDER = Path(__file__).parent / "templates"

STAGES = ("Events in", "Identity", "Scores", "Alerts", "Campaigns", "Delivery", "Came back")
FILE_STAGES = STAGES[:3]


def write(path: Path, figures: Figures) -> None:
    """Write the page whole: a reader never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(render(figures).encode("utf-8", "replace"))
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def render(figures: Figures) -> str:
    templates = _templates()
    return templates.get_template("demo.html").render(
        figures=figures,
        tiers=TIERS,
        people_flows=_both_ways(STAGES, *_people_flow(figures), pictures.LYING),
        cdnow_flows=_both_ways(FILE_STAGES, *_cdnow_flow(figures), pictures.LANE),
        people_bins=pictures.histogram(figures.people.bins, TIERS),
        cdnow_bins=pictures.histogram(figures.cdnow.bins, TIERS),
        chains=_by_campaign(figures.chains),
        left_alone=[
            (campaign, len(people), _by_reason(people))
            for campaign, people in _by_campaign(figures.left_alone)
        ],
    )


def _day(instant: datetime) -> str:
    """Not broken at the end of a line."""
    return words.day(instant).replace(" ", "\N{NO-BREAK SPACE}")


def _by_campaign(rows: Sequence[_Row]) -> list[tuple[str, list[_Row]]]:
    return [(name, list(group)) for name, group in groupby(rows, key=lambda row: row.campaign)]


def _by_reason(people: Sequence[LeftAlone]) -> list[tuple[str, list[LeftAlone]]]:
    """The most frequent reason first."""
    found: dict[str, list[LeftAlone]] = {}
    for one in people:
        found.setdefault(words.outcome(one.status, one.reason), []).append(one)
    return sorted(found.items(), key=lambda reason: -len(reason[1]))


def _templates() -> jinja2.Environment:
    templates = look.templates(_FOLDER)
    for word in (words.number, words.counted, words.duration, words.plain, words.date,
                 words.moment, words.place):  # fmt: skip
        templates.filters[word.__name__] = word
    templates.filters["day"] = _day
    templates.globals.update(
        outcome=words.outcome, ways=words.WAYS, came_back=words.CAME_BACK, campaigns=words.CAMPAIGNS
    )
    return templates


def _both_ways(
    stages: Sequence[str], stops: Sequence[Stop], streams: Sequence[Stream], lying: Style
) -> tuple[Flow, Flow]:
    """For a wide window and for a phone."""
    return (
        pictures.flow(stages, stops, streams, lying),
        pictures.flow(stages, stops, streams, pictures.UPRIGHT),
    )


def _people_flow(figures: Figures) -> tuple[list[Stop], list[Stream]]:
    crowd, alerts = figures.people, figures.alerts
    stops = [
        _came_in("http", crowd, "events", "by HTTP"),
        Stop("people", 1, crowd.profiles, "people"),
        *_tiers(crowd),
        Stop("alerts", 3, alerts.total, "alerts", f"{alerts.open:,} open"),
    ]
    streams = [
        Stream("http", "people", crowd.profiles),
        *(Stream("people", tier, count, tier) for tier, count in crowd.tiers.items()),
        *(Stream(tier, "alerts", count, tier) for tier, count in alerts.by_tier.items()),
    ]
    for campaign in figures.campaigns:
        stops.append(Stop(campaign.name, 4, campaign.total, campaign.name, _planned(campaign)))
        streams.extend(_campaign_streams(campaign))
    stops.extend(_deliveries(figures))
    for reason, addresses in figures.came_back.items():
        stops.append(Stop(reason, 6, addresses, words.CAME_BACK.get(reason, reason), kind="back"))
        streams.append(Stream("sent", reason, addresses, "back"))
    known = {stop.key for stop in stops if stop.count}
    return stops, [one for one in streams if {one.source, one.target} <= known]


def _campaign_streams(campaign: Campaign) -> Iterator[Stream]:
    by_tier: Counter[str] = Counter()
    by_end: Counter[tuple[str, str]] = Counter()
    for one in campaign.outcomes:
        by_tier[one.tier] += one.total
        by_end[_end(one.status), one.tier] += one.total
    for tier, count in by_tier.items():
        source = "alerts" if campaign.audience == "alerts" else tier
        yield Stream(source, campaign.name, count, tier)
    for (end, tier), count in by_end.items():
        yield Stream(campaign.name, end, count, tier if end == "sent" else "quiet")


def _end(status: str) -> str:
    if status in TAKEN:
        return "sent"
    if status in WAITING:
        return "waiting"
    return "unknown" if status == "unknown" else "not_sent"


def _deliveries(figures: Figures) -> list[Stop]:
    ends: Counter[str] = Counter()
    for campaign in figures.campaigns:
        for one in campaign.outcomes:
            ends[_end(one.status)] += one.total
    return [
        Stop("sent", 5, ends["sent"], "sent", f"{figures.sent(this_run=True):,} in this run"),
        Stop("not_sent", 5, ends["not_sent"], "skipped", "each with its reason", "quiet"),
        Stop("unknown", 5, ends["unknown"], "unknown", "never sent again by itself", "quiet"),
        Stop("waiting", 5, ends["waiting"], "waiting", "", "quiet"),
    ]


def _planned(campaign: Campaign) -> str:
    skipped = sum(campaign.not_sent().values())
    return f"{campaign.total - skipped:,} planned, {skipped:,} skipped"


def _tiers(crowd: Crowd) -> list[Stop]:
    bounds = {
        "high": f"≥ {crowd.high:g}",
        "medium": f"≥ {crowd.medium:g}",
        "low": f"< {crowd.medium:g}",
    }
    return [Stop(tier, 2, count, tier, bounds[tier], tier) for tier, count in crowd.tiers.items()]


def _came_in(key: str, crowd: Crowd, name: str, way: str) -> Stop:
    """As long as its people, so that it meets them; what it says is the number of events."""
    note = f"{way}, {crowd.intake.new:,} new"
    return Stop(key, 0, crowd.profiles, name, note, shown=f"{crowd.events:,}")


def _cdnow_flow(figures: Figures) -> tuple[list[Stop], list[Stream]]:
    crowd = figures.cdnow
    stops = [
        _came_in("file", crowd, "purchases", "from a file"),
        Stop("people", 1, crowd.profiles, "customers"),
        *_tiers(crowd),
    ]
    streams = [
        Stream("file", "people", crowd.profiles),
        *(Stream("people", tier, count, tier) for tier, count in crowd.tiers.items()),
    ]
    return stops, streams
