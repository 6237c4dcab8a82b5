"""Where settings come from, who wins, and what is said about a wrong one."""

from __future__ import annotations

import grp
import os
import pwd
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.settings.conftest import Load
from worker.errors import SettingsError, UsageError
from worker.settings import Rate, load_settings
from worker.settings.env_file import MOST_BLANKS, read_env_file
from worker.settings.explain import dotted, known_keys
from worker.settings.files import SettingsFile, _is_private
from worker.settings.model import ProjectPair

ODD = ("false", "-1", "1.5", "inf", "9" * 26, "2026-01-01", "07:32:00", "[]", "[1]", "{a = 1}")
"""Values of each type that TOML has but text."""
FULL_FILE = """
database_url = "postgres://me:pw@db/milesync"
redis_url = "redis://:pw@localhost:6379/0"
[testrail]
url = "https://example.testrail.io/index.php?/dashboard"
user = "lead@example.com"
api_key = "key-from-file"
timezone = "Europe/Berlin"
submilestones = "each"
rate_limit = "300/60s"
[testably]
url = "https://testably.example.com/v1/"
token = "token-from-file"
rate_limit = "3000/60s"
[sync]
schedule = "0 * * * *"
drift_check = "never"
on_target_edit = "target"
on_source_delete = "keep"
description_footer = false
http_timeout = 12.5
[web]
listen = "0.0.0.0:9000"
webhook_secret = "hook-from-file"
[log]
level = "debug"
format = "json"
[[projects]]
testrail = 1
testably = "proj_abc123"
[[projects]]
testrail = 2
testably = "proj_def456"
timezone = "Asia/Tokyo"
schedule = "5 4 * * *"
enabled = false
testably_token = "own-token"
testrail_user = "other@example.com"
testrail_api_key = "own-key"
"""


def test_nothing_configured_gives_the_documented_defaults(load: Load, tmp_path: Path) -> None:
    settings = load()
    assert settings.source_file is None
    assert settings.warnings == ()
    assert settings.testrail.url is None
    assert settings.testrail.timezone is None
    assert settings.testrail.submilestones == "auto"
    assert settings.testrail.rate_limit == Rate(180, 60)
    assert settings.testably.url == "https://api.testably.app"
    assert settings.testably.rate_limit == Rate(60, 60)
    assert settings.database_url.get_secret_value() == f"sqlite:///{tmp_path / 'milesync.db'}"
    assert settings.redis_url is None
    assert settings.sync.schedule == "*/15 * * * *"
    assert settings.sync.drift_check.total_seconds() == 3600  # type: ignore[union-attr]
    assert (settings.sync.on_target_edit, settings.sync.on_source_delete) == ("source", "archive")
    assert settings.sync.description_footer is True
    assert settings.sync.http_timeout == 30
    assert str(settings.web.listen) == "127.0.0.1:8000"
    assert settings.web.webhook_secret is None
    assert (settings.log.level, settings.log.format) == ("info", None)
    assert settings.projects == ()


def test_every_setting_can_stand_in_the_file(load: Load, tmp_path: Path) -> None:
    settings = load(FULL_FILE)
    assert settings.source_file == tmp_path / "milesync.toml"
    assert settings.testrail.url == "https://example.testrail.io"
    assert settings.testrail.timezone == ZoneInfo("Europe/Berlin")
    assert settings.testably.url == "https://testably.example.com"
    assert settings.database_url.get_secret_value() == "postgresql+psycopg://me:pw@db/milesync"
    assert (settings.sync.drift_check, settings.sync.http_timeout) == ("never", 12.5)
    assert settings.sync.description_footer is False
    assert settings.web.listen.port == 9000
    assert (settings.log.level, settings.log.format) == ("debug", "json")


def test_a_pair_has_its_own_options_or_those_for_all(load: Load) -> None:
    first, second = load(FULL_FILE).projects
    assert (first.testrail, first.testably, first.enabled) == (1, "proj_abc123", True)
    assert (first.timezone, first.schedule) == (ZoneInfo("Europe/Berlin"), "0 * * * *")
    assert first.testrail_user == "lead@example.com"
    assert first.testrail_api_key is not None
    assert first.testrail_api_key.get_secret_value() == "key-from-file"
    assert (second.timezone, second.schedule) == (ZoneInfo("Asia/Tokyo"), "5 4 * * *")
    assert second.testably_token is not None
    assert second.testably_token.get_secret_value() == "own-token"
    assert not second.enabled


