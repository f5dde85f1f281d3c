"""The services of docker/compose.yaml as plain processes on loopback: their commands, their settings, other addresses.

What an engine would do is done here as the file says it: variables are filled in, what a service depends on is waited for,
and each has a home of its own. Only names that a network of containers would resolve, and folders of the image, are
replaced by what is here.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg
import requests
import yaml

import dags
from examples import peers
from examples.peers.installing import tail
from examples.peers.processes import HOST, Server, free_port

COMPOSE = Path(__file__).resolve().parents[2] / "docker" / "compose.yaml"
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::-([^}]*)|:\?[^}]*)?\})")
_PARTS = {"api-server": "metadatabase", "scheduler": "scheduler", "dag-processor": "dag_processor"}
BIN = Path(sys.executable).parent


def filled_in(value: Any, variables: Mapping[str, str]) -> Any:
    """A part of the file with its variables: ``${NAME:?what to do}``, ``${NAME:-default}``; ``$$`` is a dollar
    sign.

    Raises ``KeyError`` for a variable that has no default and that nobody has set.
    """
    if isinstance(value, Mapping):
        return {key: filled_in(part, variables) for key, part in value.items()}
    if isinstance(value, list):
        return [filled_in(part, variables) for part in value]
    if not isinstance(value, str):
        return value

    def one(found: re.Match[str]) -> str:
        dollar, name, default = found.groups()
        if dollar:
            return "$"
        return variables.get(name) or (variables[name] if default is None else default)

    return _VARIABLE.sub(one, value)


def new_secrets() -> dict[str, str]:
    """What docker/.env holds."""
    names = (
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "API_SECRET",
        "JWT_SECRET",
        "ERASURE_KEY",
        "ADMIN_PASSWORD",
    )
    return {name: secrets.token_hex(32) for name in names} | {
        "FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode()
    }


class Composed:
    """All services, with the connections that connections.env would hold, for the deployment in ``home``."""

    def __init__(
        self, folder: Path, home: Path, connections: Mapping[str, str], **variables: str
    ) -> None:
        self.folder, self.home = folder, home
        self.variables = {**new_secrets(), **variables}
        self.file = filled_in(yaml.safe_load(COMPOSE.read_text(encoding="utf-8")), self.variables)
        self.connections = dict(connections)
        self.servers: dict[str, Server] = {}
        self._stack = ExitStack()
        self._session = requests.Session()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
        self._stop()

    # --- starting

    def service(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.file["services"][name]
        return found

    def _start(self) -> None:
        self.postgres = self._postgres()
        self.redis = self._redis()
        self.port = free_port()
        self._replaced = {
            "@postgres:5432/": f"@{HOST}:{self.postgres.port}/",
            "@redis:6379/": f"@{HOST}:{self.redis.port}/",
            "http://api-server:8080/": f"http://{HOST}:{self.port}/",
            "/opt/airflow/logs": str(self.folder / "logs"),
            "/opt/concord/hub": str(self.home),
            "/opt/concord/dags": dags.__path__[0],
        }
        self.run("init")
        self._start_all([("api-server", "api-server")])
        workers = range(int(self.service("worker")["deploy"]["replicas"]))
        others = [(name, name) for name in ("scheduler", "dag-processor")]
        self._start_all([*others, *(("worker", f"worker-{number}") for number in workers)])

    def _start_all(self, processes: list[tuple[str, str]]) -> None:
        """Start processes of services, each under its name, and wait until all are well."""
        started = [_Process(self, service, name) for service, name in processes]
        for server in started:
            self.servers[server.name] = server
            self._stack.callback(server.close)
        with ThreadPoolExecutor() as pool:
            list(pool.map(_Process.start, started))

    def _stop(self) -> None:
        """Stop Airflow's processes at once, then what they stand on."""
        with ThreadPoolExecutor() as pool:
            airflow = [each for each in self.servers.values() if isinstance(each, _Process)]
            list(pool.map(_Process.stop, airflow))
        self._stack.close()

    def _postgres(self) -> peers.Postgres:
        service = self.service("postgres")
        given = service["environment"]
        server = peers.Postgres(
            self.folder / "postgres",
            options=service["command"][1:],
            user_name=given["POSTGRES_USER"],
            password=given["POSTGRES_PASSWORD"],
        )
        self.servers["postgres"] = self._stack.enter_context(server)
        address = server.url.replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{given["POSTGRES_DB"]}"')
            for config in service["configs"]:
                admin.execute(self.file["configs"][config["source"]]["content"])
        return server

    def _redis(self) -> peers.Redis:
        command = self.service("redis")["command"]
        options, password = command[1:-2], command[-1]
        server = peers.Redis(self.folder / "redis", password=password, options=options)
        self.servers["redis"] = self._stack.enter_context(server)
        return server

    def environment(self, service: str, name: str) -> dict[str, str]:
        """What a process of that service sees: the machine's path, the file's settings, addresses of this machine."""
        own = self.folder / name
        own.mkdir(parents=True, exist_ok=True)
        settings = {key: str(value) for key, value in self.service(service)["environment"].items()}
        for key, value in settings.items():
            for there, here in self._replaced.items():
                value = value.replace(there, here)
            settings[key] = value
        return {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(own),
            "AIRFLOW_HOME": str(own),
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self.port),
            **self.connections,
            **settings,
        }

    def run(self, name: str) -> None:
        """Run a service to its end, which must be a good one."""
        done = subprocess.run(
            self.service(name)["command"],
            env=self.environment(name, name),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, tail(done.stdout + done.stderr, 40)

    def kill(self, name: str) -> None:
        """The machine of this process is gone: it and all that it started, at once."""
        server = self.servers.pop(name)
        assert server.pid is not None
        parent = psutil.Process(server.pid)
        for process in [*parent.children(recursive=True), parent]:
            process.kill()
        server.stop()

    # --- asking

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """An answer of Airflow's API, below ``/api/v2/``, for the admin that ``init`` made."""
        if "Authorization" not in self._session.headers:
            form = {"username": "admin", "password": self.variables["ADMIN_PASSWORD"]}
            answer = self._session.post(f"{self.url}/auth/token", json=form, timeout=60)
            answer.raise_for_status()
            self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        answer = self._session.request(method, f"{self.url}/api/v2/{path}", json=body, timeout=60)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def health(self) -> dict[str, str]:
        """Which parts of Airflow say they are well."""
        try:
            found = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (OSError, ValueError):
            return {}
        return {part: (state or {}).get("status") or "" for part, state in found.items()}

    def logs(self, lines: int = 12) -> str:
        """The ends of the newest logs, for whoever has to find out what went wrong."""
        tasks = sorted(self.folder.glob("logs/**/*.log"), key=lambda file: file.stat().st_mtime)
        parts = []
        for file in [*self.folder.glob("*/server.log"), *tasks[-6:]]:
            parts += [
                f"{file}:",
                *(
                    line[:400]
                    for line in tail(file.read_text(errors="replace"), lines).splitlines()
                ),
            ]
        return "\n".join(parts)


class _Process(Server):
    """One process of a service."""

    start_seconds = 180.0
    stop_seconds = 20.0
    poll_seconds = 0.3

    def __init__(self, composed: Composed, service: str, name: str) -> None:
        self.name = name
        self._composed, self._service = composed, service
        super().__init__(composed.folder / name, port=composed.port)

    def _prepare(self) -> list[str]:
        environment = self._composed.environment(self._service, self.name)
        settings = [f"{key}={value}" for key, value in environment.items()]
        command = [*self._composed.service(self._service)["command"]]
        if self._service == "worker":
            command += ["--celery-hostname", f"celery@{self.name}"]  # as hosts have different names
        return ["env", "-i", *settings, *command]

    def _answers(self) -> bool:
        if self._service == "worker":
            return " ready." in self.log.read_text(errors="replace")
        return self._composed.health().get(_PARTS[self._service]) == "healthy"
