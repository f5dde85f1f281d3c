"""Starting, watching and stopping a server on 127.0.0.1."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from examples.peers.installing import HERE, PeerError, tail

HOST = "127.0.0.1"
PORTS = range(20_000, 30_000)
"""Below those that Linux gives to whoever does not choose (``ip_local_port_range``)."""


class Server(ABC):
    """One real system on loopback: a context manager that can also be stopped and started again.

    Port and data stay the same over `stop()` and `start()`, so tests can take a system away and
    give it back. Without a `workdir` the data live in a temporary folder that goes with it.
    """

    name: str
    stop_signal = signal.SIGTERM
    start_seconds = 60.0
    stop_seconds = 15.0
    user: str | None = None
    poll_seconds = 0.05

    def __init__(self, workdir: Path | str | None = None, *, port: int | None = None) -> None:
        self._temporary = workdir is None
        self.workdir = self._make_workdir(Path(workdir) if workdir is not None else None)
        self._chosen_port = port
        self.port = port or free_port()
        self.log = self.workdir / "server.log"
        self._supervisor: subprocess.Popen[str] | None = None
        self.pid: int | None = None

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Write configuration and data for `self.port`; the command that runs the server."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server serves requests by now."""

    def _make_workdir(self, workdir: Path | None) -> Path:
        if workdir is None:
            return Path(tempfile.mkdtemp(prefix=f"concord-{self.name}-"))
        workdir.mkdir(parents=True, exist_ok=True)
        return workdir.resolve()

    @property
    def running(self) -> bool:
        return self._supervisor is not None and self._supervisor.poll() is None

    def start(self) -> Self:
        """Start and wait until it answers. A second call does nothing."""
        attempts = 1 if self._chosen_port else 3
        while not self.running:
            attempts -= 1
            try:
                self._launch()
            except PeerError:
                self.stop()
                # Between choosing a free port and binding it somebody else may take it.
                if attempts <= 0 or not _is_taken(self.port):
                    raise
                self.port = free_port()
        return self

    def stop(self) -> None:
        """End the server and all it started, and wait for that. A second call does nothing."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        assert supervisor.stdin is not None
        assert supervisor.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            supervisor.stdin.close()
        supervisor.wait(self.stop_seconds + 10)
        supervisor.stdout.close()
        self.pid = None

    def close(self) -> None:
        """Stop, and remove the data if they were temporary."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self.workdir, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _launch(self) -> None:
        command = self._prepare()
        supervisor = [sys.executable, "-I", "-S", str(HERE / "supervisor.py")]
        ending = [str(int(self.stop_signal)), str(self.stop_seconds)]
        self._supervisor = subprocess.Popen(
            [*supervisor, *ending, str(self.log), self.user or "-", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.workdir,
            start_new_session=True,
        )
        assert self._supervisor.stdout is not None
        self.pid = int(self._supervisor.stdout.readline() or 0)
        deadline = time.monotonic() + self.start_seconds
        while not self._answers():
            if not self.running:
                raise self._failure("ended at once")
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {self.start_seconds:.0f} s")
            time.sleep(self.poll_seconds)

    def _failure(self, what: str) -> PeerError:
        log = self.log.read_text(errors="replace") if self.log.exists() else ""
        return PeerError(
            f"{self.name} {what} on {HOST}:{self.port}. The end of {self.log}:\n"
            f"{tail(log) or '    (empty)'}\n"
            f"Is the port in use? Run `python -m examples.peers install {self.name}` again, or "
            f"remove its folder under PEERS_HOME (default .peers) to install it anew."
        )


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at this moment.

    None of those that the system gives to whoever asks for any: between choosing it and binding it, it would go to another.
    """
    for port in random.SystemRandom().sample(PORTS, 100):
        if not _is_taken(port):
            return port
    raise PeerError(f"100 ports between {PORTS[0]} and {PORTS[-1]} of {HOST} are taken.")


def http_answers(url: str, headers: dict[str, str] | None = None) -> bool:
    """Whether an HTTP server answers there with anything but a server error.

    With ``headers`` that name who asks, only one that knows them is the server, and not somebody else at its port.
    """
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=5):
            return True
    except urllib.error.HTTPError as error:
        with error:
            return headers is None and error.code < 500
    except OSError:
        return False


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False