def test_a_pair_can_do_without_the_time_zone_for_all(load: Load) -> None:
    pairs = '[[projects]]\ntestrail=1\ntestably="p"\ntimezone="none"'
    assert load(pairs, TESTRAIL_TIMEZONE="Europe/Berlin").projects[0].timezone is None


def test_environment_goes_before_dotenv_before_file(load: Load) -> None:
    toml = '[testrail]\nuser = "file"\n[sync]\nschedule = "1 * * * *"\n[log]\nlevel = "error"'
    dotenv = "MILESYNC_TESTRAIL_USER=dotenv\nexport MILESYNC_SCHEDULE='2 * * * *'\n"
    settings = load(toml, dotenv, TESTRAIL_USER="environment")
    assert settings.testrail.user == "environment"
    assert settings.sync.schedule == "2 * * * *"
    assert settings.log.level == "error"


@pytest.mark.parametrize("blank", ["", "  "])
def test_an_empty_value_counts_as_not_set(load: Load, blank: str) -> None:
    settings = load(
        '[testrail]\nuser = ""\n[testably]\ntoken = ""',
        "MILESYNC_TESTRAIL_USER=dotenv",
        TESTRAIL_USER=blank,
        SCHEDULE=blank,
    )
    assert settings.testrail.user == "dotenv"
    assert settings.testably.token is None
    assert settings.sync.schedule == "*/15 * * * *"


def test_a_dotenv_value_is_taken_as_it_stands(load: Load) -> None:
    settings = load(dotenv="MILESYNC_TESTABLY_TOKEN='a${HOME}b#c'")
    assert settings.testably.token is not None
    assert settings.testably.token.get_secret_value() == "a${HOME}b#c"


def test_an_explicit_file_brings_its_own_dotenv_and_folder(tmp_path: Path) -> None:
    folder, cwd = tmp_path / "etc", tmp_path / "cwd"
    folder.mkdir()
    cwd.mkdir()
    (folder / "other.toml").write_text('database_url = "sqlite:///data/m.db"')
    (folder / ".env").write_text("MILESYNC_TESTRAIL_USER=beside")
    (cwd / ".env").write_text("MILESYNC_TESTRAIL_USER=elsewhere")
    settings = load_settings(Path("../etc/other.toml"), {}, cwd)
    assert settings.testrail.user == "beside"
    assert settings.source_file == folder / "other.toml"
    assert settings.database_url.get_secret_value() == f"sqlite:///{folder}/data/m.db"


def test_an_explicit_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: there is no such file"):
        load_settings(Path("nowhere.toml"), {}, tmp_path)


def test_a_file_that_is_not_toml_is_named_with_the_line(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"milesync\.toml cannot be read.*line 2"):
        load("[testrail]\nurl = https://x\n")


@pytest.mark.parametrize("value", ODD)
def test_a_value_of_another_type_is_wrong_or_taken_and_never_a_fault(
    load: Load, value: str
) -> None:
    """Whatever TOML can hold, at every setting: it loads, or says what is wrong."""
    pair = {"testrail": "1", "testably": '"p"'}
    pairs = [{**pair, name: value} for name in ProjectPair.model_fields]
    texts = [f"{dotted(key)} = {value}" for key in known_keys()]
    texts += ["\n".join(("[[projects]]", *(f"{k} = {v}" for k, v in p.items()))) for p in pairs]
    for text in texts:
        with suppress(SettingsError):
            load(text)


@pytest.mark.parametrize("value", ["false", "true", "5", "2026-01-01", "{}", "[1]", "[[]]"])
def test_what_is_no_address_of_a_notice_is_said(load: Load, value: str) -> None:
    with pytest.raises(SettingsError, match=r"sync.notify .* is no address, and no list of them"):
        load(f"[sync]\nnotify = {value}\n")


