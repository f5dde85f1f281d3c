"""A SQLite master is its owner's alone, whatever the umask: it holds everybody's data."""

from __future__ import annotations

import os
from pathlib import Path

from crm_master.store import Database


def test_the_file_and_what_stands_beside_it_are_private(tmp_path: Path) -> None:
    store = Database(f"sqlite:///{tmp_path / 'concord.db'}")
    before = os.umask(0o022)
    try:
        store.migrate()
        with store() as uow:
            uow.commit()
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
        store.close()
    assert set(modes.values()) == {0o600}, modes
