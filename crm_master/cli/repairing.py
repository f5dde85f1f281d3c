"""``conflicts``, ``dlq``, ``stop`` and ``start``: what a person does where the hub cannot go on alone."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from crm_master import entrypoints
from crm_master.cli.printing import literal, out, printed
from crm_master.cli.session import Json, author, opened

Every = Annotated[bool, typer.Option("--all", help="Closed ones too.")]


def conflicts(context: typer.Context, every: Every = False, as_json: Json = False) -> None:
    """Questions that only a person can answer. Without a verb: list them."""
    if context.invoked_subcommand is None:
        with opened() as app:
            _tasks(entrypoints.tasks(app, every=every), as_json)


def decide(task: int, answer: str, as_json: Json = False) -> None:
    """Answer one. A wrong answer is refused with the list of those that it takes."""
    with opened() as app:
        result = entrypoints.decide(app, task, answer, author())
    if not printed(result, as_json):
        out.print(
            f"Decided {result['kind']} {result['subject']}: {answer}. `concord sync` carries it out.",
        )


def letters(every: Every = False, as_json: Json = False) -> None:
    """The dead letters: where, and why."""
    with opened() as app:
        _tasks(entrypoints.tasks(app, dead=True, every=every), as_json)


def letter(letter: int, as_json: Json = False) -> None:
    """The bytes behind a dead letter, as they were read, on standard output."""
    with opened() as app:
        shown = entrypoints.letter(app, letter) if as_json else None
        content = entrypoints.raw(app, letter)
    if not printed(shown, as_json):
        sys.stdout.buffer.write(content)


def replay(
    letters: Annotated[list[int] | None, typer.Argument(help="All, if none is named.")] = None,
    as_json: Json = False,
) -> None:
    """Put dead letters back into the inbox, after a mapping or the record was mended."""
    with opened() as app:
        result = entrypoints.replay(app, letters or ())
    if not printed(result, as_json):
        out.print(
            f"{result['requeued']} rows are back in the inbox; `concord reconcile` tries them again."
        )


def _tasks(found: list[dict[str, Any]], as_json: bool) -> None:
    if printed(found, as_json):
        return
    for task in found:
        about = {
            name: value
            for name, value in task.items()
            if name not in ("id", "kind", "subject", "open")
        }
        state = "" if task["open"] else " (closed)"
        out.print(
            f"{task['id']:>6} {task['kind']}{state} {task['subject']} {literal(about)}",
            soft_wrap=True,
        )
    if not found:
        out.print("None.")


def stop(system: str, as_json: Json = False) -> None:
    """The kill switch: no more writes to a system until `concord start`."""
    _switch(system, True, as_json)


def start(system: str, as_json: Json = False) -> None:
    """Allow writes to a system again."""
    _switch(system, False, as_json)


def _switch(system: str, on: bool, as_json: bool) -> None:
    with opened() as app:
        entrypoints.stop(app, system, on=on)
    if not printed({"system": system, "writes_stopped": on}, as_json):
        out.print(f"Writes to {system} are {'stopped' if on else 'allowed'}.")