@pytest.mark.parametrize("value", ["9" * 5_000, "[" * 100_000 + "]" * 100_000])
def test_a_value_that_cannot_be_held_is_a_file_that_cannot_be_read(load: Load, value: str) -> None:
    with pytest.raises(SettingsError, match=r"milesync\.toml cannot be read: it "):
        load(f"[sync]\nhttp_timeout = {value}\n")


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "milesync.toml").write_bytes(b'[testrail]\nuser = "M\xfcller"')
    with pytest.raises(SettingsError, match="not UTF-8"):
        load_settings(environ={}, cwd=tmp_path)


def test_a_byte_order_mark_does_no_harm(load: Load) -> None:
    assert load("\ufeff[log]\nlevel = 'error'").log.level == "error"


def test_the_process_s_own_environment_is_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILESYNC_LOG_LEVEL", "error")
    assert load_settings().log.level == "error"


# --- pairs from the variable ------------------------------------------------------------------


def test_the_variable_replaces_the_pairs_but_keeps_their_options(load: Load) -> None:
    pairs = load(FULL_FILE, PROJECTS=" 2=proj_def456, 3 = proj_new ,").projects
    assert [str(pair) for pair in pairs] == ["2=proj_def456", "3=proj_new"]
    assert pairs[0].timezone == ZoneInfo("Asia/Tokyo")
    assert not pairs[0].enabled
    assert pairs[1].timezone == ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize("text", ["1", "1=", "=proj", "1=a,2"])
def test_a_malformed_pair_is_named(load: Load, text: str) -> None:
    with pytest.raises(SettingsError, match=r"MILESYNC_PROJECTS \(environment\).*1=proj_abc123"):
        load(PROJECTS=text)


@pytest.mark.parametrize("text", ["x=p", "0=p", "-1=p", "1.5=p", "1=a/b", "1=a b", "1=ä"])
def test_a_malformed_id_is_named(load: Load, text: str) -> None:
    with pytest.raises(SettingsError, match=r"MILESYNC_PROJECTS \(environment\).* of a Test"):
        load(PROJECTS=text)


def test_the_same_pair_twice_is_a_mistake_but_shared_projects_are_not(load: Load) -> None:
    assert len(load(PROJECTS="1=a,2=a,1=b").projects) == 3
    with pytest.raises(SettingsError, match="the same pair twice: 1=a"):
        load(PROJECTS="1=a,2=b,1=a")


def test_a_pair_without_a_target_is_incomplete(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"\[\[projects\]\] no\. 1, testably .*is missing"):
        load("[[projects]]\ntestrail = 1")


def test_a_moved_pair_s_option_is_named_where_it_stands(load: Load) -> None:
    toml = FULL_FILE.replace("Asia/Tokyo", "Asia/Tokio")
    with pytest.raises(SettingsError, match=r"\[\[projects\]\] no\. 2, timezone .*Asia/Tokyo"):
        load(toml, PROJECTS="2=proj_def456")


# --- what is said -----------------------------------------------------------------------------


def test_a_bad_variable_is_named_with_its_value_and_an_example(load: Load) -> None:
    with pytest.raises(SettingsError) as caught:
        load(TESTABLY_RATE_LIMIT="60 per minute")
    assert caught.value.message == (
        "MILESYNC_TESTABLY_RATE_LIMIT (environment): '60 per minute' is not a rate. Example: 60/60s"
    )
    assert caught.value.hint


