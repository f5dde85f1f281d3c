"""The files of a folder: which there are, in which order, and how one is known again."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from connectors.errors import Unreachable
from connectors.files.manifest import Reading


@dataclass(frozen=True, slots=True)
class Found:
    """One file. ``mark`` is another as soon as anything of it is: its name, its size, its times, its place on the disk."""

    path: Path
    mark: str
    changed: float


def found(path: Path) -> Found:
    """A file as it is now. Raises ``OSError``."""
    told = path.stat()
    parts = (path.name, told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino)
    mark = hashlib.blake2b(repr(parts).encode(), digest_size=9).hexdigest()
    return Found(path, mark, told.st_mtime)


def files(folder: Path, reading: Reading, now: datetime) -> list[Found]:
    """The files that are there to be read, the last one last. Raises ``Unreachable``.

    Hidden ones, and those that may still be written, are left alone.
    """
    if not folder.is_dir():
        raise Unreachable(f"The folder {folder.name!r} is not there, or may not be entered.")
    settled = (now - timedelta(seconds=reading.settle)).timestamp()
    there = []
    for path in folder.glob(reading.files):
        try:
            one = found(path)
        except OSError:
            continue  # it went away meanwhile
        if (
            path.is_file()
            and not path.name.startswith(".")
            and (not reading.settle or one.changed <= settled)
        ):
            there.append(one)
    if reading.order == "time":
        return sorted(there, key=lambda one: (one.changed, one.path.name))
    return sorted(there, key=lambda one: one.path.name)


def replace(path: Path, draft: Path) -> None:
    """Put a whole file in its place: what is there is never half of it, also after a loss of power."""
    draft.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hidden(path: Path) -> Path:
    """Where a file is written before it takes its place: beside it, under a name that nobody reads."""
    return path.with_name(f".{path.name}.{os.getpid()}.draft")
