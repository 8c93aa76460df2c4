"""Mail templates: what is shipped, what rendering gives, and what the text part says."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from html.parser import HTMLParser
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.delivery.templating import compile_template, load_template, require_variables
from horizon.errors import TemplateError

CAMPAIGN: dict[str, object] = {
    "first_name": "Ana",
    "days_silent": 13,
    "last_seen": "12 September 2025",
    "score_percent": 93,
    "tier": "high",
    "activity_count": 42,
    "shop_url": "https://shop.example/?a=1&b=2",
    "unsubscribe_url": "https://mail.example/u/abc",
    "preferences_url": "https://mail.example/p/abc",
    "brand": "Horizon",
    "postal_address": "1 Harbour Street, 1010 Vienna",
}
ALERT: dict[str, object] = {
    "profile": "018f2f6c-7d1e-7c3a-9b1e-0d6a00000001",
    "user_id": "user_007",
    "score": 0.928576,
    "tier": "high",
    "days_silent": 13,
    "created": "2025-09-25 12:25",
}
DEMO: dict[str, object] = {
    "brand": "Horizon",
    "shop_url": "https://shop.example/",
    "unsubscribe_url": "https://mail.example/u/abc",
    "preferences_url": "https://mail.example/p/abc",
    "postal_address": "1 Harbour Street, 1010 Vienna",
    "count": 2,
    "alerts": [ALERT, {**ALERT, "user_id": "user_008", "days_silent": 1}],
}
ONE = {**DEMO, "count": 1, "alerts": [ALERT]}
KNOWN = {"miss_you": CAMPAIGN, "good_activity": CAMPAIGN, "demo_alert": ONE, "demo_digest": DEMO}

IF, END_IF = "<mj-raw>{% if no %}</mj-raw>", "<mj-raw>{% endif %}</mj-raw>"
FOR, END_FOR = "<mj-raw>{% for r in rows %}</mj-raw>", "<mj-raw>{% endfor %}</mj-raw>"
TABLE = "\n{% for r in rows %}\n<tr><td>{{ r.n }}</td><td>x</td></tr>\n{% endfor %}\n"

NASTY = st.lists(
    st.sampled_from(
        [
            "<", ">", '"', "'", "&", "{{", "}}", "{%", "<b>", "</td>", "-->", "<![endif]", " on=1 ",
            "\r", "\n", "\x00", "\x1b", "\x85", "\u2028", "\u202e", "\ud800", "&#60;", "a", "é",
        ]
    )
).map("".join)  # fmt: skip
ANY_TEXT = st.one_of(st.text(), NASTY)


def mail(body: str, title: str = "Hello") -> str:
    return (
        f"<mjml><mj-head><mj-title>{title}</mj-title></mj-head><mj-body><mj-section><mj-column>"
        f"{body}</mj-column></mj-section></mj-body></mjml>"
    )


def text_of(body: str, **values: object) -> str:
    return compile_template("t", mail(body)).render(values).text


class Skeleton(HTMLParser):
    """All of a page but its texts and its attributes' values."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.events: list[tuple[str, ...]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.events.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.events.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.events.append(("comment", data))

    def handle_decl(self, decl: str) -> None:
        self.events.append(("decl", decl))

    def unknown_decl(self, data: str) -> None:
        self.events.append(("unknown", data))

    def handle_pi(self, data: str) -> None:
        self.events.append(("pi", data))


@pytest.mark.parametrize("name", KNOWN)
def test_a_shipped_template_needs_only_what_its_campaign_has(name: str) -> None:
    require_variables(load_template(name), KNOWN[name])


@pytest.mark.parametrize("name", KNOWN)
def test_a_shipped_mail_has_what_a_bulk_mail_must_have(name: str) -> None:
    rendered = load_template(name).render(KNOWN[name])
    assert 6_000 < len(rendered.html.encode()) < 15_000
    assert '<html lang="en"' in rendered.html
    assert '<meta name="color-scheme" content="light dark"' in rendered.html
    for part in (rendered.html, rendered.text):
        assert "https://mail.example/u/abc" in part
        assert "1 Harbour Street, 1010 Vienna" in part
        assert "You receive this message because" in part
        assert not re.search(r"[{}]{2}|\{%|HZNTAG|undefined|None", part)


