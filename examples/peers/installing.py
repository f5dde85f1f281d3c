"""Where peers live, and how their programs get there: one hash-pinned environment per system.

Installing is apart from starting, idempotent, and safe when several callers install at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]


class PeerError(RuntimeError):
    """A peer system could not be installed, started or stopped; the message says what to do."""


def home(system: str) -> Path:
    """The folder that keeps everything of one system between runs."""
    folder = Path(os.environ.get("PEERS_HOME") or PROJECT / ".peers").resolve() / system
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fingerprint(*parts: Path | str) -> str:
    """A short name for what these files and words hold; a change of any gives a new name."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:12]


@contextmanager
def locked(system: str) -> Iterator[None]:
    """Only one process at a time installs a system; the others wait and find it done."""
    with (home(system) / "install.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build_once(target: Path, build: Callable[[Path], None]) -> Path:
    """Make a folder as a whole or not at all: built beside its place, then renamed into it."""
    if not target.exists():
        draft = target.with_name(target.name + ".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        build(draft)
        draft.rename(target)
    return target


def environment(system: str) -> Path:
    """The system's own virtual environment, from its lock file. The caller holds the lock."""
    lock = HERE / f"{system}.lock"
    venv = home(system) / f"venv-{fingerprint(lock, sys.version)}"
    ready = venv / ".ready"
    if ready.exists():
        return venv
    shutil.rmtree(venv, ignore_errors=True)  # an interrupted attempt
    for outdated in home(system).glob("venv-*"):
        shutil.rmtree(outdated, ignore_errors=True)
    say(f"{system}: installing from {lock.name}")
    python = str(venv / "bin" / "python")
    if uv := _uv():
        run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(venv)])
        options = ["--quiet", "--python", python, "--require-hashes", "--compile-bytecode"]
        run([uv, "pip", "sync", *options, str(lock)])
    else:
        run([sys.executable, "-m", "venv", str(venv)])
        run([python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)])
    ready.touch()
    return venv


def programs(system: str) -> Path:
    """The unpacked wheel of the system's lock file, for the programs in it. The caller holds the lock.

    They need no Python: the wheel for one that is widely supported serves whoever runs another.
    """
    lock = HERE / f"{system}.lock"

    def build(draft: Path) -> None:
        say(f"{system}: installing from {lock.name}")
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", "3.12"]
        command = [*options, "--require-hashes", "--target", str(draft), "-r", str(lock)]
        uv = _uv()
        run(
            [uv, "pip", "install", *command]
            if uv
            else [sys.executable, "-m", "pip", "install", *command]
        )

    return build_once(home(system) / f"wheel-{fingerprint(lock)}", build)


def run(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a program to its end and return what it printed; fail with the end of it."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PeerError(
            f"`{' '.join(command)}` ended with {done.returncode}. Its last words:\n"
            f"{tail(done.stdout)}\n"
            "If a download failed, check the network and the package index, then run it again."
        )
    return done.stdout


def say(text: str) -> None:
    """Progress for whoever waits; standard output stays for results."""
    print(f"[peers] {text}", file=sys.stderr, flush=True)


def tail(text: str, lines: int = 20) -> str:
    """The last lines, indented: what an error message shows of a log."""
    return "\n".join("    " + line for line in text.strip().splitlines()[-lines:])


def _uv() -> str | None:
    candidates = (Path(sys.prefix) / "bin" / "uv", PROJECT / ".venv" / "bin" / "uv")
    return next((str(path) for path in candidates if path.exists()), shutil.which("uv"))
