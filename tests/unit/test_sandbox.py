"""The sandbox: known escapes and known bombs are refused, quickly, before anything runs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from horizon.delivery.sandbox import (
    FILTERS,
    HTML,
    MAX_OUTPUT_CHARS,
    TEXT,
    check,
    compile_checked,
    render_bounded,
)
from horizon.delivery.templating import compile_template
from horizon.errors import TemplateError

ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ name.__class__ }}",
    "{{ name.__init__.__globals__ }}",
    "{{ name['__class__'] }}",
    "{{ name|attr('__class__') }}",
    "{{ '{0.__class__}'.format(name) }}",
    "{{ '{0.__class__}'|format(name) }}",
    "{{ name.format_map(name) }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ cycler('a') }}",
    "{{ joiner.__init__ }}",
    "{{ namespace(a=1) }}",
    "{{ lipsum() }}",
    "{{ lipsum.__globals__ }}",
    "{{ dict(a=1) }}",
    "{{ self }}",
    "{{ self._TemplateReference__context }}",
    "{{ self.__init__ }}",
    "{{ config.items() }}",
    "{{ request.application.__globals__ }}",
    "{{ _subject }}",
    "{{ loop }}",
    "{{ names|map(attribute='__class__')|list }}",
    "{{ names|selectattr('__class__') }}",
    "{{ names|groupby('__class__') }}",
    "{{ names|sort(attribute='__class__') }}",
    "{{ names|join('', attribute='__class__') }}",
    "{{ names|xmlattr }}",
    "{{ name|safe }}",
    "{{ name|tojson }}",
    "{{ name|pprint }}",
    "{{ name|urlize }}",
    "{{ name|striptags }}",
    "{{ name is string }}",
    "{{ 'a' in name }}",
    "{{ [name] }}",
    "{{ {'a': name} }}",
    "{{ None }}",
    "{{ name[0:1] }}",
    "{{ name.0 }}",
    "{% set a = name %}",
    "{% set a %}x{% endset %}",
    "{% macro m() %}{% endmacro %}",
    "{% call m() %}{% endcall %}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% from 'x' import y %}",
    "{% extends 'x' %}",
    "{% block b %}{% endblock %}",
    "{% autoescape false %}{{ name }}{% endautoescape %}",
    "{% filter upper %}x{% endfilter %}",
    "{% with a = name %}{% endwith %}",
    "{% do names.append(1) %}",
    "{% for a in names %}{{ a.__class__ }}{% endfor %}",
    "{% for a in names %}{{ a.b.c }}{% endfor %}",
    "{% for a in names %}{{ loop.index }}{% endfor %}",
    "{% for a in names recursive %}{{ loop(a) }}{% endfor %}",
    "{% for a, b in names %}{% endfor %}",
    "{% for a in names|batch(2) %}{% endfor %}",
    "{% for _a in names %}{% endfor %}",
    "{% for shop_url in names %}{{ shop_url }}{% endfor %}",
]

BOMBS = [
    "{{ 'a' * 200000000 }}",
    "{{ name * 200000000 }}",
    "{{ 9 ** 99999999 }}",
    "{{ 1 + 1 }}",
    "{{ name ~ name }}",
    "{{ '%0200000000d'|format(1) }}",
    "{{ '%0200000000d' % 1 }}",
    "{{ name|center(200000000) }}",
    "{{ name|indent(200000000) }}",
    "{{ name|replace('', 'aaaaaaaaaa') }}",
    "{{ name|wordwrap(1) }}",
    "{{ name|truncate(9) }}",
    "{{ 1|round(-999999999) }}",
    "{{ 1|round(999999999, 'ceil') }}",
    "{{ 1|round(999999999) }}",
    "{{ 1|round(days) }}",
    "{{ '1'|int(0, 16) }}",
    "{{ lipsum(1000000) }}",
    "{% for a in range(200000000) %}x{% endfor %}",
    "{% for a in 'aaaa' %}x{% endfor %}",
    "{% for a in names %}{% for b in names %}x{% endfor %}{% endfor %}",
    "{% for a in names if a %}x{% endfor %}",
    "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "{{ " + "not " * 15_000 + "name }}",
    "{{ " + "name or " * 7_000 + "name }}",
    "{{ " + "9" * 5_000 + " }}",
    "{% if name %}" * 100 + "{% endif %}" * 100,
    "{% if name %}" + "{% elif name %}" * 2_000 + "{% endif %}",
    "{{ name }}" * 6_000,
]


def mail(body: str) -> str:
    return (
        "<mjml><mj-head><mj-title>Hello</mj-title></mj-head><mj-body><mj-section><mj-column>"
        f"<mj-text>{body}</mj-text></mj-column></mj-section></mj-body></mjml>"
    )


@pytest.fixture
def quickly() -> Iterator[None]:
    begun = time.process_time()
    yield
    assert time.process_time() - begun < 1.0


@pytest.mark.parametrize("payload", ESCAPES)
def test_an_escape_is_refused(payload: str, quickly: None) -> None:
    for environment in (HTML, TEXT):
        with pytest.raises(TemplateError):
            compile_checked(environment, payload)
    with pytest.raises(TemplateError, match=r"^Template 'evil' cannot be used: .*\.$"):
        compile_template("evil", mail(payload))


@pytest.mark.parametrize("payload", BOMBS, ids=lambda payload: payload[:40])
def test_a_bomb_is_refused_before_it_is_computed(payload: str, quickly: None) -> None:
    with pytest.raises(TemplateError):
        compile_checked(TEXT, payload)
    with pytest.raises(TemplateError):
        compile_template("bomb", mail(payload))


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ("{{ a|upper|default('x', true) }}", {"a": "b"}, "B"),
        ("{{ a|default('x', true) }}", {"a": ""}, "x"),
        ("{{ a|round(2) }} {{ a|int }} {{ b|length }}", {"a": 0.928576, "b": "xyz"}, "0.93 0 3"),
        ("{% if a > 3 and not b %}x{% elif a == 1 %}y{% endif %}", {"a": 1, "b": 0}, "y"),
        ("{{ 'one' if a != 2 else 'two' }}", {"a": 2}, "two"),
        ("{% for r in a %}{{ r.n }};{% endfor %}", {"a": [{"n": 1}, {"n": 2}]}, "1;2;"),
        ("{% for r in a %}{{ r.n }};{% else %}none{% endfor %}", {"a": []}, "none"),
        ("{{ a|capitalize }}{{ b|trim|title|lower }}", {"a": "high", "b": " X "}, "Highx"),
    ],
)
def test_what_is_allowed_works(source: str, values: dict[str, object], expected: str) -> None:
    assert render_bounded(compile_checked(TEXT, source), values) == expected


def test_html_is_escaped_and_text_is_not() -> None:
    values = {"a": "<b>&\"'"}
    assert render_bounded(compile_checked(HTML, "{{ a }}"), values) == "&lt;b&gt;&amp;&#34;&#39;"
    assert render_bounded(compile_checked(TEXT, "{{ a }}"), values) == "<b>&\"'"


def test_the_environments_hold_only_the_filters_of_the_allow_list() -> None:
    for environment in (HTML, TEXT):
        assert set(environment.filters) == set(FILTERS)
        assert not environment.globals
        assert not environment.tests


def test_an_attribute_of_an_object_is_never_read() -> None:
    # The tree is handed over unchecked, as if the allow-list had a hole.
    for source in ("{{ a.__class__ }}", "{{ a.upper }}", "{{ a.keys }}", "{{ a['real'] }}"):
        for value in ("x", 1, {"k": "v"}, [1]):
            with pytest.raises(TemplateError):
                render_bounded(TEXT.from_string(source), {"a": value})


def test_a_call_is_refused_by_the_sandbox_itself() -> None:
    with pytest.raises(TemplateError):
        render_bounded(TEXT.from_string("{{ a() }}"), {"a": print})


def test_output_stops_at_its_cap() -> None:
    template = compile_checked(TEXT, "{% for r in a %}{{ r.t }}{% endfor %}")
    row = {"t": "x" * 10_000}
    assert len(render_bounded(template, {"a": [row] * 100})) == MAX_OUTPUT_CHARS
    with pytest.raises(TemplateError, match="grew past 1000000 characters"):
        render_bounded(template, {"a": [row] * 101})


def test_a_missing_key_and_a_wrong_kind_are_told() -> None:
    missing = compile_checked(TEXT, "{% for r in a %}{{ r.t }}{% endfor %}")
    with pytest.raises(TemplateError, match="missing: 'dict object' has no attribute 't'"):
        render_bounded(missing, {"a": [{}]})
    rounded = compile_checked(TEXT, "{{ a|round(1) }}")
    with pytest.raises(TemplateError, match="pass numbers"):
        render_bounded(rounded, {"a": "x"})


def test_the_outline_counts_variables_and_loops() -> None:
    outline = check("{{ a }}{% for r in rows %}{{ r.x }}{{ b }}{% endfor %}{% if c %}{% endif %}")
    assert outline.variables == {"a", "b", "c", "rows"}
    assert outline.loops.keys() == {"rows"}
    assert outline.loops["rows"] >= 4


def test_a_refusal_names_the_line_and_what_is_allowed() -> None:
    with pytest.raises(TemplateError, match=r"line 3 uses a call, .* filters capitalize, default"):
        check("a\nb\n{{ name.upper() }}")
