"""The channel's own settings: read where all settings are, refused as all are."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from horizon.delivery import channels
from horizon.delivery.channels.webhook.settings import WebhookSettings
from horizon.errors import SettingsError
from horizon.section import load_section
from horizon.settings import load

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 24).decode()


def _load(environ: dict[str, str], folder: Path) -> WebhookSettings:
    return load_section(WebhookSettings, environ, folder)


def test_the_names_are_the_channel_s(tmp_path: Path) -> None:
    for section in channels.sections():
        folder = section.__module__.split(".")[-2]
        assert section.prefix == f"{folder.upper()}_"
        assert all(name.startswith(section.prefix) for name in section.__struct_fields__)
        assert set(section.secrets) <= set(section.__struct_fields__)
    assert WebhookSettings in channels.sections()


def test_a_secret_for_all_and_one_for_a_host(tmp_path: Path) -> None:
    text = f"{OTHER}  {SECRET} hooks.example={SECRET} [::1]={OTHER}"
    own = _load({"WEBHOOK_SECRET": text}, tmp_path)
    assert own.secrets_of("hooks.example") == [KEY]
    assert own.secrets_of("::1") == [b"o" * 24]
    assert own.secrets_of("other.example") == [b"o" * 24, KEY]
    assert WebhookSettings().secrets_of("hooks.example") == []


def test_secrets_come_from_a_file_with_a_line_each(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"{SECRET}\nhooks.example={OTHER}\n")
    own = _load({"WEBHOOK_SECRET_FILE": str(file)}, tmp_path)
    assert own.secrets_of("hooks.example") == [b"o" * 24]


def test_no_secret_is_shown() -> None:
    assert SECRET not in repr(WebhookSettings(WEBHOOK_SECRET=SECRET))


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("WEBHOOK_SECRET", "hunter2", "whsec_ and 24 to 64 random bytes"),
        ("WEBHOOK_SECRET", "whsec_c2hvcnQ=", "whsec_ and 24 to 64 random bytes"),
        ("WEBHOOK_SECRET", "whsec_" + "QUFB" * 22, "whsec_ and 24 to 64 random bytes"),
        ("WEBHOOK_SECRET", SECRET + "=", "whsec_ and 24 to 64 random bytes"),
        ("WEBHOOK_SECRET", f"{SECRET} A B", "whsec_ and 24 to 64 random bytes"),
        ("WEBHOOK_TIMEOUT_S", "0", "a number of seconds above 0"),
        ("WEBHOOK_RETRY_UNKNOWN", "maybe", "true or false"),
    ],
)
def test_a_malformed_one_is_named_and_a_secret_not_shown(
    name: str, value: str, wanted: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as refused:
        _load({name: value}, tmp_path)
    assert str(refused.value).startswith(f"{name} is ")
    assert wanted in str(refused.value)
    assert name != "WEBHOOK_SECRET" or value not in str(refused.value)
    with pytest.raises(SettingsError, match=f"{name} is "):
        channels.check_settings({name: value}, tmp_path)


def test_horizon_toml_holds_them_too_and_nothing_unknown(tmp_path: Path) -> None:
    """The core leaves a channel's names to the channel, and each refuses what it does not know."""
    toml = tmp_path / "horizon.toml"
    toml.write_text("WINDOW_DAYS = 21\nWEBHOOK_TIMEOUT_S = 5\nWEBHOOK_RETRY_UNKNOWN = true\n")
    assert load({}, tmp_path).WINDOW_DAYS == 21
    own = _load({"WEBHOOK_TIMEOUT_S": "6"}, tmp_path)
    assert (own.WEBHOOK_TIMEOUT_S, own.WEBHOOK_RETRY_UNKNOWN) == (6, True)
    toml.write_text("WEBHOOK_TIMEOUT = 5\n")
    load({}, tmp_path)
    with pytest.raises(SettingsError, match="there is no setting WEBHOOK_TIMEOUT:"):
        channels.check_settings({}, tmp_path)
    for unknown in ("WEBHOOKS_TIMEOUT_S = 5", "SMTP_PROT = 5", "PUSH_KEY = 1"):
        toml.write_text(unknown + "\n")
        with pytest.raises(SettingsError, match="there is no setting"):
            load({}, tmp_path)
        channels.check_settings({}, tmp_path)
