"""What all commands share: the deployment that they are about, and how its faults and its progress are told."""

from __future__ import annotations

import getpass
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from crm_master import entrypoints
from crm_master.cli.printing import counted, err

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


class Session:
    """What the options before the verb say."""

    home: Path = Path()
    log: str = "text"


def options(
    home: Annotated[
        Path,
        typer.Option(
            envvar=entrypoints.HOME_VARIABLE, help="The deployment's folder, with hub.yaml."
        ),
    ] = Path(),
) -> None:
    """Concord keeps one consistent customer record across a company's systems."""
    Session.home, Session.log = home, "text"


@contextmanager
def opened(*, fresh: bool = False) -> Iterator[entrypoints.App]:
    """The deployment, with errors that a person can act on instead of traces."""
    try:
        with (
            entrypoints.opened(Session.home, fresh=fresh) as app,
            _logging(app.settings.log),
            entrypoints.sending_spans(),
        ):
            yield app
    except entrypoints.EXPECTED as error:
        _failed(type(error).__name__, entrypoints.said(error))
        mistakes = isinstance(error, entrypoints.ConfigurationMistakes)
        raise typer.Exit(2 if mistakes else 1) from error


def _failed(kind: str, said: str) -> None:
    if Session.log == "json":
        line = {"event": "command failed", "level": "error", "error": kind, "text": said}
        sys.stderr.write(json.dumps(line, ensure_ascii=False) + "\n")
    else:
        err.print(f"error: {said}", style="red", soft_wrap=True)


@contextmanager
def _logging(form: str) -> Iterator[None]:
    """In JSON, log lines go to standard error. As text they would only repeat what commands say."""
    log = logging.getLogger(entrypoints.LOGGER)
    handler = logging.StreamHandler() if form == "json" else logging.NullHandler()
    before, log.propagate = (log.level, log.propagate), False
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    Session.log = form
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


def author() -> str:
    """Who decides: ``CONCORD_USER``, else whoever is logged in."""
    return os.environ.get("CONCORD_USER") or getpass.getuser()


@contextmanager
def progress(as_json: bool) -> Iterator[Any]:
    """A live line on a terminal; a line every few thousand records elsewhere; nothing where JSON is asked for."""
    if as_json or Session.log == "json":
        yield lambda what, counts: None
    elif err.is_terminal:
        with err.status("…") as live:
            yield lambda what, counts: live.update(f"{what}: {counted(counts)}")
    else:
        told: dict[str, int] = {}

        def tell(what: str, counts: Mapping[str, int]) -> None:
            step = sum(counts.values()) // 5_000
            if step > told.get(what, 0):
                told[what] = step
                err.print(f"{what}: {counted(counts)}")

        yield tell
