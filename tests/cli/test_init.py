"""`milesync init` as a person uses it, in a real terminal, against both servers."""

from __future__ import annotations

import os
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.terminal import Terminal, milesync, terminal
from worker.cli.init_files import env_text
from worker.sandbox.server import Sandbox, run_sandbox
from worker.sandbox.switches import TestRailSwitches
from worker.sandbox.testably_app import TOKEN
from worker.sandbox.testrail_app import API_KEY, USER
from worker.settings import load_settings
from worker.settings.env_file import read_env_file
from worker.settings.files import read_settings_file

ROOT = Path(__file__).parents[2]
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with run_sandbox(count=3, rate=None) as running:
        yield running


@pytest.fixture
def environ() -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MILESYNC_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def answer_all(shown: Terminal, sandbox: Sandbox, *pairs: str) -> None:
    """The answers of somebody who knows everything; Enter wherever there is a default."""
    shown.answer("Address of TestRail", f"{sandbox.testrail.url}/index.php?/dashboard")
    shown.answer("TestRail user", USER)
    shown.answer("API key", API_KEY)
    shown.answer("Address of Testably", sandbox.testably.url)
    shown.answer("token", TOKEN)
    shown.answer("Take them as pairs", "")
    for pair in pairs:
        shown.answer("Another pair", pair)
    shown.answer("Time zone", "")
    shown.answer("Schedule", "")


def test_a_person_is_asked_and_both_files_are_written(
    sandbox: Sandbox, environ: dict[str, str], tmp_path: Path
) -> None:
    with terminal(milesync("init"), folder=tmp_path, environ=environ) as shown:
        answer_all(shown, sandbox)
        assert shown.end() == 0
    assert API_KEY not in shown.shown
    assert TOKEN not in shown.shown
    assert "1 Webshop → proj_abc123 Webshop" in shown.shown
    assert "milesync check" in shown.shown

    settings = load_settings(environ={}, cwd=tmp_path)
    [pair] = settings.projects
    assert (pair.testrail, pair.testably, pair.testrail_user) == (1, "proj_abc123", USER)
    assert settings.testrail.url == sandbox.testrail.url
    assert pair.testably_token
    assert pair.testably_token.get_secret_value() == TOKEN
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    text = (tmp_path / "milesync.toml").read_text(encoding="utf-8")
    assert API_KEY not in text
    assert TOKEN not in text
    assert "# Webshop → Webshop" in text
    kept = tomllib.loads(text)
    assert kept["projects"] == [{"testrail": 1, "testably": "proj_abc123"}]
    assert kept["testrail"]["url"] == sandbox.testrail.url, "a pasted address is cleaned"


def test_an_interrupt_says_that_nothing_was_kept(
    sandbox: Sandbox, environ: dict[str, str], tmp_path: Path
) -> None:
    """And what a side refuses is told with the settings that are meant."""
    with terminal(milesync("init"), folder=tmp_path, environ=environ) as shown:
        shown.answer("Address of TestRail", sandbox.testrail.url)
        shown.answer("TestRail user", USER)
        shown.answer("API key", "wrong")
        shown.expect("Check MILESYNC_TESTRAIL_USER and MILESYNC_TESTRAIL_API_KEY")
        shown.answer("TestRail user", "")
        shown.answer("API key", API_KEY)
        shown.answer("Address of Testably", sandbox.testably.url)
        shown.answer("token", "wrong")
        shown.expect("Check MILESYNC_TESTABLY_TOKEN")
        shown.expect("token")
        shown.press("\x03")
        shown.expect("Nothing was written")
        assert shown.end() == 130
    assert list(tmp_path.iterdir()) == []


