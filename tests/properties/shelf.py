"""Where the histories of a process keep their databases, one after the other."""

from __future__ import annotations

import shutil
import tempfile
from functools import lru_cache
from multiprocessing.util import Finalize
from pathlib import Path

from crm_master.store import Database


@lru_cache(maxsize=1)
def _shelf() -> Path:
    """Where the histories of this process keep their databases, one after the other: in memory, if that can be."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
    # of a process of a pool no atexit is called
    Finalize(None, shutil.rmtree, (folder,), exitpriority=0)
    return Path(folder)


def tidy() -> None:
    """Take that away again, from a process that ends without more ado."""
    shutil.rmtree(_shelf(), ignore_errors=True)


@lru_cache(maxsize=1)
def _template() -> bytes:
    path = _shelf() / "template.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path.read_bytes()


@lru_cache
def _database(name: str) -> Database:
    """A database of this process. Its engine stays, with every statement that it has compiled."""
    return Database(f"sqlite:///{_shelf() / name}")


def empty(name: str) -> Database:
    """That database as ``concord init`` makes it."""
    database = _database(name)
    database.close()
    for rest in _shelf().glob(f"{name}-*"):
        rest.unlink()
    (_shelf() / name).write_bytes(_template())
    return database
