"""One stream, in the asked-for form, without a secret in it."""

from __future__ import annotations

import io
import json
import logging
import string
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from worker.errors import SettingsError
from worker.log import Redactor, configure_logging, name_process

SECRETS = st.text(string.ascii_letters + string.digits + "%'\"\\$&=+/{", min_size=6)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _logged(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def _raise(error: Exception) -> None:
    raise error


def test_ours_and_the_libraries_records_are_one_stream_of_json() -> None:
    out = io.StringIO()
    configure_logging("info", stream=out)
    with structlog.contextvars.bound_contextvars(run="r1", pair="1=p"):
        structlog.get_logger("worker.sync").info("created", testrail_id=7)
        logging.getLogger("celery.worker").warning("task %s", "t1")
    ours, theirs = _logged(out)
    assert ours["event"] == "created"
    assert (ours["testrail_id"], ours["run"], ours["pair"]) == (7, "r1", "1=p")
    assert (ours["level"], ours["logger"]) == ("info", "worker.sync")
    assert ours["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["run"]) == ("task t1", "r1")
    assert (theirs["level"], theirs["logger"]) == ("warning", "celery.worker")


def test_on_a_terminal_it_is_for_people_unless_json_is_asked_for() -> None:
    terminal, asked = Terminal(), Terminal()
    configure_logging(stream=terminal)
    structlog.get_logger().info("hello", run="r1")
    configure_logging(fmt="json", stream=asked)
    structlog.get_logger().info("hello")
    assert not terminal.getvalue().startswith("{")
    assert "hello" in terminal.getvalue()
    assert _logged(asked)[0]["event"] == "hello"


def test_the_process_is_a_field_in_json_and_stands_before_each_line_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.log._process", [])
    name_process("refresher")
    asked, terminal, file = io.StringIO(), Terminal(), io.StringIO()
    configure_logging(fmt="json", stream=asked)
    logging.getLogger("celery.worker").info("ready.")
    configure_logging(fmt="console", stream=file)
    try:
        _raise(ValueError("two\nlines"))
    except ValueError:
        structlog.get_logger().exception("it failed")
    configure_logging(stream=terminal)
    structlog.get_logger().info("hello")
    assert _logged(asked)[0]["process"] == "refresher"
    lines = file.getvalue().splitlines()
    assert len(lines) > 3
    assert all(line.startswith("refresher | ") for line in lines)
    assert terminal.getvalue().startswith("\x1b[34mrefresher | \x1b[0m")


def test_stderr_is_the_default_and_stdout_stays_empty(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    structlog.get_logger().info("hello")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "hello"


def test_configured_twice_it_writes_once() -> None:
    out = io.StringIO()
    configure_logging(stream=out)
    configure_logging(stream=out)
    structlog.get_logger().info("hello")
    assert len(_logged(out)) == 1


def test_levels_and_the_quiet_libraries() -> None:
    out = io.StringIO()
    configure_logging("warning", stream=out)
    structlog.get_logger().info("not this")
    structlog.get_logger().warning("this")
    configure_logging("info", stream=out)
    logging.getLogger("httpx").info("HTTP Request: GET ...")
    logging.getLogger("httpx").warning("this too")
    configure_logging("error", stream=out)
    logging.getLogger("httpx").warning("not this")
    assert [record["event"] for record in _logged(out)] == ["this", "this too"]


def test_uvicorn_s_own_handlers_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    out, own = io.StringIO(), logging.StreamHandler(io.StringIO())
    server = logging.getLogger("uvicorn.error")
    monkeypatch.setattr(server, "propagate", True)  # a server in this process may have cut it off
    monkeypatch.setattr(server, "level", logging.NOTSET)
    server.addHandler(own)
    configure_logging(stream=out)
    logging.getLogger("uvicorn.error").info("Started")
    assert len(_logged(out)) == 1
    assert own not in logging.getLogger("uvicorn.error").handlers


def test_calls_of_the_web_process_are_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may make them, with anything in the query string."""
    out, own = io.StringIO(), logging.StreamHandler(io.StringIO())
    access = logging.getLogger("uvicorn.access")
    monkeypatch.setattr(access, "propagate", True)
    monkeypatch.setattr(access, "level", logging.NOTSET)
    access.addHandler(own)
    configure_logging("debug", stream=out)
    access.info("GET /healthz?secret=hush")
    assert not access.hasHandlers()  # by which uvicorn decides whether to write them at all
    assert out.getvalue() == own.stream.getvalue() == ""


def test_python_warnings_join_the_stream() -> None:
    out = io.StringIO()
    configure_logging(stream=out)
    warnings.warn("old", stacklevel=1)
    assert "old" in _logged(out)[0]["event"]


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_our_errors_are_a_message_and_a_hint_without_a_traceback(fmt: Any) -> None:
    out = io.StringIO()
    configure_logging(fmt=fmt, stream=out)
    try:
        _raise(SettingsError("the URL is wrong", "correct it"))
    except SettingsError:
        structlog.get_logger().exception("stopped")
        logging.getLogger("celery").exception("stopped too")
    assert out.getvalue().count("the URL is wrong") == 2
    assert out.getvalue().count("correct it") == 2
    assert "Traceback" not in out.getvalue()


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_other_errors_come_with_a_traceback_but_no_local_variables(fmt: Any) -> None:
    out = io.StringIO()
    configure_logging(fmt=fmt, stream=out)
    local = "only-a-local"
    try:
        _raise(ZeroDivisionError(len(local)))
    except ZeroDivisionError as error:
        structlog.get_logger().error("broken", exc_info=error)
        structlog.get_logger().error("broken", exc_info=True)
    assert out.getvalue().count("Traceback") == 2
    assert "only-a-local\n" not in out.getvalue()


# --- secrets ----------------------------------------------------------------------------------


@given(secret=SECRETS.map(lambda text: f"hush{text}"), fmt=st.sampled_from(["json", "console"]))
def test_a_secret_never_reaches_the_log(secret: str, fmt: Any) -> None:
    """However it gets there: in the event, a value, a key, a library's arguments, an error."""
    out = io.StringIO()
    configure_logging("debug", fmt, secrets=[SecretStr(secret)], stream=out)
    log = structlog.get_logger()
    log.info(f"sent {secret}", value=secret, deep={"list": [(secret, 1)], secret: 2})
    log.info("object", error=ValueError(secret), kept=SecretStr(secret), raw=KeyError(secret))
    logging.getLogger("celery").info("args %r %s", {"x": secret}, secret)
    for error in (ValueError(secret), KeyError(secret), SettingsError(secret, secret)):
        try:
            _raise(error)
        except Exception:
            log.exception("failed")
    assert "hush" not in out.getvalue()
    assert "***" in out.getvalue()


def test_a_value_is_hidden_by_the_name_of_its_key() -> None:
    event = Redactor()(
        None,
        "",
        {
            "event": "call",
            "Authorization": "Basic x",
            "testrail_api_key": "x",
            "headers": {"X-Milesync-Secret": b"x", "accept": "json"},
            "password": ["x"],
            "tokens_left": 59,
            "token": None,
        },
    )
    assert event == {
        "event": "call",
        "Authorization": "***",
        "testrail_api_key": "***",
        "headers": {"X-Milesync-Secret": "***", "accept": "json"},
        "password": "***",
        "tokens_left": 59,
        "token": None,
    }


def test_credentials_are_known_by_their_form() -> None:
    hide = Redactor().text
    assert hide("Authorization: Basic bGVhZDpodXNoaHVzaA==") == "Authorization: Basic ***"
    assert hide("connected to redis://me:hush@h:6379/0") == "connected to redis://***@h:6379/0"
    assert hide("basic authentication at https://h/a:b") == "basic authentication at https://h/a:b"


def test_the_longer_of_two_secrets_goes_as_a_whole() -> None:
    hide = Redactor([SecretStr("hush"), SecretStr("hush-hush"), SecretStr("a")]).text
    assert hide("a hush-hush affair") == "a *** affair"


def test_a_record_that_cannot_be_written_is_not_printed_raw(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("hush")

    out = io.StringIO()
    configure_logging(stream=out)
    structlog.get_logger("worker.sync").info("hush", value=Broken())
    assert "hush" not in capsys.readouterr().err + out.getvalue()
    assert "a log record of worker.sync could not be written" in out.getvalue()
