"""What all commands share: the deployment that they are about, and how its faults and its progress are told."""

from __future__ import annotations

import getpass
import os
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


def options(
    home: Annotated[
        Path,
        typer.Option(
            envvar=entrypoints.HOME_VARIABLE, help="The deployment's folder, with hub.yaml."
        ),
    ] = Path(),
) -> None:
    """Concord keeps one consistent customer record across a company's systems."""
    Session.home = home


@contextmanager
def opened(*, fresh: bool = False) -> Iterator[entrypoints.App]:
    """The deployment, with errors that a person can act on instead of traces."""
    try:
        with entrypoints.opened(Session.home, fresh=fresh) as app:
            yield app
    except entrypoints.EXPECTED as error:
        err.print(f"error: {entrypoints.said(error)}", style="red", soft_wrap=True)
        mistakes = isinstance(error, entrypoints.ConfigurationMistakes)
        raise typer.Exit(2 if mistakes else 1) from error


def author() -> str:
    """Who decides: ``CONCORD_USER``, else whoever is logged in."""
    return os.environ.get("CONCORD_USER") or getpass.getuser()


@contextmanager
def progress(as_json: bool) -> Iterator[Any]:
    """A live line on a terminal; a line every few thousand records elsewhere; nothing with ``--json``."""
    if as_json:
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
