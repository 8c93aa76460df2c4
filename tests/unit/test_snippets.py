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