def test_the_place_of_a_bad_value_is_named(load: Load, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load("[testably]\nrate_limit = 60", "MILESYNC_TESTRAIL_RATE_LIMIT=x")
    assert f"testably.rate_limit ({tmp_path}/milesync.toml): '60' is" in caught.value.message
    assert f"MILESYNC_TESTRAIL_RATE_LIMIT ({tmp_path}/.env): 'x' is" in caught.value.message


def test_all_problems_are_told_at_once_and_each_once(load: Load) -> None:
    toml = '[testrail]\ntimezone = "Mars"\nuser = 7\n[sync]\nschedule = "x"\n'
    with pytest.raises(SettingsError) as caught:
        load(toml, PROJECTS="1=a,2=b,3", HTTP_TIMEOUT="0", LISTEN="8000", LOG_LEVEL="loud")
    lines = caught.value.message.splitlines()
    assert len(lines) == 7
    assert len([line for line in lines if "testrail.timezone" in line]) == 1


@pytest.mark.parametrize(
    ("toml", "meant"),
    [
        ("[testrail]\nulr = 'x'", "testrail.ulr .*did you mean testrail.url"),
        ("[testrial]\nurl = 'x'", "testrial .*did you mean testrail"),
        ("[sync]\nwebhook_secret = 'hush'", "did you mean web.webhook_secret"),
        ("schedule = '* * * * *'", "did you mean sync.schedule"),
        ("[log]\ndatabase_url = 'x'", "log.database_url .*did you mean database_url"),
        (
            "[[projects]]\ntestrail=1\ntestably='p'\ntimezon='x'",
            r"\[\[projects\]\] no. 1, timezon .*did you mean timezone",
        ),
        ("zzzzzz = 1", "zzzzzz .*is not a setting"),
        ("source_file = 'x'", "source_file .*is not a setting"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(
    load: Load, toml: str, meant: str
) -> None:
    with pytest.raises(SettingsError, match=meant):
        load(toml)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("testably = 'hush-hush'", r"testably .*must be a table: \[testably\]"),
        ("projects = '1=a'", r"projects .*must be a table: \[\[projects\]\]"),
        ("projects = ['hush-hush']", r"no\. 1 .*must be a table: \[\[projects\]\]"),
        ("[projects]\ntestrail = 1", r"projects .*must be a table: \[\[projects\]\]"),
    ],
)
def test_what_must_be_a_table_is_said(load: Load, toml: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        load(toml, SCHEDULE="* * * * *", TESTABLY_TOKEN="hush-hush")
    assert "hush" not in str(caught.value)


def test_an_unknown_variable_is_only_a_warning(load: Load) -> None:
    [warning] = load(SCHEDUL="x", TEST_ANYTHING="x").warnings
    assert warning == (
        "MILESYNC_SCHEDUL (environment) is not a setting and is ignored "
        "(did you mean MILESYNC_SCHEDULE?)."
    )


# --- what a command needs ---------------------------------------------------------------------


def test_projects_are_the_enabled_ones_or_those_asked_for(load: Load) -> None:
    settings = load(FULL_FILE)
    assert [pair.testrail for pair in settings.require_projects()] == [1]
    assert [pair.testrail for pair in settings.require_projects([])] == [1]
    assert [pair.testrail for pair in settings.require_projects([2])] == [2]
    with pytest.raises(UsageError, match="7 is not configured") as caught:
        settings.require_projects([1, 7])
    assert caught.value.hint == "Configured are: 1, 2."


def test_no_project_at_all_is_a_mistake_in_the_settings(load: Load) -> None:
    for variables in ({}, {"PROJECTS": ",,"}):
        with pytest.raises(SettingsError, match="No project pair is configured") as caught:
            load(**variables).require_projects()
        assert "MILESYNC_PROJECTS=1=proj" in caught.value.hint
        assert "there is no milesync.toml in this folder" in caught.value.message
        assert "--config FILE" in caught.value.hint
    with pytest.raises(SettingsError, match=r"milesync\.toml has no \[\[projects\]\]") as empty:
        load("[log]").require_projects()
    assert "--config" not in empty.value.hint
    with pytest.raises(SettingsError, match="disabled"):
        load("[[projects]]\ntestrail=1\ntestably='p'\nenabled=false").require_projects()


def test_missing_credentials_are_named_together(load: Load) -> None:
    with pytest.raises(SettingsError) as caught:
        load().require_credentials()
    assert caught.value.message == (
        "Not set: MILESYNC_TESTRAIL_URL, MILESYNC_TESTRAIL_USER, "
        "MILESYNC_TESTRAIL_API_KEY, MILESYNC_TESTABLY_TOKEN."
    )


def test_a_pair_s_own_credentials_are_enough(load: Load) -> None:
    settings = load(FULL_FILE.replace("key-from-file", ""))
    settings.require_credentials(settings.require_projects([2]))
    with pytest.raises(SettingsError, match=r"Not set: MILESYNC_TESTRAIL_API_KEY\."):
        settings.require_credentials()


@pytest.mark.parametrize(
    "line",
    [
        "MILESYNC_SCHEDULE=*/15 * * * *",
        "MILESYNC_TESTABLY_TOKEN=a#b",
        "MILESYNC_TESTABLY_TOKEN=a$b",
        'MILESYNC_TESTABLY_TOKEN="a$b"',
        'MILESYNC_TESTABLY_TOKEN="a\\\\b"',
        "export MILESYNC_TESTABLY_TOKEN=ab",
        "POSTGRES_PASSWORD=a#b",
        "POSTGRES_PASSWORD=it's",
    ],
)
def test_a_line_of_the_env_file_that_others_read_otherwise_gets_a_warning(
    load: Load, line: str
) -> None:
    """honcho and docker compose would hand the processes another value than `check` tried."""
    (warning,) = load(dotenv=f"# a comment\n{line}\n").warnings
    assert "line 2" in warning
    assert "single quotes" in warning
    assert "a$b" not in warning


@pytest.mark.parametrize(
    "line",
    ["MILESYNC_TESTABLY_TOKEN='x'y", 'MILESYNC_TESTABLY_TOKEN="x', "POSTGRES_PASSWORD='x"],
)
def test_a_line_of_the_env_file_that_cannot_be_read_is_named_without_its_text(
    load: Load, line: str
) -> None:
    """It may hold a secret, and it is not what somebody meant; so nothing is done."""
    with pytest.raises(SettingsError) as caught:
        load(dotenv=f"OTHER=1\n\n{line}\nMILESYNC_TESTRAIL_USER=me\n")
    assert ".env, line 3, cannot be read" in caught.value.message
    assert "'value'" in caught.value.hint
    assert "x" not in caught.value.message.replace("cannot", "").partition(".env")[2]


@pytest.mark.parametrize("line", ["OTHER='x'y", "OTHER='x", "'"])
def test_a_line_of_somebody_else_s_that_cannot_be_read_is_passed_over(
    load: Load, line: str
) -> None:
    settings = load(dotenv=f"\n\n{line}\nMILESYNC_TESTRAIL_USER=me\n")
    (warning,) = settings.warnings
    assert ".env, line 3, cannot be read and is ignored" in warning
    assert settings.testrail.user == "me"


@pytest.mark.parametrize("name", ["milesync.toml", ".env"])
def test_a_file_in_another_encoding_is_named_with_the_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"# one\n# two\n# M\xfcller\n")
    with pytest.raises(SettingsError, match=rf"{name}, line 3, cannot be read: it is not UTF-8"):
        load_settings(environ={}, cwd=tmp_path)


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_that_docker_leaves_in_a_value_are_taken_off(load: Load, quote: str) -> None:
    """`docker run --env-file` hands them over, and said nothing a schedule would be refused."""
    settings = load(SCHEDULE=f"{quote}*/5 * * * *{quote}", TESTRAIL_USER=f" {quote}me{quote} ")
    assert (settings.sync.schedule, settings.testrail.user) == ("*/5 * * * *", "me")
    assert len(settings.warnings) == 2
    assert all("came with quotes" in warning for warning in settings.warnings)


@pytest.mark.parametrize("text", ["it's", "'", "''", "'a'b'", "'a\"", "a'b'"])
def test_other_quotes_stay(load: Load, text: str) -> None:
    settings = load(TESTRAIL_USER=text)
    assert (settings.testrail.user, settings.warnings) == (text, ())


# --- who else reads and writes the files ------------------------------------------------------


@pytest.mark.parametrize("name", ["milesync.toml", ".env"])
@pytest.mark.parametrize("mode", [0o646, 0o662, 0o602, 0o622])
def test_a_file_that_others_may_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mode: int
) -> None:
    """They could send the credentials to a server of their own."""
    monkeypatch.setattr("worker.settings.files._is_private", lambda *_: False)
    (tmp_path / name).write_text("")
    (tmp_path / name).chmod(mode)
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={}, cwd=tmp_path)
    assert f"{tmp_path / name} is not used: others may write it" in caught.value.message
    assert f"chmod 600 {tmp_path / name}" in caught.value.hint


