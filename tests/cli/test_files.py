"""The files that commands leave: for their owner, where they were named, never through a link."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from mappings.database import open_engine, upgrade
from tests.cli.conftest import Milesync
from worker.cli.files import require_writable, write_private
from worker.errors import UsageError
from worker.sandbox.server import Sandbox

OUTPUTS = (("plan", "--out"), ("migrate", "--yes", "--report"))


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.usefixtures("sandbox")
def test_every_file_that_a_run_leaves_is_for_its_owner_only(
    milesync: Milesync, folder: Path
) -> None:
    """Database, its companions while it is open, lock, reports, plan and settings."""
    assert milesync("init").code == 0
    assert milesync("plan", "--out", "plan.json").code == 0
    for name in ("run.json", "run.html", "run.csv"):
        assert milesync("migrate", "--yes", "--report", name).code == 0
    found = {file.name for file in folder.iterdir()}
    expected = {"plan.json", "run.json", "run.html", "run.csv", "milesync.toml", "milesync.db"}
    assert found >= expected
    assert any(name.endswith(".lock") for name in found)
    assert {name: mode(folder / name) for name in found} == dict.fromkeys(found, 0o600)


def test_the_companions_of_a_database_are_for_its_owner_only(folder: Path) -> None:
    """SQLite makes -wal and -shm like the database."""
    engine = open_engine(f"sqlite:///{folder}/m.db")
    upgrade(engine)
    with engine.connect():
        found = {file.name: mode(file) for file in folder.iterdir()}
    engine.dispose()
    assert found == dict.fromkeys(("m.db", "m.db-wal", "m.db-shm"), 0o600)


def test_a_database_that_is_there_keeps_its_mode(folder: Path) -> None:
    """A person has given it to others, or to nobody else: that is not ours to change."""
    (folder / "m.db").touch(0o640)
    engine = open_engine(f"sqlite:///{folder}/m.db")
    upgrade(engine)
    engine.dispose()
    assert mode(folder / "m.db") == 0o640


@pytest.mark.parametrize(
    "name", ["per%20cent", "a?b", "a?b=c", "a#b", "a b", "a@b:c", "\u00e4", "%"]
)
@pytest.mark.parametrize(
    "form", ["sqlite:///{}/m.db", "sqlite:///m.db", "sqlite:///{}/m.db?timeout=9"]
)
def test_the_database_lands_in_the_folder_that_is_named(
    milesync: Milesync, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    """Whether the name stands in the setting or is that of the working directory."""
    there = folder / name
    there.mkdir()
    if "{}" not in form:
        monkeypatch.chdir(there)
    monkeypatch.setenv("MILESYNC_DATABASE_URL", form.format(name))
    monkeypatch.setenv("MILESYNC_PROJECTS", "1=p")
    assert milesync("db", "upgrade").code == 0
    assert milesync("status").code == 0
    assert [file.name for file in folder.iterdir()] == [name]
    assert "m.db" in {file.name for file in there.iterdir()}


@pytest.mark.parametrize("words", OUTPUTS, ids=lambda words: words[0])
def test_no_file_is_written_through_a_link(
    milesync: Milesync, folder: Path, sandbox: Sandbox, words: tuple[str, ...]
) -> None:
    """It is refused before a request is sent; so is a device, which a rename would replace."""
    target = folder / "precious.txt"
    target.write_text("precious")
    (folder / "link.json").symlink_to(target)
    (folder / "dangling.json").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    for name in ("link.json", "dangling.json", "pipe.json", "folder.json"):
        ended = milesync(*words, name, "--json")
        assert (ended.code, ended.json["error"]["kind"]) == (2, "usage")
        assert "cannot be written" in ended.json["error"]["message"]
    assert target.read_text() == "precious"
    assert not (folder / "nowhere").exists()
    assert sandbox.testrail.count() == 0


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("words", OUTPUTS, ids=lambda words: words[0])
def test_a_file_that_is_there_is_replaced_as_a_whole(
    milesync: Milesync, folder: Path, words: tuple[str, ...]
) -> None:
    """Another name of the old one keeps its content; nothing else is left behind."""
    old = folder / "old.json"
    old.write_text("old")
    (folder / "out.json").hardlink_to(old)
    assert milesync(*words, "out.json").code == 0
    assert old.read_text() == "old"
    assert "projects" in (folder / "out.json").read_text()
    assert not [file for file in folder.iterdir() if file.name.startswith(".")]


def test_a_file_that_could_not_be_written_leaves_the_old_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "out.json"
    file.write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_private(file, "new")
    monkeypatch.undo()
    assert [one.name for one in folder.iterdir()] == ["out.json"]
    assert file.read_text() == "old"


def test_a_folder_that_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be written: No such file or directory"):
        require_writable(folder / "nowhere" / "out.json", "a plan", (".json",))


def test_a_name_that_no_encoding_holds_is_written_all_the_same(folder: Path) -> None:
    write_private(folder / "out.json", "a\ud800b")
    assert (folder / "out.json").read_text() == "a\\ud800b"


@pytest.mark.usefixtures("sandbox")
def test_check_refuses_sqlite_on_a_network_drive(
    milesync: Milesync, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines could each hold the lock of a pair there (R8)."""
    mounts = folder / "mounts"
    mounts.write_text(f"server:/export {folder} nfs4 rw 0 0\n")
    monkeypatch.setattr("mappings.unsuited.MOUNTS", mounts)
    ended = milesync("check", "--json")
    assert ended.code == 1
    [database] = [one for one in ended.json["checks"] if one["name"] == "database"]
    assert not database["ok"]
    assert "network file system (nfs4)" in database["message"]


@pytest.mark.usefixtures("sandbox")
def test_check_finds_a_copy_that_was_put_back_beside_what_is_newer(
    milesync: Milesync, folder: Path
) -> None:
    """SQLite takes the `-wal` that a killed process has left for the copy's own, and mixes both."""
    assert milesync("sync", "--json").code == 0
    database, wal = folder / "milesync.db", folder / "milesync.db-wal"
    copy = database.read_bytes()
    with closing(sqlite3.connect(database)) as process:
        process.execute("CREATE TABLE filler (text)")
        for number in (400, 30):
            process.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            process.executemany("INSERT INTO filler VALUES (?)", [("x" * 900,)] * number)
            process.commit()
        left = wal.read_bytes()
    assert milesync("check").code == 0
    database.write_bytes(copy)
    wal.write_bytes(left)
    ended = milesync("check", "--json")
    assert ended.code == 1
    [found] = [one for one in ended.json["checks"] if not one["ok"]]
    assert found["name"] == "database"
    assert f"The database {database} is damaged: " in found["message"]
    assert "together with its -wal and -shm files" in found["hint"]
    for file in (database, wal, folder / "milesync.db-shm"):
        file.unlink(missing_ok=True)
    database.write_bytes(copy)
    assert milesync("check").code == 0


@pytest.mark.usefixtures("sandbox")
def test_check_says_that_it_looks_through_no_very_large_file(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "too large" not in milesync("check").out
    monkeypatch.setattr("mappings.unsuited.LARGEST", 1)
    ended = milesync("check")
    assert (ended.code, "It is too large to be looked through." in ended.out) == (0, True)