@pytest.mark.parametrize("name", KNOWN)
def test_a_shipped_mail_loads_nothing(name: str) -> None:
    html = load_template(name).render(KNOWN[name]).html
    assert not re.search(r"<link|<img|<script|@import|@font-face|url\(|\bsrc=|background=", html)


def test_the_digest_is_of_the_source() -> None:
    source = resources.files("horizon.delivery.channels.smtp") / "templates" / "miss_you.mjml"
    assert load_template("miss_you").digest == hashlib.sha256(source.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["nothing", "", "../miss_you", "miss_you.mjml", "/etc/passwd"])
def test_an_unknown_template_names_those_there_are(name: str) -> None:
    sentence = r"use one of confirm_consent, demo_alert, demo_digest, good_activity, miss_you\.$"
    with pytest.raises(TemplateError, match=sentence):
        load_template(name)


def test_every_unknown_variable_is_named_before_the_first_mail() -> None:
    template = compile_template("t", mail("<mj-text>{{ a }}{{ config }}{{ cycler }}</mj-text>"))
    assert template.variables == {"a", "config", "cycler"}
    with pytest.raises(TemplateError, match=r"uses config, cycler, which this campaign does not"):
        require_variables(template, ["a", "b"])


def test_the_subject_is_plain_and_the_title_escaped() -> None:
    template = compile_template("t", mail("<mj-text>x</mj-text>", "{{ a }} &amp; &quot;b&quot;"))
    rendered = template.render({"a": "<i>Tom</i>"})
    assert rendered.subject == '<i>Tom</i> & "b"'
    assert "<title>&lt;i&gt;Tom&lt;/i&gt; &amp; &#34;b&#34;</title>" in rendered.html


def test_a_condition_in_the_subject_leaves_no_gap() -> None:
    template = compile_template("t", mail("<mj-text>x</mj-text>", "a {% if no %}x{% endif %}\n b"))
    assert template.render({"no": ""}).subject == "a b"


def test_a_long_subject_is_cut() -> None:
    subject = load_template("miss_you").render({**CAMPAIGN, "first_name": "é" * 500}).subject
    assert len(subject) == 200
    assert subject.endswith("…")


@pytest.mark.parametrize(
    ("first_name", "subject", "greeting"),
    [
        ("Ana", "Ana, it has been a while", "Hello Ana,"),
        ("", "It has been a while", "Hello,"),
        (" \n", "It has been a while", "Hello,"),
    ],
)
def test_the_greeting_follows_the_name(first_name: str, subject: str, greeting: str) -> None:
    rendered = load_template("miss_you").render({**CAMPAIGN, "first_name": first_name})
    assert rendered.subject == subject
    assert f"\n{greeting}\n" in rendered.text
    assert f">{greeting}<" in rendered.html


def test_the_text_part_reads_like_the_mail() -> None:
    lines = load_template("miss_you").render(CAMPAIGN).text.split("\n")
    assert lines[0] == "Horizon"
    assert lines[-1] == ""
    assert "Last visit: 12 September 2025" in lines
    assert "Time away: 13 days" in lines
    assert "Come back to Horizon: https://shop.example/?a=1&b=2" in lines
    assert "Unsubscribe <https://mail.example/u/abc>" in lines
    assert "Choose what you receive <https://mail.example/p/abc>" in lines


