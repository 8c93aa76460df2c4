"""Settings: whatever is wrong gets one sentence that names the setting and what it should be."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

import pytest
from rich.pretty import pretty_repr

from horizon.errors import SettingsError
from horizon.settings import SECRETS, URLS, Settings, load

ADDRESSES = [name for name in URLS if name != "S3_ENDPOINT"]  # which says more
MALFORMED = [
    ("COLLECTOR_PORT", "http", "a port from 1 to 65535"),
    ("COLLECTOR_PORT", "0", "a port from 1 to 65535"),
    ("CONSOLE_PORT", "65536", "a port from 1 to 65535"),
    ("CATCHER_SMTP_PORT", "", "a port from 1 to 65535"),
    ("CATCHER_PAGE_PORT", "80.5", "a port from 1 to 65535"),
    ("SMTP_PORT", "smtp", "a port from 1 to 65535"),
    ("WINDOW_DAYS", "0", "a number of days above 0, like 14"),
    ("WINDOW_DAYS", "14 days", "a number of days above 0, like 14"),
    ("WINDOW_DAYS", "nan", "a number of days above 0, like 14"),
    ("WINDOW_DAYS", "inf", "a number of days above 0, like 14"),
    ("COOLDOWN_DAYS", "-7", "a number of days above 0, like 14"),
    ("SCORE_HIGH", "0,7", "a number from 0 to 1, like 0.7"),
    ("SCORE_MEDIUM", "1.1", "a number from 0 to 1, like 0.7"),
    ("ALERT_THRESHOLD", "high", "a number from 0 to 1, like 0.7"),
    ("ALERT_THRESHOLD", "NaN", "a number from 0 to 1, like 0.7"),
    ("SMTP_CONNECTIONS", "51", "a whole number from 1 to 50"),
    ("SMTP_TIMEOUT_S", "0", "a number of seconds above 0, like 30"),
    ("SEND_LEASE_S", "2 min", "a number of seconds above 0, like 30"),
    ("LOG_MAX_BYTES", "50MB", "a whole number of bytes, at least 1000000"),
    ("LOG_KEEP", "0", "a whole number from 1 to 1000"),
    ("ENGINE", "pandas", "one of duckdb, spark"),
    ("PIPELINE_CRON", "every minute", "five fields of cron, like */5 * * * *"),
    ("PIPELINE_CRON", "99 * * * *", "five fields of cron, like */5 * * * *"),
    ("HORIZON_HOME", "", "text on one line, and not empty"),
    ("HORIZON_HOME", "~nobody-of-this-name/x", "a path, and the user after ~ has to exist"),
    ("LOG_PATH", "", "text on one line, and not empty"),
    ("LISTEN_HOST", "", "text on one line, and not empty"),
    ("MAIL_FROM", "Horizon", "an address, like Horizon <hello@horizon.example>"),
    ("MAIL_FROM", "a@b.example, c@d.example", "an address, like Horizon <hello@horizon.example>"),
    ("MAIL_FROM", "a@b.example\nBcc: c@d.example", "an address, like Horizon <hello@horizon"),
    ("BRAND", "Shop\r\nBcc: all@d.example", "text on one line, and not empty"),
    ("BRAND", "\udcff", "text on one line, and not empty"),
    ("FILE_LINE_BYTES", "1 MB", "a whole number of bytes, at least 1000"),
    ("FILE_UNPACKED_RATIO", "1", "a whole number from 2 to 1000000"),
    ("S3_ENDPOINT", "https://u:p@x.example", "with its scheme and without who asks"),
    ("S3_ENDPOINT", "localhost:9000", "like https://minio.example:9000"),
    ("OUTBOUND_ALLOW", "hooks.internal", "a list like 127.0.0.1:9000, hooks.internal:443, 10"),
    ("OUTBOUND_ALLOW", "127.0.0.1:9000, 10.0.0.1/8", "a list like 127.0.0.1:9000, hooks.inte"),
    ("OUTBOUND_ALLOW", "127.0.0.1:99999", "a list like 127.0.0.1:9000, hooks.internal:443, 10"),
    *((name, "ftp://shop.example", "an address, like https://example.com") for name in ADDRESSES),
    *((name, "http://[", "an address, like https://example.com") for name in ADDRESSES),
    *((name, "https://", "an address, like https://example.com") for name in ADDRESSES),
    *((name, "https://x.example:port", "an address, like https://ex") for name in ADDRESSES),
]


@pytest.mark.parametrize(("name", "value", "wanted"), MALFORMED)
def test_a_malformed_setting_is_named_with_what_it_should_be(
    name: str, value: str, wanted: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as refused:
        load({name: value}, tmp_path)
    sentence = str(refused.value)
    assert sentence.startswith(f"{name} is ")
    assert wanted in sentence
    assert "\n" not in sentence
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("name", SECRETS)
def test_a_malformed_secret_is_not_shown(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load({name: "hunter2\nhunter2"}, tmp_path)
    assert str(refused.value).startswith(f"{name} is not what it should be")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("nonsense", "'nonsense'"), ("es:9200", "'es:9200'"), ("https://", "'https://'"),
     ("htps://elastic:hunter2@es:9200", "'htps://***@es:9200'"), ("elastic:hunter2@es", "'***@es'"),
     ("ftp://es/?key=hunter2", "'ftp://es/?***'")],
)  # fmt: skip
def test_a_malformed_address_is_shown_but_for_who_asks(
    value: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError) as refused:
        load({"ES_URL": value}, tmp_path)
    assert str(refused.value) == (
        f"ES_URL is {shown}: it should be an address, like https://example.com."
    )
    monkeypatch.setenv("ES_URL_FILE", "/run/secrets/another")
    with pytest.raises(SettingsError, match="ES_URL is not what it should be: "):
        load({"ES_URL": value}, tmp_path)


def test_no_secret_is_ever_shown() -> None:
    settings = Settings(**dict.fromkeys(SECRETS, "hunter2"), BRAND="Shop")
    for shown in (repr(settings), str(settings), f"{settings}", pretty_repr(settings)):
        assert "hunter2" not in shown
        assert "Shop" in shown
    assert settings.SMTP_PASSWORD == "hunter2"
    assert "SMTP_PASSWORD=None" in repr(Settings())


def test_every_setting_s_type_says_what_it_should_be(tmp_path: Path) -> None:
    """A bare str or int would give a sentence that names nothing."""
    hints = get_type_hints(Settings, include_extras=True)
    for name, hint in ((name, hints[name]) for name in Settings.__struct_fields__):
        assert "Annotated" in str(hint) or "Literal" in str(hint), name


def test_the_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    settings = load({}, tmp_path)
    assert settings == Settings()
    assert (settings.WINDOW_DAYS, settings.SCORE_HIGH, settings.SCORE_MEDIUM) == (14, 0.7, 0.5)
    assert (settings.ALERT_THRESHOLD, settings.COOLDOWN_DAYS) == (0.7, 7)
    assert (settings.COLLECTOR_PORT, settings.CONSOLE_PORT) == (8100, 8000)
    assert settings.LISTEN_HOST == "127.0.0.1"
    assert settings.public_url == settings.tracking_url == "http://127.0.0.1:8100"
    assert settings.smtp_address == ("127.0.0.1", 1025)
    assert settings.log_path == Path.cwd() / "logs" / "cdp_events.log"
    assert settings.home == Path.cwd() / ".horizon"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "horizon.toml").write_text('WINDOW_DAYS = 21\nSMTP_PORT = "2525"\n')
    settings = load({"WINDOW_DAYS": "7", "UNRELATED": "x"}, tmp_path)
    assert (settings.WINDOW_DAYS, settings.SMTP_PORT) == (7, 2525)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("WINDOW_DAY = 14", "there is no setting WINDOW_DAY"),
        ("window_days = 14", "there is no setting window_days"),
        ("WINDOW_DAYS = ", "horizon.toml cannot be read"),
        ("WINDOW_DAYS = true", "WINDOW_DAYS is True"),
        ("SMTP_PORT = [25]", "SMTP_PORT is [25]"),
        ("BRAND = 5", "BRAND is 5"),
        ('BRAND = "a\\u0000b"', "BRAND is 'a\\x00b'"),
        ("[smtp]\nport = 25", "there is no setting smtp"),
        ("SCORE_HIGH = 0.4", "SCORE_MEDIUM is above SCORE_HIGH"),
    ],
)
def test_a_file_that_is_wrong_gets_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "horizon.toml").write_text(text)
    with pytest.raises(SettingsError) as refused:
        load({}, tmp_path)
    assert said in str(refused.value)


def test_a_file_that_is_no_text_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "horizon.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"horizon\.toml cannot be read"):
        load({}, tmp_path)


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    assert load({"SMTP_PASSWORD_FILE": str(secret)}, tmp_path).SMTP_PASSWORD == "hunter2"


def test_only_secrets_come_from_files(tmp_path: Path) -> None:
    assert load({"BRAND_FILE": "/nowhere"}, tmp_path).BRAND == Settings().BRAND


def test_a_secret_s_file_that_is_missing_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="PG_DSN_FILE names '/nowhere', which cannot be read"):
        load({"PG_DSN_FILE": "/nowhere"}, tmp_path)


def test_a_mail_server_of_one_s_own_has_the_usual_port() -> None:
    assert Settings(SMTP_HOST="smtp.example").smtp_address == ("smtp.example", 587)
    assert Settings(SMTP_HOST="smtp.example", SMTP_PORT=25).smtp_address == ("smtp.example", 25)


def test_addresses_end_without_a_slash() -> None:
    settings = Settings(PUBLIC_URL="https://c.example/", TRACKING_URL="https://t.example/")
    assert settings.public_url == "https://c.example"
    assert settings.tracking_url == "https://t.example"


def test_changed_checks_as_load_does() -> None:
    assert Settings().changed(WINDOW_DAYS=7).WINDOW_DAYS == 7
    with pytest.raises(SettingsError, match="WINDOW_DAYS is 0"):
        Settings().changed(WINDOW_DAYS=0)


def test_a_senders_name_may_hold_a_comma_in_quotes(tmp_path: Path) -> None:
    for sender in ('"Shop, Inc." <a@b.example>', "a@b.example", "Jörg <j@b.example>"):
        assert sender == load({"MAIL_FROM": sender}, tmp_path).MAIL_FROM