def test_what_a_side_refuses_is_asked_for_again(
    sandbox: Sandbox, environ: dict[str, str], tmp_path: Path
) -> None:
    with terminal(milesync("init"), folder=tmp_path, environ=environ) as shown:
        shown.answer("Address of TestRail", "example")
        shown.expect("does not start with http")
        shown.answer("Address of TestRail", "http://127.0.0.1:9")
        shown.expect("cannot be reached")
        shown.answer("Address of TestRail", sandbox.testrail.url)
        shown.answer("TestRail user", "somebody@example.com")
        shown.answer("API key", "wrong")
        shown.expect("401")
        shown.answer(r"TestRail user[^\n]*\[somebody@example.com\]", USER)
        shown.answer("API key", API_KEY)
        shown.answer("Address of Testably", sandbox.testably.url)
        shown.answer("token", "wrong")
        shown.expect("401")
        shown.answer("token", TOKEN)
        shown.answer("Take them as pairs", "perhaps")
        shown.expect("y or n")
        shown.answer("Take them as pairs", "n")
        shown.answer("Pair 1 Webshop", "n")
        shown.answer("A pair", "7=proj_abc123")
        shown.expect("TestRail does not show")
        shown.answer("A pair", "1=proj_abc123")
        shown.answer("Time zone", "Europe/Berln")
        shown.expect("did you mean Europe/Berlin")
        shown.answer("Time zone", "Europe/Berlin")
        shown.answer("Schedule", "whenever")
        shown.answer("Schedule", "0 * * * *")
        assert shown.end() == 0
    settings = load_settings(environ={}, cwd=tmp_path)
    assert str(settings.projects[0].timezone) == "Europe/Berlin"
    assert settings.projects[0].schedule == "0 * * * *"


def test_what_is_set_already_is_used_and_secrets_of_the_environment_stay_there(
    sandbox: Sandbox, environ: dict[str, str], tmp_path: Path
) -> None:
    known = {**environ, **sandbox.settings}
    with terminal(milesync("init"), folder=tmp_path, environ=known) as shown:
        shown.answer("Time zone", "")
        shown.answer("Schedule", "")
        assert shown.end() == 0
    assert API_KEY not in shown.shown
    assert read(tmp_path / ".env") == {}
    assert tomllib.loads((tmp_path / "milesync.toml").read_text(encoding="utf-8"))["projects"]


