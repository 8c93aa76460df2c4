"""The demo's summary: what a person reads when it has ended, on a terminal or in a file.

Lines are laid out here and never wrapped, so that what is to be typed can be copied whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from horizon.demo import words
from horizon.demo.figures import TIERS, Campaign, Crowd, Figures, Intake
from horizon.demo.words import command, counted, number, outcome, place

WIDTH = 80
BAR_CELLS = 17
EIGHTHS = " ▏▎▍▌▋▊▉"
STYLES = {"high": "dark_orange", "medium": "gold3", "low": "dodger_blue2"}
TOP_FIVE = '"SELECT user_id, score FROM current_scores ORDER BY score DESC LIMIT 5"'


def show(console: Console, figures: Figures, page: Path) -> None:
    """Print the summary; ``page`` is where the page was written."""
    blocks = (
        _head(figures),
        _came_in(figures),
        _tiers(figures, blocks=_can_draw(console)),
        _alerts(figures),
        _mails(figures),
        _where(figures, page),
        _next(),
    )
    for block in blocks:
        console.print()
        for line in block:
            console.print(line, soft_wrap=True)
    console.print()


def _can_draw(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


def _title(text: str, beside: str = "") -> Text:
    return Text.assemble((text, "bold"), (f"  {beside}" if beside else "", "dim"))


def _head(figures: Figures) -> Iterator[Text]:
    sent = figures.sent(this_run=True)
    if figures.nothing_new and not sent:
        yield _title("Nothing new came in, and nobody was mailed again.")
        yield Text(
            "Every event was known already by its messageId; here is where everybody stands."
        )
    elif sent:
        yield _title(f"Done: {counted(sent, 'mail')} sent, none of them twice.")
    else:
        yield _title("Done, and nobody was due for a mail.")


def _came_in(figures: Figures) -> Iterator[Text]:
    heads = f"{'new':>8}{'known':>9}{'rejected':>10}"
    yield Text.assemble((f"{'What came in':<31}", "bold"), (heads, "dim"))
    people, cdnow = figures.people, figures.cdnow
    yield _intake(people.intake, "events over HTTP", counted(people.profiles, "person", "people"))
    yield _intake(cdnow.intake, "purchases from a file", counted(cdnow.profiles, "customer"))


def _intake(intake: Intake, what: str, who: str) -> Text:
    counts = f"{number(intake.new):>8}{number(intake.known):>9}{number(intake.rejected):>10}"
    return Text.assemble(f"  {number(intake.sent):>7} {what:<21}{counts}", (f"   {who}", "dim"))


def _tiers(figures: Figures, *, blocks: bool) -> Iterator[Text]:
    people, cdnow = figures.people, figures.cdnow
    ours = f"{number(people.profiles)} people"
    theirs = f"CDNOW on {words.date(cdnow.now)}"
    yield Text.assemble((f"{'Risk of leaving':<25}", "bold"), (f"{ours:<28}{theirs}", "dim"))
    high, medium = f"{people.high:g}", f"{people.medium:g}"
    bounds = (f"{high} and more", f"{medium} and more", f"below {medium}")
    for tier, bound in zip(TIERS, bounds, strict=True):
        yield Text.assemble(
            f"  {tier:<7}", (f"{bound:<16}", "dim"), *_bar(people, tier, blocks), "   ",
            *_bar(cdnow, tier, blocks),
        )  # fmt: skip


def _bar(crowd: Crowd, tier: str, blocks: bool) -> tuple[tuple[str, str], str]:
    """The bar and its number, in 25 cells together."""
    count, most = crowd.tiers[tier], max(crowd.tiers.values())
    eighths = max(1, round(count * BAR_CELLS * 8 / most)) if count else 0
    drawn = "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
    if not blocks:
        drawn = "#" * -(-eighths // 8)
    return (f"{drawn:<{BAR_CELLS}}", STYLES[tier]), f" {number(count):>7}"


def _alerts(figures: Figures) -> Iterator[Text]:
    alerts = figures.alerts
    yield _title("Alerts")
    skipped = f"{number(alerts.skipped)} skipped"
    if alerts.skipped:
        skipped += " (they had theirs within the cooldown)"
    yield Text(f"  {number(alerts.created)} created, {skipped}, {number(alerts.open)} open in all")


def _mails(figures: Figures) -> Iterator[Text]:
    yield Text.assemble((f"{'Mails':<55}", "bold"), (f"{'this run':>10}{'in all':>10}", "dim"))
    for campaign in figures.campaigns:
        yield from _campaign(campaign)
    for reason, addresses in figures.came_back.items():
        came_back = words.CAME_BACK.get(reason, reason)
        yield Text(f"  {'came back':<15} {came_back:<47}{number(addresses):>10}")
    if figures.unknown:
        doubt = f"{counted(figures.unknown, 'mail')} may or may not have arrived"
        yield Text(f"  {doubt}, and will not be sent again by itself:", style="yellow")
        yield Text(f"    {command()} message list --status unknown")


def _campaign(campaign: Campaign) -> Iterator[Text]:
    now, total = campaign.sent(this_run=True), campaign.sent()
    yield _mail_line(f"  {campaign.name:<15} sent", now, total, "bold")
    not_sent, not_sent_now = campaign.not_sent(), campaign.not_sent(this_run=True)
    for key, count in not_sent.items():
        status = key[0]
        yield _mail_line(
            f"  {'':<15} {status}: {outcome(*key)}", not_sent_now.get(key, 0), count, "none"
        )
    if waiting := campaign.waiting():
        yield _mail_line(f"  {'':<15} waiting to be sent", 0, waiting, "none")


def _mail_line(what: str, now: int, total: int, style: str) -> Text:
    return Text.assemble((f"{what:<55}", style), f"{number(now):>10}", f"{number(total):>10}")


def _where(figures: Figures, page: Path) -> Iterator[Text]:
    yield _title("Where to look")
    yield _place("the page", page, "why each mail was sent, and why once")
    yield _place("the log", figures.log.path, "one JSON line a stage, an alert, a message")
    yield _place("the mails", figures.mail_folder, "a file each")
    yield Text("  the tables, for example the five most at risk:")
    yield Text(f"    {command()} psql -c \\")
    yield Text(f"    {TOP_FIVE}")


def _place(name: str, path: Path, what: str) -> Text:
    """What is there comes behind the path where both have room in the line."""
    line = f"  {name:<12}{place(path)}"
    beside = f"{line:<36}  {what}"
    return Text(line) if len(beside) > WIDTH else Text.assemble(line, (beside[len(line) :], "dim"))


def _next() -> Iterator[Text]:
    horizon = command()
    up = "make up" if Path("Makefile").exists() else f"{horizon} up"
    yield _title("What to type next", "the second one in another terminal")
    for typed, what in (
        (up, "serves it until Ctrl-C"),
        (f"{horizon} demo-campaign --to you@example.com", "mails the alerts to you"),
        (f"{horizon} --help", "lists every command"),
    ):
        yield Text.assemble(f"  {typed:<53}", (f" {what}", "dim"))
