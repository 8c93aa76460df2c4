"""docs/migrate-from-segment.md, followed to the letter: its commands are typed, its lines changed."""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from horizon.postgres.database import Database
from horizon.settings import Settings
from horizon.sources.snippets import snippets
from tests.e2e.horizon_command import Command, wait_until
from tests.parts import system_program
from tests.sdks.calls import events
from tests.sdks.pages import Site, Visit, browser
from tests.sdks.parts import ROOT, bundle, python_sdk, run_node, run_python
from tests.servers.segment_endpoint import SegmentEndpoint, key_of

TEXT = (ROOT / "docs" / "migrate-from-segment.md").read_text()
SITE_KEY, BACKEND_KEY = "SiteKeyOfSegmentThatStaysAsItIs1", "BackendKeyOfSegmentThatStays0002"
RUDDER = "rudder-sdk-python==2.1.9"
ICON = '<link rel="icon" href="data:,">'


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def change(title: str) -> tuple[str, str]:
    """What a section's lines are before and after."""
    section = TEXT[TEXT.index(f"\n### {title}\n") :]
    found = re.search(r"^```diff\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    lines = found[1].splitlines(keepends=True)
    before = "".join(line[1:] or "\n" for line in lines if line[0] in " -\n")
    after = "".join(line[1:] or "\n" for line in lines if line[0] in " +\n")
    return before, after


@dataclass
class Team:
    """Follows the guide with an address, keys and a Segment of its own."""

    url: str
    segment: str
    command: Command

    def filled(self, text: str) -> str:
        return (
            text.replace("https://collect.example", self.url)
            .replace("https://api.segment.io", self.segment)
            .replace("BACKEND_WRITE_KEY", BACKEND_KEY)
            .replace("SITE_WRITE_KEY", SITE_KEY)
        )

    def type(self, *first: str) -> list[str]:
        """The guide's commands that begin so; gives what each printed."""
        said = []
        for words in (words for words in commands() if words[: len(first)] == list(first)):
            more = ["--allow-private"] if first[:3] == ("horizon", "forward", "add") else []
            done = self.command(*map(self.filled, words[1:]), *more)
            assert done.returncode == 0, (words, done.stderr)
            said.append(done.stdout)
        assert said, first
        return said

    @contextmanager
    def begun(self, *first: str) -> Iterator[subprocess.Popen[str]]:
        """The guide's only command that begins so, from its first line on."""
        (words,) = [words for words in commands() if words[: len(first)] == list(first)]
        with subprocess.Popen(
            [sys.executable, "-m", "horizon.cli", *map(self.filled, words[1:])],
            cwd=self.command.folder, env=self.command.environment, text=True, stdout=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Waiting ")
            yield process

    def after(self, title: str) -> str:
        before, after = change(title)
        assert before != after
        assert "collect.example" in after
        assert "collect.example" not in before
        return self.filled(after)


@pytest.fixture
def segment() -> Iterator[SegmentEndpoint]:
    with SegmentEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def team(tmp_path: Path, settings: Settings, segment: SegmentEndpoint) -> Iterator[Team]:
    """Up to the third step, beside a `horizon up` that goes on until the test's end."""
    url = f"http://127.0.0.1:{settings.COLLECTOR_PORT}"
    found = Team(url, segment.url, Command(tmp_path, settings))
    for words in commands():
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            found.command.environment[name] = found.filled(value)
    assert ["horizon", "up"] in commands()
    with found.command.up():
        found.type("horizon", "source", "add")
        found.type("horizon", "forward", "add")
        yield found


@pytest.fixture
def visit(chromium: Path) -> Iterator[Visit]:
    with browser(chromium) as opened:
        yield Visit(opened.new_page())


def page_of(team: Team, folder: Path) -> str:
    """Segment's own snippet, its one line changed, and a pixel."""
    program = f"""
    import snippet from '@segment/snippet'
    console.log(snippet.min({{ apiKey: '{SITE_KEY}' }}))
    """
    before, _ = change("Web page")
    snippet = run_node(program, folder)
    assert snippet.count(before.strip()) == 1
    snippet = snippet.replace(before.strip(), team.after("Web page").strip())
    assert "segment.com" not in snippet
    event = {"writeKey": SITE_KEY, "anonymousId": "a1", "event": "Moved Pixel"}
    data = base64.b64encode(json.dumps(event).encode()).decode()
    head = f"<script>{snippet}</script><script>analytics.track('Moved Page')</script>"
    return f"<!doctype html>{ICON}{head}<p>Shop</p>{team.after('Pixel').replace('DATA', data)}"


def move_site(team: Team, visit: Visit, folder: Path) -> None:
    app = f"{team.after('@segment/analytics-next')}analytics.track('Moved App')\n"
    app_page = f'<!doctype html>{ICON}<script src="/app.js" defer></script><p>App</p>'
    pages = {"/": page_of(team, folder), "/app": app_page, "/app.js": bundle(app, folder)}
    with Site(pages) as site:
        for path in ("/", "/app"):
            visit.page.goto(f"{site.url}{path}")
            visit.page.wait_for_load_state("networkidle")
        assert visit.hosts() == {urlsplit(url).netloc for url in (site.url, team.url)}
    assert visit.complaints == []


def move_backend(team: Team, folder: Path) -> None:
    for title, run in (("segment-analytics-python", None), ("rudder-sdk-python", RUDDER)):
        sdk = python_sdk(run) if run else None
        call = f'analytics.track("user-1", "Moved {title}", integrations={{"Mixpanel": False}})'
        calls = f"\n{call}\nanalytics.flush()\n"
        assert run_python(team.after(title) + calls, sdk) == ""
    for title in ("@segment/analytics-node", "@rudderstack/rudder-sdk-node"):
        call = f"analytics.track({{ userId: 'user-1', event: 'Moved {title}' }})"
        assert run_node(f"{team.after(title)}\n{call}\nawait analytics.flush()\n", folder) == ""
    subprocess.run(["sh", "-c", team.after("curl")], check=True, capture_output=True, timeout=30)


SITE = ["Moved App", "Moved Page", "Moved Pixel"]
BACKEND = [
    "Moved", "Moved @rudderstack/rudder-sdk-node", "Moved @segment/analytics-node",
    "Moved rudder-sdk-python", "Moved segment-analytics-python",
]  # fmt: skip


@pytest.mark.slow
def test_the_guide_from_segment_is_followed_to_the_letter(
    team: Team, visit: Visit, segment: SegmentEndpoint, database: Database, tmp_path: Path
) -> None:
    system_program(["curl"], "curl")
    rudder = python_sdk(RUDDER)
    assert rudder
    with team.begun("horizon", "source", "wait") as waiting:
        move_site(team, visit, tmp_path)
        said, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, said[:9]) == (0, "It came: ")
    move_backend(team, tmp_path)
    wait_until(lambda: tracked(database) == sorted([*SITE, *BACKEND]), 60)

    # Segment gets each of them once, with the key of its source.
    wait_until(lambda: len(segment.once) == len(events(database)), 60)
    assert sorted(event["messageId"] for event in segment.once) == sorted(
        row["message_id"] for row in events(database)
    )
    keys = {
        event.get("event"): key_of(request).rstrip(":")
        for request in segment.requests
        for event in json.loads(request.body)["batch"]
    }
    assert {keys[name] for name in SITE} == {SITE_KEY}
    assert {keys[name] for name in BACKEND} == {BACKEND_KEY}

    named = {event.get("event"): event.get("integrations") for event in segment.once}
    assert named["Moved segment-analytics-python"] == {"Mixpanel": False}  # as the app said
    assert named["Moved Page"] is None

    (listed,) = team.type("horizon", "source", "list")
    assert "site" in listed
    assert "backend" in listed
    (status,) = team.type("horizon", "forward", "status")
    assert status.count("segment-") == 2
    (compared,) = team.type("horizon", "forward", "compare")
    assert "track" in compared
    assert len(team.type("horizon", "forward", "remove")) == 2


def tracked(database: Database) -> list[str]:
    return sorted(row["name"] for row in events(database) if row["type"] == "track")


def test_the_guide_names_what_is_printed_for_phones() -> None:
    """No phone runs here; its requests have a test of their own."""
    _, after = change("analytics-kotlin")
    printed = dict(snippets("https://collect.example", "SITE_WRITE_KEY"))["analytics-kotlin"]
    assert after in printed


def test_every_command_of_the_guide_has_its_place_in_the_test() -> None:
    known = {
        ("horizon", "up"), ("horizon", "source", "add"), ("horizon", "forward", "add"),
        ("horizon", "source", "wait"), ("horizon", "source", "list"),
        ("horizon", "forward", "status"), ("horizon", "forward", "compare"),
        ("horizon", "forward", "remove"),
    }  # fmt: skip
    assert {tuple(words[:3]) for words in commands() if words[0] != "export"} == known


def test_every_section_with_a_change_is_followed() -> None:
    section = TEXT[TEXT.index("\n## 4. ") : TEXT.index("\n## 5. ")]
    titles = set(re.findall(r"^### (.*)$", section, re.MULTILINE))
    assert titles == {
        "Web page", "Pixel", "curl", "analytics-kotlin", "@segment/analytics-next",
        "@segment/analytics-node", "segment-analytics-python", "rudder-sdk-python",
        "@rudderstack/rudder-sdk-node",
    }  # fmt: skip
    assert section.count("```diff") == len(titles)
