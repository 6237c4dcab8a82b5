"""docs/causes.md: each row is provoked, and ends with the words and the exit code that it names."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Final

import pytest
from sqlalchemy.exc import DBAPIError

from mappings.causes import CAUSES, Cause, store_error
from tests.cli.conftest import Ended, Milesync
from tests.clients.certificates import AUTHORITY, EXPIRED, OTHER_HOST, SERVER, tls_server
from tests.support.transports import http, raw_server
from worker.redis_causes import CAUSES as REDIS_CAUSES
from worker.redis_causes import redis_words
from worker.sandbox.server import Sandbox

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    """A row of the page: a cause, what is said, what to do, the exit code; "…" is anything."""

    cause: str
    said: str
    hint: str
    code: int


def _rows() -> list[Row]:
    lines = (ROOT / "docs" / "causes.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [Row(one[0], one[1], one[2], int(one[3])) for one in cells if one[-1].isdecimal()]


ROWS: Final = _rows()


def fits(pattern: str, text: str) -> bool:
    """Whether a text is what a cell says."""
    parts = map(re.escape, pattern.replace("`", "").split("…"))
    return re.fullmatch(".*".join(parts), text.replace("`", ""), re.DOTALL) is not None


@dataclass
class World:
    """What a cause can be provoked with."""

    milesync: Milesync
    folder: Path
    env: pytest.MonkeyPatch
    sandbox: Sandbox
    opened: ExitStack
    fixture: Callable[[str], Any]

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self.env.setenv(name, value)

    def run(self, *words: str, **variables: str) -> Ended:
        """The command's end, by its JSON document."""
        self.set(**{f"MILESYNC_{name}": value for name, value in variables.items()})
        return self.milesync(*words, "--json")

    def write(self, name: str, text: str | bytes, mode: int = 0o600) -> Path:
        file = self.folder / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(mode)
        return file

    def pragma(self, *pragmas: str) -> None:
        """Have SQLite behave as on another disk."""
        from mappings import database

        before = database._set_pragmas

        def set_more(connection: sqlite3.Connection, record: object) -> None:
            before(connection, record)
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")

        self.env.setattr(database, "_set_pragmas", set_more)


@pytest.fixture
def world(
    milesync: Milesync,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    sandbox: Sandbox,
    request: pytest.FixtureRequest,
) -> Iterator[World]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with ExitStack() as opened:
        yield World(milesync, folder, monkeypatch, sandbox, opened, request.getfixturevalue)


# --- settings and files -----------------------------------------------------------------------


def missing_credentials(w: World) -> Ended:
    return w.run("plan", TESTABLY_TOKEN="")


def wrong_value(w: World) -> Ended:
    return w.run("plan", TESTRAIL_RATE_LIMIT="fast")


def user_with_colon(w: World) -> Ended:
    return w.run("check", TESTRAIL_USER="ann@example.com:hush")


def env_line(w: World) -> Ended:
    w.write(".env", "OTHER=1\nMILESYNC_TESTABLY_TOKEN='x\n")
    return w.run("plan")


def not_utf8(w: World) -> Ended:
    w.write("milesync.toml", b"# one\n# \xfc\n")
    return w.run("plan")


def not_toml(w: World) -> Ended:
    w.write("milesync.toml", "[testrail]\nurl = https://x\n")
    return w.run("plan")


def env_too_long(w: World) -> Ended:
    w.write(".env", "MILESYNC_LOG_LEVEL=info\n" * 20_000)
    return w.run("plan")


def others_write(w: World) -> Ended:
    w.write(".env", "", 0o666)
    return w.run("plan")


def no_such_file(w: World) -> Ended:
    return w.run("plan", "--config", "nowhere.toml")


def plain_http(w: World) -> Ended:
    return w.run("plan", TESTRAIL_URL="http://testrail.corp.example")


def plain_http_notices(w: World) -> Ended:
    return w.run("plan", NOTIFY="http://hooks.corp.example/hook")


def unknown_scheme(w: World) -> Ended:
    return w.run("check", NOTIFY="https://hooks.example/1,slak://hush/hush/hush")


def half_an_address(w: World) -> Ended:
    return w.run("check", NOTIFY="slack://hush")


def guessed_secret(w: World) -> Ended:
    return w.run("check", WEBHOOK_SECRET="short")


def deleted_folder(w: World) -> Ended:
    gone = w.folder / "gone"
    gone.mkdir()
    w.env.chdir(gone)
    gone.rmdir()
    return w.run("plan")


# --- the database -----------------------------------------------------------------------------


def no_folder(w: World) -> Ended:
    return w.run("status", DATABASE_URL="sqlite:///nowhere/milesync.db")