def test_options_are_not_asked_for(
    sandbox: Sandbox, environ: dict[str, str], tmp_path: Path
) -> None:
    pasted = f"{sandbox.testrail.url}/index.php?/projects/overview/1"
    options = ["--testrail-url", pasted, "--testrail-user", USER]
    options += ["--testably-url", sandbox.testably.url, "--pair", "1=proj_abc123"]
    options += ["--timezone", "Asia/Tokyo", "--schedule", "5 * * * *"]
    with terminal(milesync("init", *options), folder=tmp_path, environ=environ) as shown:
        shown.answer("API key", API_KEY)
        shown.answer("token", TOKEN)
        assert shown.end() == 0
    settings = load_settings(environ={}, cwd=tmp_path)
    assert (settings.projects[0].testrail, settings.projects[0].schedule) == (1, "5 * * * *")
    text = (tmp_path / "milesync.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["testrail"]["url"] == sandbox.testrail.url


def test_projects_without_a_namesake_are_left_out(
    sandbox: Sandbox, environ: dict[str, str], tmp_path: Path
) -> None:
    sandbox.testrail.model.projects |= {2, 3}
    sandbox.testrail.model.project_names |= {2: "Only here", 3: "By hand"}
    sandbox.testably.model.projects |= {"proj_other", "proj_third"}
    with terminal(milesync("init"), folder=tmp_path, environ=environ) as shown:
        answer_all(shown, sandbox, "3=proj_other", "")
        assert shown.end() == 0
    assert "Not paired in TestRail: 2 Only here, 3 By hand." in shown.shown
    pairs = load_settings(environ={}, cwd=tmp_path).projects
    assert [(pair.testrail, pair.testably) for pair in pairs] == [
        (1, "proj_abc123"),
        (3, "proj_other"),
    ]


def test_projects_that_may_not_be_listed_are_asked_for_and_tried(
    sandbox: Sandbox, environ: dict[str, str], tmp_path: Path
) -> None:
    sandbox.testrail.model.switches = TestRailSwitches(lists_projects=False)
    with terminal(milesync("init"), folder=tmp_path, environ=environ) as shown:
        shown.answer("Address of TestRail", sandbox.testrail.url)
        shown.answer("TestRail user", USER)
        shown.answer("API key", API_KEY)
        shown.expect("403")
        shown.answer("Address of Testably", sandbox.testably.url)
        shown.answer("token", TOKEN)
        shown.answer("A pair", "99=proj_abc123")
        shown.expect("400|404")
        shown.answer("A pair", "1=proj_abc123")
        shown.answer("Time zone", "")
        shown.answer("Schedule", "")
        assert shown.end() == 0
    assert load_settings(environ={}, cwd=tmp_path).projects[0].testrail == 1


def test_a_file_that_is_there_is_replaced_only_after_a_yes(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "milesync.toml").write_text("# mine\n")
    with terminal(milesync("init"), folder=tmp_path, environ=environ) as shown:
        shown.answer("Replace milesync.toml, y/n", "n")
        assert shown.end() == 1
    assert (tmp_path / "milesync.toml").read_text() == "# mine\n"


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_an_answer_that_is_no_text_is_asked_for_again(
    sandbox: Sandbox, environ: dict[str, str], tmp_path: Path, errors: str
) -> None:
    """As Python reads the input in any locale, and in C; nothing usual is taken for it."""
    known = {**environ, **sandbox.settings, "PYTHONIOENCODING": f"utf-8:{errors}"}
    for name in ("MILESYNC_TESTRAIL_USER", "MILESYNC_TESTABLY_TOKEN", "MILESYNC_PROJECTS"):
        del known[name]
    with terminal(milesync("init"), folder=tmp_path, environ=known) as shown:
        for question, answer in (
            ("TestRail user", USER),
            ("Testably token", TOKEN),
            ("Take them as pairs", "n"),
            ("Pair 1 Webshop", "y"),
        ):
            shown.expect(question + r"[^\n]*[:?] $")
            shown.press(b"\xe9\n")
            shown.expect("What was typed is no text|has a (line break|character)")
            shown.answer(question, answer)
        shown.answer("Time zone", "")
        shown.answer("Schedule", "")
        assert shown.end() == 0


def test_an_end_of_the_input_writes_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    with terminal(milesync("init"), folder=tmp_path, environ=environ) as shown:
        shown.expect("Address of TestRail")
        shown.press("\x04")
        assert shown.end() == 2
    assert list(tmp_path.iterdir()) == []


@given(SECRETS, SECRETS)
def test_a_secret_of_any_characters_is_read_as_it_was_typed(key: str, token: str) -> None:
    values = {"MILESYNC_TESTRAIL_API_KEY": key, "MILESYNC_TESTABLY_TOKEN": token}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / ".env"
        file.write_text(env_text(file, values, {"MILESYNC_WEB_TOKEN": "x"}), encoding="utf-8")
        assert read(file) == values


def read(file: Path) -> Mapping[str, str]:
    return read_env_file(read_settings_file(file), "MILESYNC_")[0]


def test_what_else_stands_in_an_env_file_stays(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("POSTGRES_PASSWORD=p\n# mine\nMILESYNC_TESTABLY_TOKEN=old\n")
    values = {"MILESYNC_TESTRAIL_API_KEY": "k", "MILESYNC_TESTABLY_TOKEN": "new"}
    lines = env_text(file, values, {}).splitlines()
    assert lines == [
        "POSTGRES_PASSWORD=p",
        "# mine",
        "MILESYNC_TESTRAIL_API_KEY=k",
        "MILESYNC_TESTABLY_TOKEN=new",
    ]


def test_what_is_set_wrongly_is_asked_for_and_not_shown(
    sandbox: Sandbox, environ: dict[str, str], tmp_path: Path
) -> None:
    """Each with the reason; a key that was pasted along stands nowhere."""
    wrong = {
        "MILESYNC_TESTRAIL_URL": "https://me:S-hush-9@example.testrail.io",
        "MILESYNC_TESTRAIL_USER": f"{USER}:S-hush-9",
        "MILESYNC_TESTABLY_URL": "https://example.com?key=S-hush-9",
        "MILESYNC_TESTRAIL_TIMEZONE": "Nowhere",
    }
    with terminal(milesync("init"), folder=tmp_path, environ={**environ, **wrong}) as shown:
        shown.expect(r"MILESYNC_TESTRAIL_URL: '\*\*\*@example.testrail.io' has credentials in it")
        shown.expect(r"Address of TestRail, as https://example.testrail.io: $")
        shown.type(sandbox.testrail.url)
        shown.expect("MILESYNC_TESTRAIL_USER has a colon in it")
        shown.answer(r"TestRail user, as a rule an e-mail address", USER)
        shown.answer("API key", API_KEY)
        shown.expect("MILESYNC_TESTABLY_URL: 'https://example.com\\?…' has more behind")
        shown.answer("Address of Testably", sandbox.testably.url)
        shown.answer("token", TOKEN)
        shown.answer("Take them as pairs", "")
        shown.expect("MILESYNC_TESTRAIL_TIMEZONE: 'Nowhere' is not an IANA time zone")
        shown.answer("Time zone", "")
        shown.answer("Schedule", "")
        assert shown.end() == 0
    assert "S-hush-9" not in shown.shown
    assert "MILESYNC_TESTRAIL_URL is set to another value in the environment" in shown.shown


def test_of_a_pasted_address_that_is_set_the_page_is_not_shown(
    sandbox: Sandbox, environ: dict[str, str], tmp_path: Path
) -> None:
    """Neither as the one that is used, nor as the one that was refused."""
    pasted = "/index.php?/attachments/get/1&key=S-hush-9"
    known = {**environ, "MILESYNC_TESTRAIL_URL": f"http://127.0.0.1:9{pasted}"}
    with terminal(milesync("init"), folder=tmp_path, environ=known) as shown:
        shown.expect(r"http://127.0.0.1:9 \(MILESYNC_TESTRAIL_URL is set\)")
        shown.answer(r"\[http://127.0.0.1:9\]", sandbox.testrail.url)
        shown.expect("TestRail user")
    assert "S-hush-9" not in shown.shown


@pytest.mark.parametrize(
    ("name", "value"),
    [("MILESYNC_RETENTION", "forever"), ("https_proxy", "ftp://proxy.example")],
)
def test_what_is_wrong_and_not_asked_for_ends_it(
    environ: dict[str, str], tmp_path: Path, name: str, value: str
) -> None:
    """No answer could put it right."""
    known = {**environ, name: value}
    with terminal(milesync("init"), folder=tmp_path, environ=known) as shown:
        assert shown.end() == 2
    assert name in shown.shown
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_proxy_of_one_side_alone_ends_it_too(
    environ: dict[str, str], tmp_path: Path
) -> None:
    known = {**environ, "https_proxy": "ftp://proxy.example", "no_proxy": "api.testably.app"}
    with terminal(milesync("init"), folder=tmp_path, environ=known) as shown:
        shown.answer("Address of TestRail", "https://example.testrail.io")
        assert shown.end() == 2
    assert "https_proxy" in shown.shown


def test_an_address_to_which_no_credentials_may_go_is_asked_for_again(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with terminal(milesync("init"), folder=tmp_path, environ=environ) as shown:
        shown.answer("Address of TestRail", "http://example.testrail.io")
        shown.expect(r"sends the credentials to\s+example.testrail.io")
        shown.expect("Address of TestRail")