@pytest.mark.parametrize(("mode", "warned"), [(0o604, True), (0o640, True), (0o600, False)])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("milesync.toml", "[testably]\ntoken = 'hush-hush'"),
        ("milesync.toml", "redis_url = 'redis://:hush-hush@localhost'"),
        (".env", "MILESYNC_TESTABLY_TOKEN=hush-hush"),
        (".env", "MILESYNC_DATABASE_URL='postgresql://me:hush-hush@h/d'"),
    ],
)
def test_a_file_with_a_secret_that_others_may_read_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, mode: int, warned: bool
) -> None:
    monkeypatch.setattr("worker.settings.files._is_private", lambda *_: False)
    (tmp_path / name).write_text(text)
    (tmp_path / name).chmod(mode)
    warnings = load_settings(environ={}, cwd=tmp_path).warnings
    assert len(warnings) == warned
    assert all(f"chmod 600 {tmp_path / name}" in warning for warning in warnings)
    assert "hush" not in str(warnings)


def test_a_file_without_a_secret_may_be_read_by_others(load: Load, tmp_path: Path) -> None:
    for name, text in (("milesync.toml", "[log]\nlevel = 'error'"), (".env", "OTHER=1")):
        (tmp_path / name).touch(0o644)
        (tmp_path / name).write_text(text)
    assert load(TESTABLY_TOKEN="hush-hush").warnings == ()
    assert (tmp_path / ".env").stat().st_mode & 0o044


