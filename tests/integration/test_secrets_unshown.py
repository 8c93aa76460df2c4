"""What an address holds of passwords and keys is in no sentence that a person sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from horizon import clock
from horizon.cli.main import run
from horizon.cli.serve import _greet
from horizon.doctor import configuration, listeners
from horizon.doctor.examine import examine
from horizon.doctor.finding import Case
from horizon.errors import SettingsError
from horizon.pipeline.installation import open_installation
from horizon.settings import Settings, load
from tests.servers.http_recorder import HttpRecorder, answer

SECRET = "s3cretpw"

WRONG = [
    ("LINEAGE_TO", f"http://u:{SECRET}@127.0.0.1:1/x"),
    ("LINEAGE_TO", f"ftp://u:{SECRET}@h"),
    ("LINEAGE_TO", f"ftp://u:a@b/{SECRET}@h"),
    ("LINEAGE_TO", f"http:/u:{SECRET}@h"),
    ("LINEAGE_TO", f"http://u:a\n{SECRET}@h"),
    ("LINEAGE_TO", f"127.0.0.1:1/x?api_key={SECRET}"),
    ("SHOP_URL", f"ftp://u:{SECRET}@h/?key={SECRET}"),
    ("OUTBOUND_ALLOW", f"http://u:{SECRET}@h:1, https://v:{SECRET}@g:2"),
    ("OUTBOUND_ALLOW", f"u:{SECRET}@hooks.internal:443"),
    ("OUTBOUND_ALLOW", f"{SECRET}@hooks.internal:443"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_setting_is_quoted_without_them(
    name: str,
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = " ".join(str(one) for one in examine({name: value}, tmp_path))
    assert f"{name} is '" in said
    assert SECRET not in said
    monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for command in (["doctor"], ["doctor", "--json"], ["lineage", "flush"]):
        assert run(command) != 0
        shown = capsys.readouterr()
        assert "***" in shown.out + shown.err
        assert SECRET not in shown.out + shown.err


def test_the_rest_of_an_address_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"LINEAGE_TO is 'http://\*\*\*@127\.0\.0\.1:1/x'"):
        load({"LINEAGE_TO": f"http://u:{SECRET}@127.0.0.1:1/x"}, tmp_path)


def test_a_list_in_the_file_is_quoted_without_them(tmp_path: Path) -> None:
    (tmp_path / "horizon.toml").write_text(f'LINEAGE_TO = ["http://u:{SECRET}@h"]')
    with pytest.raises(SettingsError, match="LINEAGE_TO is") as refused:
        load({}, tmp_path)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("MAIL_FROM", "a@b.example, c@d.example"), ("PIPELINE_CRON", "0 0 ? * * * * ?")],
)
def test_what_is_no_secret_is_quoted_whole(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load({name: value}, tmp_path)
    assert repr(value) in str(refused.value)


def test_doctor_names_a_lineage_server_without_its_key(
    home: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    def told(port: int) -> str:
        to = f"http://127.0.0.1:{port}/{SECRET}/x?api_key={SECRET}"
        settings = Settings(HORIZON_HOME=str(home), LINEAGE_TO=to)
        case = Case(settings, clock.now(), {}, tmp_path)
        said = " ".join(map(str, listeners.check_lineage(case)))
        assert SECRET not in said
        assert f"http://127.0.0.1:{port} " in said
        return said

    assert "does not answer" in told(free_port())
    with HttpRecorder([answer(401), answer(200)]) as server:
        assert "does not let us in" in told(server.port)
        assert " answers" in told(server.port)


def test_doctor_names_the_public_address_without_its_password(tmp_path: Path) -> None:
    settings = Settings(PUBLIC_URL=f"http://u:{SECRET}@c.example")
    case = Case(settings, clock.now(), {}, tmp_path)
    said = " ".join(map(str, configuration.check_settings(case)))
    assert "PUBLIC_URL is http://***@c.example" in said
    assert SECRET not in said


def test_up_greets_with_the_lineage_server_without_its_key(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    to = f"http://127.0.0.1:1/{SECRET}?api_key={SECRET}"
    _greet(open_installation(settings.changed(LINEAGE_TO=to)))
    shown = capsys.readouterr()
    assert "  lineage  to http://127.0.0.1:1\n" in shown.out + shown.err
    assert SECRET not in shown.out + shown.err
