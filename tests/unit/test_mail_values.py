"""What a mail's values may be, and how much work they may make."""

from __future__ import annotations

import enum
import time
from decimal import Decimal

import pytest
from markupsafe import Markup

from horizon.delivery.templating import compile_template
from horizon.delivery.values import MAX_VALUE_CHARS, MAX_WORK
from horizon.errors import TemplateError


def mail(body: str) -> str:
    return (
        "<mjml><mj-head><mj-title>Hello</mj-title></mj-head><mj-body><mj-section><mj-column>"
        f"{body}</mj-column></mj-section></mj-body></mjml>"
    )


class Tier(enum.StrEnum):
    HIGH = "high"


class Impostor:
    def __html__(self) -> str:
        return "<script>"


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("<b>", "&lt;b&gt;"),
        (Markup("<b>"), "&lt;b&gt;"),
        (Tier.HIGH, "high"),
        (13, "13"),
        (0.5, "0.5"),
        ("{{ 7 }}", "{{ 7 }}"),
        ("a\r\nb\u202ec\ud800", "a b c"),
    ],
)
def test_a_value_is_printed_as_text(value: object, printed: str) -> None:
    template = compile_template("t", mail("<mj-text>[{{ a }}]</mj-text>"))
    assert f">[{printed}]<" in template.render({"a": value}).html


@pytest.mark.parametrize(
    "value",
    [None, b"x", Impostor(), Decimal("1E+999999999"), print, {"a": 1}, ("a",), ["a"], [[1]],
     [{"a": None}], [{"a": Impostor()}], "x" * (MAX_VALUE_CHARS + 1)],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_that_is_neither_text_nor_number_is_refused(value: object) -> None:
    template = compile_template("t", mail("<mj-text>{{ a }}</mj-text>"))
    with pytest.raises(TemplateError, match=r"^Template 't' cannot be rendered: .*'a(\.a)?' "):
        template.render({"a": value})


def test_a_missing_value_is_named() -> None:
    template = compile_template("t", mail("<mj-text>{{ a }}</mj-text>"))
    with pytest.raises(TemplateError, match="variable 'a' is missing"):
        template.render({"b": 1})


def test_a_loop_runs_over_lists_only() -> None:
    template = compile_template("t", mail("<mj-text>{% for r in rows %}x{% endfor %}</mj-text>"))
    with pytest.raises(TemplateError, match="loops over 'rows'; pass a list of mappings"):
        template.render({"rows": "text"})


def test_the_slowest_loop_that_is_allowed_takes_seconds_not_hours() -> None:
    # Filters that print nothing, so that the cap on the output does not help.
    body = "{% if r.n|title|title|title == 'x' %}{% endif %}" * 20
    loop = f"<mj-text>{{% for r in rows %}}{body}{{% endfor %}}</mj-text>"
    template = compile_template("t", mail(loop))
    row = {"n": "a " * (MAX_VALUE_CHARS // 2)}
    begun = time.process_time()
    template.render({"rows": [row] * 20})
    with pytest.raises(TemplateError, match="pass shorter lists"):
        template.render({"rows": [row] * 40})
    assert time.process_time() - begun < 10.0


def test_many_short_rows_are_too_many() -> None:
    template = compile_template("t", mail("<mj-text>{% for r in rows %}x{% endfor %}</mj-text>"))
    with pytest.raises(TemplateError, match="pass shorter lists"):
        template.render({"rows": [{}] * MAX_WORK})
