"""What a template's markup may not be: links that run, tags that load, sources that overflow."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from horizon.delivery.markup import Marked, to_html
from horizon.delivery.templating import compile_template
from horizon.delivery.values import is_link
from horizon.errors import TemplateError

BAD_LINKS = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "java\nscript:alert(1)",
    "java\x00script:alert(1)",
    "\x01javascript:alert(1)",
    "\u2028javascript:alert(1)",
    "vbscript:msgbox(1)",
    "data:text/html;base64,PHNjcmlwdD4=",
    "file:///etc/passwd",
    "ftp://x.example/",
    "//x.example/",
    "/relative",
    "relative",
    "#top",
    "",
    "http:",
    "https://",
    "https:///x.example",
    "https:x.example",
    "mailto:",
    "https://x.example/ a",
    "https://x.example/\nBcc:",
    'https://x.example/" onclick="x',
    "https://x.example/'x",
    "https://x.example/<b>",
    "https://x.example/\\",
    "https://x.example/\u202egnp",
    "view-source:https://x.example/",
    "feed:javascript:alert(1)",
]
GOOD_LINKS = [
    "https://x.example/",
    "HTTPS://x.example/a?b=1&c=2#d",
    "http://localhost:8025/é",
    "mailto:a@x.example?subject=Hi",
]
# Written in a source: what only an HTML parser turns into a link that runs.
BAD_SOURCES = [
    "java&#x73;cript:alert(1)",
    "&#106;avascript:alert(1)",
    "java&Tab;script:alert(1)",
    "java&#0;script:alert(1)",
    "javascript&colon;alert(1)",
    "&#1;javascript:alert(1)",
    "{{ name }}",
    "javascript:{{ shop_url }}",
    "https://x.example/{{ name }}",
    "{{ shop_url }}x",
    " {{ shop_url }}",
    "{{ shop_url }}{{ shop_url }}",
    "{{ shop_url|upper }}",
    "{{ shop_url|default('javascript:x') }}",
    "{{ 'javascript:x_url' }}",
    "{% if name %}https://x.example/{% endif %}",
    "{{ name if name else shop_url }}",
]
BODIES = [
    "<mj-text><a href='{}'>x</a></mj-text>",
    "<mj-button href='{}'>x</mj-button>",
    "<mj-image src='{}' alt='x'/>",
    "<mj-image src='https://x.example/' href='{}' alt='x'/>",
    "<mj-raw><table background='{}'><tr><td>x</td></tr></table></mj-raw>",
]
REFUSED = [
    "<mj-text><script>x</script></mj-text>",
    "<mj-raw><script src='https://x.example/'></script></mj-raw>",
    "<mj-raw><iframe src='https://x.example/'></iframe></mj-raw>",
    "<mj-raw><object data='x'></object></mj-raw>",
    "<mj-raw><form action='https://x.example/'></form></mj-raw>",
    "<mj-raw><input type='text'/></mj-raw>",
    "<mj-raw><base href='https://x.example/'/></mj-raw>",
    "<mj-raw><link rel='stylesheet' href='https://x.example/'/></mj-raw>",
    "<mj-raw><svg onload='x'></svg></mj-raw>",
    "<mj-raw><meta http-equiv='refresh' content='0;url=https://x.example/'/></mj-raw>",
    "<mj-raw><style>@import 'https://x.example/a.css';</style></mj-raw>",
    "<mj-raw><style>a {{ color: {{ name }} }}</style></mj-raw>",
    "<mj-raw><style>b { color: {{ name }}; }</style></mj-raw>",
    "<mj-text><b onclick='x'>x</b></mj-text>",
    "<mj-text><b ONCLICK='x'>x</b></mj-text>",
    "<mj-text><b style='width: expression(x)'>x</b></mj-text>",
    "<mj-text><b style='background: url(javascript:x)'>x</b></mj-text>",
    "<mj-text><b style='background: u\\72l(x)'>x</b></mj-text>",
    "<mj-text><b style='color: {{ name }}'>x</b></mj-text>",
    "<mj-text color='{{ name }}'>x</mj-text>",
    "<mj-text css-class='{{ name }}'>x</mj-text>",
    "<mj-text><b {{ name }}='x'>x</b></mj-text>",
    "<mj-text><{{ name }}>x</{{ name }}></mj-text>",
    "<mj-text><img src='https://x.example/' srcset='javascript:x' alt='x'/></mj-text>",
    "<mj-image src='https://x.example/' alt='{% if name %}x{% endif %}'/>",
    "<mj-image src='https://x.example/' width='{{ name }}' alt='x'/>",
    "<mj-button href='\" onclick=\"x'>x</mj-button>",
    "<mj-txet>x</mj-txet>",
    "<mj-include path='/etc/passwd'/>",
    "<mj-text>&#123;{ name }}</mj-text>",
    "<mj-text>{% raw %}{{ name }}{% endraw %}</mj-text>",
    "<mj-text>{{ name </mj-text>",
    "<mj-text>{% if name %}</mj-text>",
    "<mj-text>HZNTAG0000X</mj-text>",
    "<mj-text>&#72;ZNTAG9999X</mj-text>",
    "<mj-text><![CDATA[<b>]]></mj-text>",
    "<mj-text><b>x</mj-text>",
    "<mj-text>x</b></mj-text>",
    "<mj-text>x</mj-table>",
    "<mj-text a=b>x</mj-text>",
    "<mj-text>a < b</mj-text>",
    "<mj-text font-family='" + "a" * 501 + "'>x</mj-text>",
]
LAUGHS = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(10))


def mail(body: str, head: str = "<mj-title>Hello</mj-title>") -> str:
    return (
        f"<mjml><mj-head>{head}</mj-head><mj-body><mj-section><mj-column>"
        f"{body}</mj-column></mj-section></mj-body></mjml>"
    )


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("link", [*BAD_LINKS, *BAD_SOURCES])
def test_a_link_that_is_none_is_refused_in_a_template(link: str, body: str) -> None:
    with pytest.raises(TemplateError):
        compile_template("t", mail(body.replace("{}", link)))


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("link", [*GOOD_LINKS, "{{ shop_url }}", "{{shop_url}}"])
def test_a_link_is_taken_in_a_template(link: str, body: str) -> None:
    template = compile_template("t", mail(body.replace("{}", link.replace("&", "&amp;"))))
    html = template.render({"shop_url": "https://shop.example/?a=1&b=2"}).html
    expected = "https://shop.example/?a=1&b=2" if "{" in link else link
    assert f'="{expected.replace("&", "&amp;")}"' in html


@pytest.mark.parametrize("link", BAD_LINKS)
def test_a_link_that_is_none_is_refused_when_rendering(link: str) -> None:
    template = compile_template("t", mail('<mj-button href="{{ shop_url }}">x</mj-button>'))
    with pytest.raises(TemplateError, match="'shop_url' is not a link"):
        template.render({"shop_url": link})
    assert not is_link(link)


@pytest.mark.parametrize("value", [1, None, [], [{"a": "javascript:x"}]])
def test_what_is_no_text_is_no_link(value: object) -> None:
    template = compile_template("t", mail('<mj-button href="{{ shop_url }}">x</mj-button>'))
    with pytest.raises(TemplateError, match="'shop_url' is not a link"):
        template.render({"shop_url": value})


@pytest.mark.parametrize("body", REFUSED, ids=lambda body: body[:60])
def test_what_no_mail_needs_is_refused(body: str) -> None:
    with pytest.raises(TemplateError, match=r"(?s)^Template 't' cannot be used: .+\.$"):
        compile_template("t", mail(body))


@pytest.mark.parametrize(
    "source",
    [
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + mail("<mj-text>&a;</mj-text>"),
        f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>' + mail("<mj-text>&l10;</mj-text>"),
        '<?xml version="1.0"?>' + mail("<mj-text>x</mj-text>"),
        mail("<mj-text>x</mj-text>", head=""),
        mail("<mj-text>x</mj-text>", head="<mj-title> </mj-title>"),
        mail("<mj-text>x</mj-text>", head="<mj-title>a</mj-title><mj-title>b</mj-title>"),
        mail("<mj-text font-family='Lato'>x</mj-text>",
             head="<mj-title>a</mj-title><mj-font name='Lato' href='https://x.example/'/>"),
        mail("<mj-text>x</mj-text>", head="<mj-title>{% if a %}x</mj-title>") + "{% endif %}",
        "<p>x</p>",
        "",
    ],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_mail_is_refused(source: str) -> None:
    with pytest.raises(TemplateError):
        compile_template("t", source)


@pytest.mark.parametrize(
    "source",
    [
        mail("<mj-text>" + "<b>" * 20_000 + "</b>" * 20_000 + "</mj-text>"),
        mail("<mj-text>" + "<b>" * 900 + "</mj-text>"),
        mail("<mj-text>" + "x" * 100_000 + "</mj-text>"),
        mail("<mj-text>x</mj-text>" * 480,
             "<mj-title>x</mj-title><mj-attributes><mj-all font-family='" + "a" * 40_000
             + "'/></mj-attributes>"),
    ],
    ids=["deep", "unclosed", "long", "wide"],
)  # fmt: skip
def test_a_source_that_overflows_mrml_is_refused(source: str) -> None:
    begun = time.process_time()
    with pytest.raises(TemplateError):
        compile_template("t", source)
    assert time.process_time() - begun < 1.0


def test_a_refusal_says_what_to_remove() -> None:
    with pytest.raises(TemplateError, match="it has a DOCTYPE, an entity, CDATA or an instruction"):
        compile_template("t", "<!DOCTYPE mjml>" + mail("<mj-text>x</mj-text>"))
    with pytest.raises(TemplateError, match="larger than 64000 characters or 1000 tags"):
        compile_template("t", mail("<mj-text>" + "<br/>" * 1_000 + "</mj-text>"))
    with pytest.raises(TemplateError, match=r"not valid MJML \(unable to load included"):
        compile_template("t", mail("<mj-include path='x'/>"))
    with pytest.raises(TemplateError, match=r"line 3 has </i> where another tag is open"):
        compile_template("t", mail("\n\n<mj-text><b>x</i></mj-text>"))
    with pytest.raises(TemplateError, match="holds half a character; save it as UTF-8"):
        compile_template("t", mail("<mj-text>\ud800</mj-text>"))
    with pytest.raises(TemplateError, match="<mj-text> is never closed"):
        compile_template("t", "<mj-text>x")


def test_what_a_comment_for_outlook_holds_is_checked_too() -> None:
    # An author's comments are dropped before; this stands for those that mrml writes.
    body = "<mj-text><!--[if mso]><a href='{}'>x</a><![endif]--></mj-text>"
    assert (
        "<!--[if mso]><a "
        in to_html(Marked(mail(body.replace("{}", "https://x.example/")), ())).plain
    )
    with pytest.raises(TemplateError, match="href that is not a link"):
        to_html(Marked(mail(body.replace("{}", "javascript:x")), ()))


def test_the_deepest_source_does_not_end_the_process() -> None:
    # A stack overflow in native code cannot be caught: it is tried in a process of its own.
    code = (
        "from horizon.delivery.templating import compile_template\n"
        "head = '<mjml><mj-head><mj-title>x</mj-title></mj-head><mj-body><mj-section><mj-column>'\n"
        "b = '<mj-text>' + '<b>' * 480 + 'x' + '</b>' * 480 + '</mj-text>'\n"
        "s = head + b + '</mj-column></mj-section></mj-body></mjml>'\n"
        "import threading; threading.stack_size(512 * 1024)\n"
        "t = threading.Thread(target=lambda: print(compile_template('t', s).render({}).text))\n"
        "t.start(); t.join()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "x\n\n"), done.stderr
