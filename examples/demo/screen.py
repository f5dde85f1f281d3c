"""The terminal of whoever watches."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

Made = TypeVar("Made")


class Screen:
    """What is told. Everything that anything else prints goes to the log."""

    def __init__(self, log: Path) -> None:
        self.log = log
        terminal = os.fdopen(os.dup(1), "w")
        width = None if terminal.isatty() else 120
        self.console = Console(file=terminal, highlight=False, emoji=False, width=width)
        with log.open("ab") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)

    def chapter(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/bold]")

    def say(self, text: str) -> None:
        self.console.print(text)

    def show(self, text: str) -> None:
        """What a command has printed, as it is."""
        self.console.print(text, markup=False, soft_wrap=True)

    def during(self, what: str, do: Callable[[], Made]) -> Made:
        """Do something that takes a while, and say how long it took."""
        begin = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(what):
                result = do()
        else:
            result = do()
        self.console.print(f"  {what} [dim]({time.monotonic() - begin:.1f} s)[/dim]")
        return result

    def table(self, *headings: str, rows: list[tuple[Any, ...]]) -> None:
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for place, heading in enumerate(headings):
            numbers = all(isinstance(row[place], int) for row in rows)
            table.add_column(heading, justify="right" if numbers else "left", no_wrap=numbers)
        for row in rows:
            table.add_row(*map(str, row))
        self.console.print(table)