def test_the_owner_s_own_group_is_nobody_else() -> None:
    """A user's private group of the same name, or of the same number where neither has a name."""
    me = pwd.getpwuid(os.getuid())
    assert _is_private(me.pw_uid, me.pw_gid) == (grp.getgrgid(me.pw_gid).gr_name == me.pw_name)
    assert _is_private(4_000_000_001, 4_000_000_001)
    assert not _is_private(4_000_000_001, 4_000_000_002)
    assert not _is_private(me.pw_uid, 4_000_000_002)


# --- folders and files that are not there ------------------------------------------------------


def test_a_working_directory_that_was_deleted_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SettingsError, match="working directory has been deleted"):
        load_settings(environ={})


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x.toml", "x" * 5000, "loop"])
def test_a_settings_file_that_cannot_be_looked_for_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SettingsError, match=r"cannot be read|no such file"):
        load_settings(Path(name), {}, tmp_path)


def test_a_table_that_is_nested_too_deeply_is_said(load: Load) -> None:
    with pytest.raises(SettingsError, match="nested too deeply"):
        load("x = " + "[" * 100_000)


@pytest.mark.parametrize(
    "line",
    [
        "MILESYNC_SCHEDULE='*/15 * * * *'",
        'MILESYNC_SCHEDULE="*/15 * * * *"  # in quotes',
        "MILESYNC_TESTABLY_TOKEN='a$b#c'",
        "MILESYNC_TESTRAIL_URL=https://example.testrail.io/sub # a comment",
        "OTHER=a b",
    ],
)
def test_a_line_of_the_env_file_that_all_read_alike_gets_none(load: Load, line: str) -> None:
    assert load(dotenv=line).warnings == ()


def test_a_schedule_whose_blanks_were_dropped_says_how_that_came(load: Load) -> None:
    with pytest.raises(SettingsError, match="honcho drops blanks"):
        load(SCHEDULE="*/15****")


# --- where credentials go in clear text --------------------------------------------------------


@pytest.mark.parametrize("name", ["TESTRAIL_URL", "TESTABLY_URL"])
@pytest.mark.parametrize(
    "url", ["http://t.example", "http://T.example.:8080/sub", "http://10.0.0.7", "http://0.0.0.0"]
)
def test_credentials_go_over_http_to_named_hosts_only(load: Load, name: str, url: str) -> None:
    """Refused with the place and what to do; taken when the host is named, in any form."""
    host = httpx.URL(url).host.rstrip(".")
    for other in ("", "other.example", "t.example.other"):
        with pytest.raises(SettingsError) as caught:
            load(ALLOW_HTTP=other, **{name: url})
        assert f"MILESYNC_{name} (environment): http://" in caught.value.message
        assert f"name {host} in MILESYNC_ALLOW_HTTP" in caught.value.message
    assert load(ALLOW_HTTP=f"other.example, {host.upper()}.", **{name: url}).warnings == ()
    assert load(f'[sync]\nallow_http = ["{host}"]', **{name: url}).warnings == ()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1:8081", "[::1]:1", "127.1.2.3"]
)
def test_http_to_this_machine_is_taken(load: Load, host: str) -> None:
    assert load(TESTRAIL_URL=f"http://{host}", TESTABLY_URL=f"http://{host}").warnings == ()


