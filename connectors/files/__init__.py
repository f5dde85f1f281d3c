"""Folders with CSV files and JSON lines, described by a manifest."""

from __future__ import annotations

from connectors.files.manifest import FilesManifest
from connectors.files.system import FilesSystem
from connectors.runtime.budget import Budget
from connectors.runtime.connection import Connection
from connectors.runtime.http import Clock


def open(
    manifest: FilesManifest, connection: Connection, *, clock: Clock, budget: Budget | None = None
) -> FilesSystem:
    """The folder that the connection names. Files have no rate budget."""
    del budget
    return FilesSystem(manifest, connection, clock)


__all__ = ["FilesManifest", "open"]
