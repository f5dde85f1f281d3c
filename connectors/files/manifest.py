"""The shape of a manifest for files in a folder: how rows are written, which files hold them, and what is written back."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from connectors.runtime.manifest import Count, Manifest, Seconds
from connectors.runtime.streams.models import Marker, Stamp
from connectors.yamlfile import Configured, mistake

FileName = Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*$")]
"""A name in the folder: no path, and not hidden."""


class Csv(Configured):
    """How rows stand in a CSV file."""

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    quote: str = Field(default='"', min_length=1, max_length=1)
    encoding: str = "utf-8-sig"
    header: tuple[str, ...] = ()
    """The names of the columns, where the first line is none."""
    formulas: Literal["escape", "keep"] = "escape"
    """A text that a spreadsheet would run (it begins with = + - @ or a tab) is written behind an apostrophe, and read
    without it. Numbers and phone numbers stay as they are."""

    @field_validator("encoding")
    @classmethod
    def _reads_line_by_line(cls, name: str) -> str:
        try:
            plain = "a,\n".encode(codecs.lookup(name).name).endswith(b"a,\n")
        except LookupError:
            plain = False
        if not plain:
            allowed = (
                "an encoding that has ASCII as its first half: utf-8-sig, cp1252, iso-8859-15, …"
            )
            raise mistake(repr(name), allowed)
        return name


class Reading(Configured):
    """Which files hold the rows, and what they mean together."""

    files: FileName
    """A pattern of names: ``calls-*.csv``, ``register.csv.gz``."""
    holds: Literal["changes", "snapshot"] = "changes"
    """changes: the last row of a key counts, from the first file to the last. snapshot: the last file is all there is."""
    order: Literal["name", "time"] = "name"
    """Which file is the last: by name, or by the time of its last change."""
    settle: Seconds = 30
    """A file that was changed more recently may still be written: it is left alone."""


class Writing(Configured):
    """A file that the hub keeps, row by row. It is replaced as a whole, so that nobody sees half of it."""

    file: FileName
    columns: tuple[str, ...] = ()
    """The columns of a new CSV file, in order; a file that is there keeps its own."""
    outgoing: str | None = Field(default=None, pattern=r"^[^/\\.][^/\\]*$")
    """A folder below in which every write leaves a JSON file besides, named by its delivery, for whoever takes changes."""


class FileStream(Configured):
    """One collection of records, in files."""

    about: str = ""
    format: Literal["csv", "jsonl"] = "csv"
    csv: Csv = Csv()
    key: Annotated[tuple[str, ...], Field(min_length=1)]
    """The columns that tell records apart; several are joined by ``|``."""
    stamp: Stamp | None = None
    deleted: Marker | None = None
    omit: tuple[str, ...] = ()
    partial: bool = False
    """A key that is absent from a row is unknown, not empty."""
    page: Count = 500
    """Rows per page."""
    read: Reading | None = None
    write: Writing | None = None

    @model_validator(mode="after")
    def _reads_or_writes(self) -> Self:
        if (self.read is None) == (self.write is None):
            allowed = "`read`, or `write`: a file that the hub keeps is read, too"
            raise mistake("both or none of `read` and `write`", allowed)
        if self.write is not None:
            if len(self.key) > 1:
                raise mistake(
                    "`write` with several key columns", "one, which the hub fills", at=("key",)
                )
            if self.write.file.endswith(".gz"):
                raise mistake(
                    f"`file: {self.write.file}`", "a file that is not packed", at=("write", "file")
                )
            names = self.write.columns or self.csv.header
            if self.format == "csv" and self.key[0] not in names:
                raise mistake(
                    "columns without the key", f"{self.key[0]} among them", at=("write", "columns")
                )
        return self


class FilesManifest(Manifest):
    """A folder of files. The connection names it: ``file:///srv/exports``."""

    kind: Literal["files"]
    streams: Mapping[str, FileStream] = Field(min_length=1)
