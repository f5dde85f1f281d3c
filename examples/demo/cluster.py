"""Airflow as servers on loopback: web page and API, scheduler, DAG processor. Small enough for a laptop and SQLite.

    cluster = Cluster(folder, home)
    with cluster:
        cluster.post("dags/ingest__erp__parties/dagRuns", {"logical_date": None})

Connections and the like come from the environment of this process. The servers end when this process does.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from dags.inprocess import settings
from examples.peers import PeerError, Server, free_port
from examples.peers.installing import tail
from examples.peers.processes import HOST

AIRFLOW = str(Path(sys.executable).with_name("airflow"))
USER = "admin"


class Cluster:
    """One Airflow in ``folder`` for the deployment in ``home``; ``paused`` leaves it to the caller what runs."""

    def __init__(
        self, folder: Path, home: Path, *, port: int | None = None, paused: bool = False
    ) -> None:
        self.folder = folder
        self.paused = paused
        self.port = port or free_port()
        self.password = secrets.token_urlsafe(12)
        self._token = ""
        self._stack = ExitStack()
        self.servers: list[_AirflowServer] = []
        self._home = home

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        try:
            self._prepare()
            for kind in (ApiServer, Scheduler, DagProcessor):
                server = kind(self)
                self.servers.append(server)
                self._stack.enter_context(server)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def get(self, path: str) -> Any:
        """An answer of Airflow's API, below ``/api/v2/``."""
        return self._call("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        return self._call("POST", path, body)

    def patch(self, path: str, body: Any) -> Any:
        return self._call("PATCH", path, body)

    def health(self) -> dict[str, str]:
        """Which parts say they are well."""
        try:
            found = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (OSError, ValueError):
            return {}
        return {part: (state or {}).get("status") or "" for part, state in found.items()}

    def logs(self, lines: int = 12) -> str:
        """The ends of the newest logs, for whoever has to find out what went wrong."""
        tasks = sorted(self.folder.glob("logs/**/*.log"), key=lambda file: file.stat().st_mtime)
        parts = []
        for file in [*(server.log for server in self.servers), *tasks[-6:]]:
            text = tail(file.read_text(errors="replace"), lines) if file.exists() else "    (none)"
            parts += [f"{file}:", *(line[:400] for line in text.splitlines())]
        return "\n".join(parts)

    def _call(self, method: str, path: str, body: Any) -> Any:
        if not self._token:
            form = {"username": USER, "password": self.password}
            answer = requests.post(f"{self.url}/auth/token", json=form, timeout=30)
            answer.raise_for_status()
            self._token = answer.json()["access_token"]
        answer = requests.request(
            method,
            f"{self.url}/api/v2/{path}",
            json=body,
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=30,
        )
        if not answer.ok:
            raise PeerError(
                f"Airflow answered {answer.status_code} to {method} {path}: {answer.text[:500]}"
            )
        return answer.json()

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        passwords = self.folder / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({USER: self.password}))
        os.environ.update(settings(self.folder, self._home))
        os.environ.update(
            {
                "AIRFLOW__API__HOST": HOST,
                "AIRFLOW__API__PORT": str(self.port),
                "AIRFLOW__API__BASE_URL": self.url,
                "AIRFLOW__API__WORKERS": "1",
                "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
                "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
                "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": str(self.paused),
                # More tasks at a time, and SQLite is locked for so long that the scheduler gives up.
                "AIRFLOW__CORE__PARALLELISM": "4",
                "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
                "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
                "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
            }
        )
        _run([AIRFLOW, "db", "migrate"])
        _run([sys.executable, "-m", "dags.setup"])


class _AirflowServer(Server):
    """One of Airflow's processes. All of them take their settings from the environment."""

    start_seconds = 180.0
    stop_seconds = 20.0
    poll_seconds = 0.3
    command: tuple[str, ...]
    part: str

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.folder / self.name, port=cluster.port)
        self._cluster = cluster

    def _prepare(self) -> list[str]:
        return [AIRFLOW, *self.command]

    def _answers(self) -> bool:
        return self._cluster.health().get(self.part) == "healthy"


class ApiServer(_AirflowServer):
    name = "api-server"
    command = ("api-server",)
    part = "metadatabase"


class Scheduler(_AirflowServer):
    name = "scheduler"
    # The servers for logs would listen on every interface; the API server reads the files.
    command = ("scheduler", "--skip-serve-logs")
    part = "scheduler"


class DagProcessor(_AirflowServer):
    name = "dag-processor"
    command = ("dag-processor",)
    part = "dag_processor"


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = tail(done.stdout + done.stderr)
        raise PeerError(f"`{' '.join(command)}` ended with {done.returncode}:\n{said}")