@pytest.mark.parametrize("scheme", ["http", "HTTP", "json", "form", "xml"])
def test_notices_go_over_http_to_named_hosts_only(load: Load, scheme: str) -> None:
    """Their addresses hold secrets, which the refusal does not show."""
    address = f"{scheme}://user:secret-1@hooks.example:81/secret-2?key=secret-3"
    with pytest.raises(SettingsError) as caught:
        load(NOTIFY=f"https://other.example/hook,{address}")
    assert "MILESYNC_NOTIFY (environment): notices" in caught.value.message
    assert "name hooks.example in MILESYNC_ALLOW_HTTP" in caught.value.message
    assert "secret" not in caught.value.message.replace("what is secret in", "")
    assert load(NOTIFY=address, ALLOW_HTTP="hooks.example").warnings == ()
    for here in ("localhost", "127.0.0.1:81", "[::1]:81"):
        assert load(NOTIFY=f"{scheme}://{here}/hook").warnings == ()


@pytest.mark.parametrize("address", ["https://[::1/secret", "https://h\udcff/secret"])
def test_a_notice_s_address_that_cannot_be_read_is_refused(load: Load, address: str) -> None:
    with pytest.raises(SettingsError, match="an address that cannot be read") as caught:
        load(NOTIFY=address)
    assert "secret" not in caught.value.message


def test_a_star_does_not_allow_http_everywhere(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"MILESYNC_ALLOW_HTTP.*is no host"):
        load(ALLOW_HTTP="*")


@pytest.mark.parametrize(
    ("url", "lacks"),
    [
        ("redis://redis:6379/0", "neither TLS nor a password"),
        ("redis://:hush@redis.example/0", "no TLS"),
        ("rediss://redis.example", None),
        ("redis://localhost", None),
        ("redis://:hush@127.0.0.1:1/0", None),
    ],
)
def test_a_redis_that_others_can_read_is_warned_of(load: Load, url: str, lacks: str | None) -> None:
    warnings = load(REDIS_URL=url).warnings
    assert "hush" not in str(warnings)
    if lacks is None:
        assert warnings == ()
    else:
        [warning] = warnings
        assert warning.startswith("MILESYNC_REDIS_URL (environment): ")
        assert lacks in warning


@pytest.mark.parametrize(
    "text",
    ["A\n" * 120_000, "A='" + "x\n" * 120_000, 'A="' + "\\\\" * 120_000, "\n" * 240_000],
    ids=["names", "a quote", "escapes", "nothing"],
)
def test_a_long_env_file_takes_no_more_than_its_length(text: str, tmp_path: Path) -> None:
    """Up to its bound; beyond it nothing of it is parsed."""
    file = SettingsFile(tmp_path / ".env", text, others_read=False)
    assert read_env_file(file, "MILESYNC_")[0] == {}
    with pytest.raises(SettingsError, match=r"\.env is not read: it has more than 256 KiB"):
        read_env_file(replace(file, text=text * 2), "MILESYNC_")


@pytest.mark.parametrize("text", ["A=x{}y", "MILESYNC_X='{}'", "{}", "#{}"])
@pytest.mark.parametrize("blank", [" ", "\t", "\u3000"])
def test_so_many_blanks_in_a_row_are_refused(text: str, blank: str, tmp_path: Path) -> None:
    """The parser takes the square of their number: a minute for a hundred thousand."""
    few, many = (f"# one\n{text.format(blank * n)}" for n in (MOST_BLANKS - 1, 120_000))
    file = SettingsFile(tmp_path / ".env", few, others_read=False)
    read_env_file(file, "MILESYNC_")
    with pytest.raises(SettingsError, match="line 2, is not read: it has 1,000 blanks in a row"):
        read_env_file(replace(file, text=many), "MILESYNC_")


@pytest.mark.parametrize("name", ["milesync.toml", ".env"])
def test_a_settings_file_without_end_is_refused(load: Load, tmp_path: Path, name: str) -> None:
    """Only its beginning is read."""
    with (tmp_path / name).open("wb") as file:
        file.truncate(5 * 1024**3)
    with pytest.raises(SettingsError, match=f"{name} is not read: it has more than 1,024 KiB"):
        load()
