"""Where a process of the hub can die, as the code itself says.

What it does lasts from two kinds of moments only: a commit, and a request that has an effect in a system. Between two of
them nothing lasting happens: the death after one is the death before the next. A request counts twice, because its process
can die before the answer is read.
"""

from __future__ import annotations

import ast
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from requests.adapters import HTTPAdapter

from crm_master import bootstrap
from crm_master.store import Database
from crm_master.store.database import SqlUnitOfWork

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Site:
    """One call in the code from which something lasts. Its name does not depend on line numbers."""

    name: str
    file: str
    first: int
    last: int


# --- as the code is written ------------------------------------------------------------------


@cache
def sites() -> tuple[Site, ...]:
    """Commits, work that a helper commits, requests with effect, and what makes or cleans files."""
    files = [
        path
        for package in ("crm_master", "connectors")
        for path in sorted((ROOT / package).rglob("*.py"))
        # the store is what commits, and the simulated systems are on the other side
        if not path.is_relative_to(ROOT / "crm_master" / "store")
        and not path.is_relative_to(ROOT / "connectors" / "testing")
    ]
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in files}
    helpers = _helpers(list(trees.values()))
    return tuple(
        site
        for path, tree in trees.items()
        for site in found_in(_module(path), str(path), tree, helpers)
    )


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def found_in(module: str, file: str, tree: ast.Module, helpers: frozenset[str]) -> Iterator[Site]:
    """The sites of one module; ``helpers`` are the functions at the ends of whose blocks something is committed."""
    for within, function in _functions(tree):
        heads = _heads(function)
        calls = [call for call in _own(function) if _lasts(call, helpers)]
        for number, call in enumerate(sorted(calls, key=lambda call: call.lineno), 1):
            nth = f" #{number}" if len(calls) > 1 else ""
            name = f"{module}:{within}{nth}"
            yield Site(name, file, *heads.get(call, (call.lineno, call.end_lineno or call.lineno)))


def _heads(function: ast.FunctionDef) -> dict[ast.Call, tuple[int, int]]:
    """The lines of the `with` that a call is in the head of: at its end Python is anywhere on these."""
    return {
        call: (block.lineno, block.body[0].lineno - 1)
        for block in ast.walk(function)
        if isinstance(block, ast.With)
        for item in block.items
        for call in ast.walk(item.context_expr)
        if isinstance(call, ast.Call)
    }


def _lasts(call: ast.Call, helpers: frozenset[str]) -> bool:
    if any(given.arg == "keep" and _is(given.value, False) for given in call.keywords):
        return False  # a transaction to see what it would do
    match call.func:
        case ast.Attribute(attr="commit"):
            return not call.args  # the journal has a method of this name that makes an entry
        case ast.Attribute(value=ast.Attribute(attr="sink") | ast.Name("sink"), attr="write"):
            return True
        case ast.Attribute(value=ast.Attribute(attr="_transport"), attr="send"):
            return True
        case ast.Attribute(attr="purge" | "migrate"):
            return True
        case ast.Name("_write_once"):
            return True
        case ast.Attribute(value=ast.Name(), attr=name) | ast.Name(name):
            return name in helpers
    return False


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _helpers(trees: Sequence[ast.Module]) -> frozenset[str]:
    """The functions that commit what others do: context managers, and those that are given the work as a function."""
    found: set[str] = set()
    while True:
        more: set[str] = set()
        for tree in trees:
            functions = [function for _, function in _functions(tree)]
            commit = {function.name for function in functions if "commit" in _called(function)}
            more |= {
                function.name
                for function in functions
                if (_is_context(function) and _called(function) & (commit | found | {"commit"}))
                or (_does_work(function) and _called(function) & (found | {"commit"}))
            }
        if more <= found:
            return frozenset(found)
        found |= more


def _does_work(function: ast.FunctionDef) -> bool:
    """Whether a function is given the work that it commits."""
    return any(
        argument.annotation is not None
        and ast.unparse(argument.annotation).startswith("Callable[[UnitOfWork]")
        for argument in function.args.args
    )


def _functions(node: ast.AST, within: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield within + child.name, child
            yield from _functions(child, f"{within}{child.name}.<locals>.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{within}{child.name}.")
        else:
            yield from _functions(child, within)


def _own(function: ast.FunctionDef) -> Iterator[ast.Call]:
    """The calls of a function, without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            yield node
        if not isinstance(node, ast.FunctionDef):
            waiting += ast.iter_child_nodes(node)


def _called(function: ast.FunctionDef) -> set[str]:
    names = set()
    for call in _own(function):
        match call.func:
            case ast.Name(name):
                names.add(name)
            case ast.Attribute(attr=name) if not call.args or name != "commit":
                names.add(name)
    return names


def _is_context(function: ast.FunctionDef) -> bool:
    return any(
        isinstance(decorator, ast.Name) and decorator.id == "contextmanager"
        for decorator in function.decorator_list
    )


# --- as it runs ------------------------------------------------------------------------------


class Passage:
    """What one process passes, in order; and, if it is ``doomed``, at which point it is killed.

    A boundary's name is the sites on the way to it, the outermost first: who commits, and on whose behalf.
    """

    def __init__(self, doomed: int | None = None, tell: Callable[[str], None] = print) -> None:
        self.points: list[str] = []
        self._doomed, self._tell = doomed, tell

    def point(self, name: str) -> None:
        """The process may die here, and does if it is doomed to."""
        if len(self.points) == self._doomed:
            self._tell(name)
            os.kill(os.getpid(), signal.SIGKILL)
        self.points.append(name)

    @contextmanager
    def _crossing(self, what: str) -> Iterator[None]:
        name = f"{what}: {' > '.join(_on_the_way(sys._getframe(2)))}"
        self.point(f"before {name}")
        yield
        if what != "commit":
            self.point(f"after {name}")

    def watch(self) -> None:
        """Watch this process from now on: every commit, every request with effect, every file made or cleaned."""
        crossing = self._crossing

        def wrapped(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                with crossing(what):
                    return function(*args, **kwargs)

            return call

        SqlUnitOfWork.commit = wrapped("commit", SqlUnitOfWork.commit)  # type: ignore[method-assign]
        Database.purge = wrapped("purge", Database.purge)  # type: ignore[method-assign]
        Database.migrate = wrapped("migrate", Database.migrate)  # type: ignore[method-assign]
        bootstrap._write_once = wrapped("key file", bootstrap._write_once)
        send = HTTPAdapter.send

        def sent(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            if request.method in ("GET", "HEAD") or request.path_url == "/login":
                return send(self, request, *args, **kwargs)
            return wrapped(request.method, send)(self, request, *args, **kwargs)

        HTTPAdapter.send = sent  # type: ignore[method-assign]


def _on_the_way(frame: FrameType | None) -> list[str]:
    """The sites at which the callers of a frame are just now, the outermost first."""
    found: list[str] = []
    while frame is not None:
        for site in sites_by_file().get(frame.f_code.co_filename, ()):
            if site.first <= frame.f_lineno <= site.last:
                found.append(site.name)
        frame = frame.f_back
    return found[::-1]


@cache
def sites_by_file() -> dict[str, list[Site]]:
    """The same, by the file that they are in."""
    found: dict[str, list[Site]] = {}
    for site in sites():
        found.setdefault(site.file, []).append(site)
    return found


def passed(points: Sequence[str]) -> set[str]:
    """The sites that these points name."""
    return {site for point in points for site in point.split(": ", 1)[1].split(" > ")}