def test_the_digest_lists_each_alert_in_both_parts() -> None:
    rendered = load_template("demo_digest").render(DEMO)
    assert rendered.subject == "Demo: 2 people at risk at Horizon"
    assert "user_007, 13 days without activity: 0.93, High\n" in rendered.text
    assert "user_008, 1 day without activity: 0.93, High\n" in rendered.text
    assert rendered.html.count("without activity") == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<mj-text>a  b\n c</mj-text><mj-text>d</mj-text>", "a b c\n\nd\n"),
        ("<mj-text>a<br/>b &amp;&nbsp;c &lt;d&gt;</mj-text>", "a\nb & c <d>\n"),
        ("<mj-text><p>a</p><p>b</p></mj-text>", "a\n\nb\n"),
        ("<mj-text><ul><li>a</li><li>b</li></ul>c</mj-text>", "- a\n- b\n\nc\n"),
        ('<mj-button href="https://x.example/">Go</mj-button>', "Go: https://x.example/\n"),
        ('<mj-text>A <a href="mailto:a@x.example">b</a>.</mj-text>', "A b <mailto:a@x.example>.\n"),
        ("<mj-text>a</mj-text><mj-divider/><mj-text>b</mj-text>", f"a\n\n{'-' * 40}\n\nb\n"),
        ('<mj-image src="https://x.example/a.png" alt="A cup"/>', "A cup\n"),
        (f"<mj-text>a</mj-text>{IF}<mj-text>b</mj-text>{END_IF}<mj-text>c</mj-text>", "a\n\nc\n"),
        ("<mj-text>a</mj-text><mj-text>{{ no }}</mj-text><mj-text>c</mj-text>", "a\n\nc\n"),
        (f"{FOR}<mj-text>{{{{ r.n }}}}</mj-text>{END_FOR}", "1\n\n2\n"),
        (f"<mj-table>{TABLE}</mj-table>", "1, x\n2, x\n"),
        ("<mj-text>{% if 1 < 2 and not no %}<b>a</b>{% else %}b{% endif %}</mj-text>", "a\n"),
        ("<mj-text>a<!-- {{ gone }} --> {# {{ gone }} #}b</mj-text>", "a b\n"),
        ("<mj-text>{{ html }}</mj-text>", "<b>&amp;</b>\n"),
    ],
)  # fmt: skip
def test_the_text_part_of(body: str, expected: str) -> None:
    values = {"no": "", "rows": [{"n": 1}, {"n": 2}], "html": "<b>&amp;</b>"}
    assert text_of(body, **values) == expected


@given(ANY_TEXT, ANY_TEXT)
def test_no_value_yields_a_tag_or_an_attribute(first: str, second: str) -> None:
    template = load_template("miss_you")
    harmless = Skeleton(template.render(CAMPAIGN).html)
    values = {**CAMPAIGN, "first_name": first, "brand": second, "last_seen": first}
    html = template.render({**values, "postal_address": second}).html
    assert Skeleton(html).events == harmless.events


@given(ANY_TEXT)
def test_no_value_leaves_its_attribute(value: str) -> None:
    source = mail('<mj-image src="https://x.example/" alt="{{ v }}" title="a {{ v }}"/>')
    template = compile_template("t", source)
    harmless = Skeleton(template.render({"v": "x"}).html)
    assert Skeleton(template.render({"v": value}).html).events == harmless.events


@given(ANY_TEXT, ANY_TEXT)
def test_no_value_yields_a_line_in_the_subject(first: str, second: str) -> None:
    template = compile_template("t", mail("<mj-text>x</mj-text>", "{{ a }}: {{ b }}"))
    rendered = template.render({"a": first, "b": second})
    assert not {unicodedata.category(char) for char in rendered.subject} & {"Cc", "Zl", "Zp", "Cs"}
    assert rendered.html.encode()


@given(ANY_TEXT)
def test_no_value_yields_a_line_in_the_text(value: str) -> None:
    template = load_template("miss_you")
    lines = len(template.render(CAMPAIGN).text.splitlines())
    rendered = template.render({**CAMPAIGN, "first_name": f"x{value}", "postal_address": value})
    assert len(rendered.text.splitlines()) == lines
    assert rendered.text.encode()
