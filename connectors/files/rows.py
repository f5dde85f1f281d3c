"""Rows of one file, with their places: read line by line, whatever is wrong with single rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from connectors.contract import Document
from connectors.errors import BadAnswer, Unreachable
from connectors.files.manifest import FileStream
from connectors.runtime import jsonbody

LONGEST_LINE = 4 * 1024 * 1024
_LONGEST_CELL = 1024 * 1024
_FORMULA = re.compile(r"[=+\-@\t\r]")
_HARMLESS = re.compile(r"[+-][0-9][0-9 ().,/-]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands: a document, or why it is none. ``end`` is the place behind it, ``line`` its last line."""

    document: Document | None
    raw: bytes
    end: int
    line: int
    reason: str = ""


@dataclass(slots=True)
class _Place:
    """How far the lines of a file were read, and what was read for the row that is being put together."""

    end: int
    line: int
    raw: bytes = b""
    reason: str = ""


def rows(path: Path, stream: FileStream, start: int = 0, line: int = 0) -> Iterator[Row]:
    """The rows from a place on (that of ``Row.end`` and ``Row.line``).

    Raises ``BadAnswer`` for a file that cannot be read as one, ``Unreachable`` if it is not there.
    """
    try:
        with _opened(path) as file:
            if stream.format == "csv":
                yield from _csv(file, stream, start, line)
            else:
                yield from _jsonl(file, start, line)
    except BadAnswer as error:
        raise BadAnswer(f"{path.name}: {error}") from None
    except FileNotFoundError:
        raise Unreachable(f"{path.name} is no longer there.") from None
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise BadAnswer(f"{path.name} cannot be read ({type(error).__name__}).") from None


def header(path: Path, stream: FileStream) -> list[str]:
    """The columns that the first line of a CSV file names; none of an empty file, or where no line does."""
    if stream.csv.header:
        return []
    with _opened(path) as file:
        return next(_cells(file, stream, _Place(0, 0)), ([], ""))[0]


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _lines(file: IO[bytes], place: _Place) -> Iterator[bytes]:
    """Lines of bounded length; what is longer is passed by, and noted."""
    while line := file.readline(LONGEST_LINE):
        place.end += len(line)
        place.line += 1
        place.raw += line[: LONGEST_LINE - len(place.raw)]
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            place.reason = "is longer than a line may be"
            while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                place.end += len(rest)
            place.end += len(rest)
            line = b"\n"
        yield line


def _jsonl(file: IO[bytes], start: int, line: int) -> Iterator[Row]:
    file.seek(start)
    place = _Place(start, line)
    for _ in _lines(file, place):
        raw, place.raw = place.raw, b""
        reason, place.reason = place.reason, ""
        if not raw.strip() and not reason:
            continue
        document = None
        if not reason:
            try:
                parsed = jsonbody.parse(raw.removeprefix(b"\xef\xbb\xbf"), "the line")
                reason = jsonbody.fault(parsed.value) or ""
                document = parsed.value if isinstance(parsed.value, dict) and not reason else None
                reason = reason or ("" if document is not None else "is no object")
            except BadAnswer:
                reason = "is no JSON"
        yield Row(document, raw, place.end, place.line, reason)


def _csv(file: IO[bytes], stream: FileStream, start: int, line: int) -> Iterator[Row]:
    place = _Place(0, 0)
    names = list(stream.csv.header)
    if not names:
        first = next(_cells(file, stream, place), None)
        if first is None:
            return
        names, reason = first
        if reason or len(set(names)) != len(names) or "" in names:
            raise BadAnswer("The first line does not name columns, each by a name of its own.")
        if missing := [name for name in stream.key if name not in names]:
            raise BadAnswer(
                f"There is no column {', '.join(missing)}: the file is not what it should be."
            )
    place.raw = b""
    if start:
        file.seek(start)
        place = _Place(start, line)
    for cells, reason in _cells(file, stream, place):
        raw, place.raw = place.raw, b""
        if not raw.strip() and not reason:
            continue
        if not reason and len(cells) != len(names):
            reason = f"has {len(cells)} cells, and the header {len(names)}"
        document = None if reason else dict(zip(names, cells, strict=True))
        yield Row(document, raw, place.end, place.line, reason)


def _cells(file: IO[bytes], stream: FileStream, place: _Place) -> Iterator[tuple[list[str], str]]:
    """The cells of each row, or why they cannot be told."""
    shape = stream.csv

    def texts() -> Iterator[str]:
        for content in _lines(file, place):
            if (
                place.end == len(content)
                and shape.encoding.lower().replace("_", "-") == "utf-8-sig"
            ):
                content = content.removeprefix(b"\xef\xbb\xbf")
            try:
                yield content.decode(shape.encoding.lower().replace("-sig", ""))
            except UnicodeDecodeError:
                place.reason = f"holds bytes that are not {shape.encoding}"
                yield "\n"

    reader = _reader(texts(), stream)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            cells, place.reason = [], place.reason or "is not quoted as CSV is"
        reason, place.reason = place.reason, ""
        yield [_plain(cell, stream) for cell in cells], reason


def _reader(texts: Iterable[str], stream: FileStream) -> Any:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    shape = stream.csv
    return csv.reader(texts, delimiter=shape.delimiter, quotechar=shape.quote, strict=True)


def _plain(cell: str, stream: FileStream) -> str:
    """A cell without the apostrophe that keeps a spreadsheet from running it."""
    if stream.csv.formulas == "escape" and cell.startswith("'") and _runs(cell[1:]):
        return cell[1:]
    return cell


def _runs(text: str) -> bool:
    """Whether a spreadsheet would take a text for a formula; an apostrophe before one is escaped as well."""
    bare = text.lstrip("'")
    return bool(_FORMULA.match(bare)) and not _HARMLESS.fullmatch(bare)


def written(document: Mapping[str, Any], header: Iterable[str], stream: FileStream) -> bytes:
    """A document as a row of the file. Raises ``ValueError`` for what it cannot hold; names no value."""
    if stream.format == "jsonl":
        return jsonbody.dump(dict(document)) + b"\n"
    names = list(header)
    cells = []
    for name in names:
        value = document.get(name)
        if isinstance(value, dict | list):
            raise ValueError(f"{name} is no single value")  # noqa: TRY004
        text = "" if value is None else json.dumps(value) if isinstance(value, bool) else str(value)
        escaped = stream.csv.formulas == "escape" and _runs(text)
        cells.append("'" + text if escaped else text)
    if lost := sorted(
        name for name, value in document.items() if name not in names and value not in (None, "")
    ):
        raise ValueError(f"there is no column {lost[0]}")
    return row(cells, stream)


def row(cells: Iterable[str], stream: FileStream) -> bytes:
    """Cells as a line of CSV. Raises ``ValueError`` where the encoding has no such character."""
    text = io.StringIO()
    shape = stream.csv
    # what could end a line is quoted: either character of the terminator
    csv.writer(
        text, delimiter=shape.delimiter, quotechar=shape.quote, lineterminator="\r\n"
    ).writerow(cells)
    line = text.getvalue().removesuffix("\r\n") + "\n"
    return line.encode(shape.encoding.lower().replace("-sig", ""))
