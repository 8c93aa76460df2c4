"""What is printed to be pasted. That it works, the tests of the SDKs show."""

from __future__ import annotations

from importlib import resources

from horizon.sources.snippets import snippets

URL = "https://collect.example"
KEY = "0123456789abcdef0123456789abcdef"


def test_each_snippet_has_the_key_and_the_address_in_its_place() -> None:
    found = snippets(f"{URL}/", KEY)
    assert len({name for name, _ in found}) == len(found) == 8
    for name, text in found:
        assert KEY in text, name
        assert (URL if name != "analytics-kotlin" else '"collect.example/v1"') in text, name
        assert f"{URL}//" not in text, name
        assert "$" not in text, name


def test_a_secret_key_is_in_nothing_that_runs_at_a_customer_s() -> None:
    server = {name for name, _ in snippets(URL, KEY, "server")}
    public = {name for name, _ in snippets(URL, KEY, "public")}
    assert public == {"Web page", "@segment/analytics-next", "analytics-kotlin", "curl"}
    assert server & public == {"curl"}
    assert server | public == {name for name, _ in snippets(URL, KEY)}


def test_no_snippet_is_forgotten() -> None:
    files = [file.name for file in resources.files("horizon.sources.snippets").iterdir()]
    texts = [name for name in files if not name.endswith((".LICENSE", ".py", "__pycache__"))]
    assert len(texts) == len(snippets(URL, KEY))


def test_each_says_what_to_do_with_it_in_its_first_line() -> None:
    firsts = {name: text.splitlines()[0] for name, text in snippets(URL, KEY)}
    for name, first in firsts.items():
        word = {"curl": "shell", "Web page": "head", "analytics-kotlin": "implementation"}
        wanted = word.get(name, "npm install" if "@" in name else "python try.py")
        assert wanted in first, name
        assert first.startswith(("//", "#", "<!--")), name


def test_without_tls_they_say_what_does_not_go() -> None:
    for url, told in ((URL, False), ("http://127.0.0.1:8100", True)):
        texts = dict(snippets(url, KEY, "public"))
        assert ("10.0.2.2" in texts["analytics-kotlin"]) == told
        assert ("over http too" in texts["Web page"]) == told
        assert all(line.startswith("//") for line in texts["analytics-kotlin"].splitlines()[:3]
                   if "val" not in line)  # fmt: skip