def link_to_nowhere(w: World) -> Ended:
    (w.folder / "milesync.db").symlink_to("nowhere/real.db")
    return w.run("status")


def link_to_itself(w: World) -> Ended:
    (w.folder / "milesync.db").symlink_to("milesync.db")
    return w.run("status")


def folder_for_a_file(w: World) -> Ended:
    (w.folder / "milesync.db").mkdir()
    return w.run("status")


def linked_lock(w: World) -> Ended:
    (w.folder / "milesync.db.pair-1.lock").symlink_to("precious")
    return w.run("sync")


def no_sqlite(w: World) -> Ended:
    w.write("milesync.db", "This is a text and no database. " * 40)
    return w.run("status")


def damaged(w: World) -> Ended:
    assert w.run("migrate", "--yes").code == 0
    whole = (w.folder / "milesync.db").read_bytes()
    w.write("milesync.db", whole[: len(whole) // 2])
    for name in ("milesync.db-wal", "milesync.db-shm"):
        (w.folder / name).unlink(missing_ok=True)
    return w.run("migrate", "--yes")


def full_disk(w: World) -> Ended:
    assert w.run("db", "upgrade").code == 0
    w.pragma("max_page_count=1")
    return w.run("sync")


def read_only(w: World) -> Ended:
    assert w.run("db", "upgrade").code == 0
    w.pragma("query_only=ON")
    return w.run("sync")


def locked(w: World) -> Ended:
    w.pragma("busy_timeout=1")
    holder = w.opened.enter_context(sqlite3.connect("milesync.db"))
    holder.execute("BEGIN EXCLUSIVE")
    w.opened.callback(holder.rollback)
    return w.run("db", "upgrade")


def newer(w: World) -> Ended:
    assert w.run("db", "upgrade").code == 0
    with sqlite3.connect("milesync.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    return w.run("status")


def somebody_else_s(w: World) -> Ended:
    with sqlite3.connect("milesync.db") as connection:
        connection.execute("CREATE TABLE links (a)")
    return w.run("status")


def server_away(w: World) -> Ended:
    return w.run("status", DATABASE_URL=f"postgresql://me:hush@127.0.0.1:{closed_port()}/d")


def unknown_database(w: World) -> Ended:
    url = w.fixture("postgres_url")
    return w.run("status", DATABASE_URL=re.sub(r"/test_\w+", "/not_there", url))


def unknown_role(w: World) -> Ended:
    url = w.fixture("postgres_url")
    return w.run("status", DATABASE_URL=re.sub(r"//[^@]*@", "//nobody_of_this_name@", url))


def not_upgraded(w: World) -> Ended:
    from tests.conftest import fresh_database

    url = fresh_database(w.fixture("postgres_server"), "test_causes_not_upgraded")
    return w.run("status", DATABASE_URL=url)


def wrong_option(w: World) -> Ended:
    return w.run("status", DATABASE_URL="postgresql://me@127.0.0.1/d?sslmode=perhaps")


def unknown_option(w: World) -> Ended:
    return w.run("status", DATABASE_URL="postgresql://me@127.0.0.1/d?bogus=1")


# --- Redis ------------------------------------------------------------------------------------


def redis_away(w: World) -> Ended:
    return w.run("sync", REDIS_URL=f"redis://127.0.0.1:{closed_port()}/0")


def redis_unknown(w: World) -> Ended:
    return w.run("sync", REDIS_URL="redis://nowhere.invalid/0")


def redis_password(w: World) -> Ended:
    from worker.embedded_broker import embedded_broker

    url = w.opened.enter_context(embedded_broker()).get_secret_value()
    return w.run("sync", REDIS_URL=re.sub(r"//:[^@]*@", "//:wrong@", url))


def redis_without_tls(w: World) -> Ended:
    url = w.fixture("redis_url")
    return w.run("sync", REDIS_URL=url.replace("redis:", "rediss:"))


def broker_away(w: World) -> Ended:
    url = f"redis://127.0.0.1:{closed_port()}/0"
    return w.run("migrate", "--background", "--yes", REDIS_URL=url)


# --- the network and the APIs -----------------------------------------------------------------


def nobody_listens(w: World) -> Ended:
    return w.run("plan", TESTRAIL_URL=f"http://127.0.0.1:{closed_port()}")


def unknown_authority(w: World) -> Ended:
    server = w.opened.enter_context(tls_server(SERVER, w.folder, http(b"{}")))
    return w.run("plan", TESTRAIL_URL=server.url)


def refused_certificate(w: World, certificate: str) -> Ended:
    w.set(SSL_CERT_FILE=str(w.write("ca.pem", AUTHORITY)))
    server = w.opened.enter_context(tls_server(certificate, w.folder, http(b"{}")))
    return w.run("plan", TESTRAIL_URL=server.url)


def other_host(w: World) -> Ended:
    return refused_certificate(w, OTHER_HOST)


def expired(w: World) -> Ended:
    return refused_certificate(w, EXPIRED)


def empty_authority(w: World) -> Ended:
    w.set(SSL_CERT_FILE=str(w.write("ca.pem", "")))
    return w.run("plan", TESTRAIL_URL="https://testrail.example")


def absent_authority(w: World) -> Ended:
    w.set(SSL_CERT_FILE=str(w.folder / "absent.pem"))
    return w.run("plan", TESTRAIL_URL="https://testrail.example")


def speaks_http(w: World) -> Ended:
    def at_once(connection: socket.socket) -> socket.socket:
        connection.sendall(http(b"{}"))
        return connection

    server = w.opened.enter_context(raw_server(lambda *_: None, at_once))
    return w.run("plan", TESTRAIL_URL=server.url.replace("http:", "https:"))


def wants_https(w: World) -> Ended:
    text = http(b"The plain HTTP request was sent to HTTPS port", "400 Bad Request")
    server = w.opened.enter_context(raw_server(lambda connection, _: connection.sendall(text)))
    return w.run("plan", TESTRAIL_URL=server.url)


def dead_proxy(w: World) -> Ended:
    w.set(https_proxy=f"http://ann:hush@127.0.0.1:{closed_port()}")
    return w.run("plan", TESTRAIL_URL="https://testrail.example")


def malformed_proxy(w: World) -> Ended:
    w.set(https_proxy="http://ann:hush@proxy:port")
    return w.run("plan", TESTRAIL_URL="https://testrail.example")


def answering(w: World, body: bytes, status: str, *headers: str) -> str:
    """The URL of something that answers everything so."""
    text = http(body, status, *headers)
    server = w.opened.enter_context(raw_server(lambda connection, _: connection.sendall(text)))
    return server.url


def refusing(w: World, status: str) -> str:
    """The URL of something that answers everything with this status alone."""
    return answering(w, b"", status)


def sent_on_to_https(w: World) -> Ended:
    location = "Location: https://127.0.0.1/index.php"
    return w.run("plan", TESTRAIL_URL=answering(w, b"", "301 Moved", location))


def sent_elsewhere(w: World) -> Ended:
    location = "Location: https://elsewhere.example/login?session=hush"
    return w.run("plan", TESTRAIL_URL=answering(w, b"", "302 Found", location))


def page_for_people(w: World) -> Ended:
    w.env.setattr("worker.clients.retries.FIRST_DELAY", 0.0)
    return w.run("plan", TESTRAIL_URL=answering(w, b"<html>Log in</html>", "200 OK"))


def no_answer(w: World) -> Ended:
    w.env.setattr("worker.clients.retries.FIRST_DELAY", 0.0)
    over = Event()
    w.opened.callback(over.set)

    def keep_waiting(*_: object) -> None:
        over.wait(60)

    server = w.opened.enter_context(raw_server(keep_waiting))
    return w.run("plan", TESTRAIL_URL=server.url, HTTP_TIMEOUT="0.2")


def no_access(w: World) -> Ended:
    text = json.dumps({"error": "The requested project does not allow it."}).encode()
    return w.run("plan", TESTRAIL_URL=answering(w, text, "403 Forbidden"))


def unknown_source_project(w: World) -> Ended:
    return w.run("plan", PROJECTS="77=proj_abc123")


def unknown_target_project(w: World) -> Ended:
    return w.run("plan", PROJECTS="1=proj_of_nobody")


def proxy_wants_login(w: World) -> Ended:
    w.set(https_proxy=refusing(w, "407 Proxy Authentication Required"))
    return w.run("plan", TESTRAIL_URL="https://testrail.example")


def unnamed_proxy_wants_login(w: World) -> Ended:
    return w.run("plan", TESTRAIL_URL=refusing(w, "407 Proxy Authentication Required"))


def proxy_refuses(w: World) -> Ended:
    w.set(https_proxy=refusing(w, "403 Forbidden"))
    return w.run("plan", TESTRAIL_URL="https://testrail.example")


def api_switched_off(w: World) -> Ended:
    text = json.dumps({"error": "The API is disabled for your installation."}).encode()
    answer = http(text, "403 Forbidden")
    server = w.opened.enter_context(raw_server(lambda connection, _: connection.sendall(answer)))
    return w.run("plan", TESTRAIL_URL=server.url)


def error_with_200(w: World) -> Ended:
    text = http(json.dumps({"error": "The project is locked, hush-1."}).encode())
    server = w.opened.enter_context(raw_server(lambda connection, _: connection.sendall(text)))
    w.env.setattr("worker.clients.retries.FIRST_DELAY", 0.0)
    return w.run("plan", TESTRAIL_URL=server.url, TESTRAIL_API_KEY="hush-1")


def wrong_key(w: World) -> Ended:
    return w.run("plan", TESTRAIL_API_KEY="wrong")


def wrong_token(w: World) -> Ended:
    return w.run("plan", TESTABLY_TOKEN="wrong")


# --- commands ---------------------------------------------------------------------------------


def output_full(_: World) -> Ended:
    """The words come on stderr, since there is nothing to print a document on."""
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "worker.cli", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=ROOT,
        )
    message, hint = process.stderr.removeprefix("milesync: ").splitlines()
    error = {"message": message, "hint": hint.strip()}
    return Ended(process.returncode, json.dumps({"error": error}), "")


def no_json(w: World) -> Ended:
    w.write("plan.json", "[" * 200_000)
    return w.run("migrate", "--yes", "--plan", "plan.json")


def half_a_plan(w: World) -> Ended:
    w.write("plan.json", '{"version": 1, "options": {}, "projects": [{"actions": 7}]}')
    return w.run("migrate", "--yes", "--plan", "plan.json")


def link(w: World) -> Ended:
    (w.folder / "run.html").symlink_to("elsewhere.html")
    return w.run("migrate", "--yes", "--report", "run.html")


def no_folder_for_a_report(w: World) -> Ended:
    return w.run("migrate", "--yes", "--report", "nowhere/run.html")


def no_terminal(w: World) -> Ended:
    return w.run("migrate")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


PROVOKED: Final[Mapping[str, Callable[[World], Ended]]] = {
    "an account is missing": missing_credentials,
    "a setting has a wrong value": wrong_value,
    "the TestRail user holds a colon": user_with_colon,
    "a line of the `.env` cannot be read": env_line,
    "a settings file is not UTF-8": not_utf8,
    "a settings file is not TOML": not_toml,
    "a `.env` is too long": env_too_long,
    "others may write a settings file": others_write,
    "`--config` names no file": no_such_file,
    "credentials would go over http": plain_http,
    "notices would go over http": plain_http_notices,
    "a notice's address has an unknown scheme": unknown_scheme,
    "a notice's address is not whole": half_an_address,
    "a secret can be guessed": guessed_secret,
    "the working directory is gone": deleted_folder,
    "the database's folder is not there": no_folder,
    "the database is a link to nowhere": link_to_nowhere,
    "the database is a link to itself": link_to_itself,
    "the database is a folder": folder_for_a_file,
    "the lock beside it is a link": linked_lock,
    "the file is no SQLite database": no_sqlite,
    "the file is damaged": damaged,
    "the disk is full": full_disk,
    "the database is read-only": read_only,
    "another program holds the file": locked,
    "a newer milesync made the database": newer,
    "the database is another program's": somebody_else_s,
    "the database server is away": server_away,
    "the database is not there": unknown_database,
    "the server refuses the account": unknown_role,
    "the tables are of an older version": not_upgraded,
    "an option in the URL has a wrong value": wrong_option,
    "an option in the URL is unknown": unknown_option,
    "Redis is away": redis_away,
    "Redis's host has no address": redis_unknown,
    "Redis refuses the password": redis_password,
    "Redis speaks no TLS": redis_without_tls,
    "the broker is away": broker_away,
    "nobody listens there": nobody_listens,
    "the certificate is of an unknown authority": unknown_authority,
    "the certificate is for another host": other_host,
    "the certificate is over": expired,
    "the file of authorities is empty": empty_authority,
    "the file of authorities is not there": absent_authority,
    "https is asked for, and http is spoken": speaks_http,
    "http is asked for, and https is spoken": wants_https,
    "http is sent on to https": sent_on_to_https,
    "the server is elsewhere": sent_elsewhere,
    "a page for people comes": page_for_people,
    "no answer comes in time": no_answer,
    "the proxy is dead": dead_proxy,
    "the proxy's address cannot be read": malformed_proxy,
    "the proxy wants a user and a password": proxy_wants_login,
    "a proxy that is not named wants them": unnamed_proxy_wants_login,
    "the proxy lets nobody through": proxy_refuses,
    "TestRail's API is switched off": api_switched_off,
    "an error comes with 200": error_with_200,
    "TestRail shows the account nothing": no_access,
    "the TestRail project is unknown": unknown_source_project,
    "the Testably project is unknown": unknown_target_project,
    "TestRail refuses the account": wrong_key,
    "Testably refuses the token": wrong_token,
    "the output cannot be written": output_full,
    "a plan is no JSON": no_json,
    "a plan is not whole": half_a_plan,
    "a file to be written is a link": link,
    "a file to be written has no folder": no_folder_for_a_report,
    "nobody can be asked": no_terminal,
}


def test_the_page_and_the_tests_name_the_same_causes() -> None:
    assert [row.cause for row in ROWS] == list(PROVOKED)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.cause)
def test_a_cause_is_said_with_what_to_do(world: World, row: Row) -> None:
    """Never as a fault of milesync, and never with a secret."""
    ended = PROVOKED[row.cause](world)
    error = ended.json["error"]
    assert fits(row.said, error["message"]), error["message"]
    assert fits(row.hint, error["hint"]), error["hint"]
    assert ended.code == row.code
    assert "hush" not in ended.out


# --- causes that need a server of their own ---------------------------------------------------


class FromPostgres(Exception):
    """An error as psycopg raises it."""

    def __init__(self, sqlstate: str | None, text: str) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "text", "hint"),
    [
        ("53100", "could not extend file", "Make room on the disk"),
        ("28P01", 'password authentication failed for user "me"', "Correct the user"),
        (None, 'FATAL:  password authentication failed for user "me"', "Correct the user"),
        (None, 'connection failed: no pg_hba.conf entry for host "10.0.0.1"', "Correct the user"),
        ("3D000", 'database "d" does not exist', "Create the database"),
        ("42501", "permission denied for schema public", "Give the account"),
        ("53300", "sorry, too many clients already", "run fewer processes"),
        (None, "FATAL:  sorry, too many clients already", "run fewer processes"),
        ("25006", "cannot execute INSERT in a read-only transaction", "read-only copy"),
        ("57P03", "the database system is starting up", "starts or ends"),
        ("57P01", "terminating connection due to administrator command", "starts or ends"),
        ("42P01", 'relation "links" does not exist', "milesync db upgrade"),
        ("08006", "server closed the connection unexpectedly", "Check that the server runs"),
        (None, "bad value for connect_timeout: 'abc'", "behind the ?"),
        (None, 'invalid sslmode value: "perhaps"', "behind the ?"),
        (None, "consuming input failed: SSL connection has been closed", "the server runs"),
        ("XX000", "something that nobody has seen", "Check MILESYNC_DATABASE_URL"),
    ],
)
def test_an_error_of_postgresql_has_a_hint_of_its_own(
    sqlstate: str | None, text: str, hint: str
) -> None:
    error = DBAPIError("SELECT secret", {}, FromPostgres(sqlstate, text))
    made = store_error("The database did not answer", error)
    assert hint in made.hint
    assert made.message == f"The database did not answer: {text}"


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.hint[:30])
def test_every_cause_of_a_database_is_found_by_its_codes(cause: Cause) -> None:
    """The code goes before words, which another cause may share."""
    assert cause.codes or cause.words
    for code in cause.codes:
        error = DBAPIError("", {}, FromPostgres(code, "permission denied, connection, role"))
        assert store_error("x", error).hint == cause.hint


