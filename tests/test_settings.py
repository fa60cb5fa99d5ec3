"""Settings: read from environment and TOML, refused with a sentence."""

from pathlib import Path

import pytest

from app.errors import SettingsError
from app.settings import SETTINGS, load


def test_defaults_are_those_of_the_contract() -> None:
    settings = load({})
    assert str(settings.bind) == "127.0.0.1:8040"
    assert settings.scan_seconds == 60
    assert settings.data == Path("var").absolute()
    assert settings.allow_test_files is False


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "npvirt.toml"
    file.write_text('NPVIRT_SCAN_SECONDS = 5\nNPVIRT_BIND = "127.0.0.1:9000"\n')
    settings = load({"NPVIRT_CONFIG": str(file), "NPVIRT_SCAN_SECONDS": "7"})
    assert settings.scan_seconds == 7
    assert settings.bind.port == 9000


def test_an_ipv6_address_is_bound_with_brackets() -> None:
    bind = load({"NPVIRT_BIND": "[::1]:8040"}).bind
    assert (bind.host, bind.port, str(bind)) == ("::1", 8040, "[::1]:8040")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NPVIRT_SCAN_SECONDS", "soon"),
        ("NPVIRT_SCAN_SECONDS", "0"),
        ("NPVIRT_SCAN_SECONDS", "nan"),
        ("NPVIRT_BIND", "8040"),
        ("NPVIRT_BIND", "127.0.0.1:0"),
        ("NPVIRT_BIND", "example.org:8040"),
        ("NPVIRT_BIND", "0.0.0.0:8040"),
        ("NPVIRT_BIND", "[::]:8040"),
        ("NPVIRT_DATABASE_URL", "mysql://x"),
        ("NPVIRT_LOG", "loud"),
        ("NPVIRT_SOCKET_DIRS", "relative/dir"),
        ("NPVIRT_TIMEZONE", "Mars/Olympus"),
        ("NPVIRT_ALLOW_TEST_FILES", "maybe"),
        ("NPVIRT_DATA", ""),
        ("NPVIRT_KEEP_RECENT", "48"),
        ("NPVIRT_KEEP_RECENT", "0h"),
        ("NPVIRT_KEEP_RECENT", "30d"),
        ("NPVIRT_KEEP_1M", "two weeks"),
        ("NPVIRT_KEEP_1M", "48h"),
        ("NPVIRT_KEEP_10M", "14d"),
        ("NPVIRT_KEEP_1H", "-1d"),
        ("NPVIRT_KEEP_DAILY", "2y"),
        ("NPVIRT_KEEP_DAILY", "101y"),
        ("NPVIRT_KEEP_AUDIT", "1y"),
    ],
)
def test_a_malformed_setting_is_named_in_a_sentence(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({name: text})
    assert name in str(caught.value)
    assert str(caught.value).endswith(".")


def test_lengths_are_told_in_hours_days_weeks_or_years() -> None:
    settings = load({"NPVIRT_KEEP_RECENT": "3d", "NPVIRT_KEEP_1M": "6w", "NPVIRT_KEEP_1H": "1y"})
    days = (settings.keep_recent_s, settings.keep_1m_s, settings.keep_10m_s, settings.keep_1h_s)
    assert [seconds // 86_400 for seconds in days] == [3, 42, 90, 365]
    assert load({}).keep_daily_s == 3650 * 86_400


def test_an_unknown_setting_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="NPVIRT_SCAN_SECOND is not a setting"):
        load({"NPVIRT_SCAN_SECOND": "5"})
    file = tmp_path / "npvirt.toml"
    file.write_text("NPVIRT_COLOUR = 1\n")
    with pytest.raises(SettingsError, match="NPVIRT_COLOUR"):
        load({"NPVIRT_CONFIG": str(file)})


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load({"NPVIRT_CONFIG": str(tmp_path / "nowhere.toml")})
    broken = tmp_path / "broken.toml"
    broken.write_text("= = =")
    with pytest.raises(SettingsError, match="cannot be read"):
        load({"NPVIRT_CONFIG": str(broken)})


def test_the_readme_explains_every_setting_with_its_default() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    for setting in SETTINGS:
        row = f"| `{setting.name}` | {f'`{setting.default}`' if setting.default else ''} |"
        assert row in readme, row
