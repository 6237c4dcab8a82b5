"""Where the locks of a database do not hold: a pooler, a network file system (R8)."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from mappings import unsuited
from mappings.database import open_engine
from mappings.errors import StoreError
from mappings.unsuited import file_system, require_locks

LIST = """\
/dev/sda1 / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/export /mnt/with\\040blank nfs4 rw,vers=4.2 0 0
//server/share /mnt/with\\040blank/deep cifs rw 0 0
half a line
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/ann", "ext4"),
        ("/tmp/x/y", "tmpfs"),
        ("/tmpx", "ext4"),
        ("/mnt/with blank", "nfs4"),
        ("/mnt/with blank/deep/er", "cifs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(folder: str, kind: str) -> None:
    assert file_system(Path(folder), LIST) == kind
    assert file_system(Path(folder), "") == ""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs"])
def test_sqlite_over_a_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts = tmp_path / "mounts"
    monkeypatch.setattr(unsuited, "MOUNTS", mounts)
    engine = open_engine(f"sqlite:///{tmp_path}/milesync.db")
    require_locks(engine)
    mounts.write_text(f"disk / ext4 rw 0 0\nserver {tmp_path} {kind} rw 0 0\n")
    with pytest.raises(StoreError, match=f"network file system .{kind}.") as raised:
        require_locks(engine)
    assert "PostgreSQL" in raised.value.hint
    mounts.write_text(f"disk / ext4 rw 0 0\ndisk {tmp_path} xfs rw 0 0\n")
    require_locks(engine)


def test_postgresql_behind_a_pooler_is_refused(postgres_url: str) -> None:
    """One that gives the session of a connection to the next one, once a transaction is over."""
    require_locks(open_engine(postgres_url))
    shared = create_engine(postgres_url, poolclass=StaticPool)
    with pytest.raises(StoreError, match="gives one session to several") as raised:
        require_locks(shared)
    assert "pool_mode = session" in raised.value.hint
    shared.dispose()