OF_REDIS: Final = [
    ("WRONGPASS invalid username-password pair or user is disabled.", "the password"),
    ("NOAUTH Authentication required.", "the password"),
    ("NOPERM this user has no permissions to run the 'evalsha' command", "Allow the account"),
    ("OOM command not allowed when used memory > 'maxmemory'.", "no more writes"),
    ("MISCONF Redis is configured to save RDB snapshots", "no more writes"),
    ("LOADING Redis is loading the dataset in memory", "in a while"),
    ("READONLY You can't write against a read only replica.", "read-only copy"),
    ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "rediss://"),
    ("Error -2 connecting to h:6379. Name or service not known.", "name of the host"),
    ("Timeout connecting to server", "what lies between"),
    ("Error 111 connecting to h:6379. Connection refused.", "Check that Redis runs"),
    ("", "Check that Redis runs"),
]


@pytest.mark.parametrize(("text", "hint"), OF_REDIS)
def test_an_error_of_redis_has_a_hint_of_its_own(text: str, hint: str) -> None:
    said, told = redis_words(ValueError(text))
    assert hint in told
    assert said == (text.rstrip(".") or "ValueError")


def test_every_cause_of_redis_is_among_them() -> None:
    for cause in REDIS_CAUSES:
        assert [text for text, _ in OF_REDIS if redis_words(ValueError(text))[1] == cause.hint]
