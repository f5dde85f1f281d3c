"""A process that is told what to do, a line each, and answers in lines of JSON: both ends of that."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self


class Child:
    """``python -m module arguments``, from its first line of JSON (``hello``) to the end of the ``with`` block."""

    def __init__(self, module: str, *arguments: object) -> None:
        self.module = module
        command = [sys.executable, "-m", module, *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.hello = self._read()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, what: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.module} ended with status {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()


def answer(what: Mapping[str, Any]) -> None:
    """What the process says, in a line of its own."""
    print(json.dumps(what), flush=True)
