"""A deployment over simulated systems, as a test needs it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from connectors.runtime.connection import Connection
from connectors.testing.simulator import Simulator
from crm_master import entrypoints
from crm_master.bootstrap import App, erasure_key, in_force
from crm_master.deployment import Deployment, compile_deployment, home_files
from crm_master.store import Database

MATCH = {"keys": {"email": ["email"]}, "same": [["email"]], "within_system": "review"}
FIELDS: Mapping[str, Any] = {
    "name": {"at": "name", "as": "name"},
    "email": {"at": "email", "as": "email"},
    "phone": {"at": "phone", "as": {"phone": {"region": "BE"}}},
    "address.city": "city",
    "owner": "note",
    "website": "status",
}


def files_for(
    systems: Mapping[str, Simulator],
    policies: Mapping[str, Any] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    mappings: Mapping[str, Mapping[str, Any]] | None = None,
    params: Mapping[str, Any] | None = None,
    creating: Collection[str] = (),
    deletes: str = "ignore",
) -> dict[str, str]:
    """The files of a hub over simulated systems, ranked in their order. ``options`` are those of every stream.

    In the systems named in ``creating`` everybody is created. ``deletes``: what a deletion in one does in the others.
    """
    hub = {
        "name": "test",
        "rank": list(systems),
        "systems": {
            name: {
                "system": name,
                "connection": name,
                "join": "auto",
                "params": dict(params or {}),
                "streams": {
                    "customers": dict(options or {})
                    | ({"create": "everybody"} if name in creating else {})
                },
            }
            for name in systems
        },
    }
    policy = {
        "entity": "customer",
        "fields": dict(policies or {}),
        "match": MATCH,
        "deletes": deletes,
    }
    files = {"hub.yaml": hub, "policies/customer.yaml": policy}
    for name in systems:
        fields = (mappings or {}).get(name, FIELDS)
        files[f"mappings/{name}/customers.yaml"] = {"entity": "customer", "fields": dict(fields)}
    texts = {name: yaml.safe_dump(content, sort_keys=False) for name, content in files.items()}
    return texts | {
        f"systems/{name}.yaml": system.profile.manifest() for name, system in systems.items()
    }


def write_files(files: Mapping[str, str], home: Path) -> Path:
    """These files as a folder. Gives it."""
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text, encoding="utf-8")
    return home


def compiled(files: Mapping[str, str]) -> Deployment:
    """A deployment of these files; what they lack is what ships."""
    shipped = home_files(Path("/nonexistent"))
    return compile_deployment(lambda name: files.get(name) or shipped(name))


def open_hub(systems: Mapping[str, Simulator], files: Mapping[str, str], url: str) -> App:
    """An app over simulated systems with a migrated master at ``url``."""
    app = App(
        Path(), compiled(files), Database(url), lambda connection: systems[connection].connection
    )
    entrypoints.init(app)
    return app


def with_files(app: App, files: Mapping[str, str]) -> App:
    """The app after somebody has changed the files: what was applied is in force."""
    return in_force(replace(app, deployment=compiled(files), proposed=None))


@contextmanager
def beside(
    shop: Simulator,
    name: str,
    system: str,
    connection: Connection,
    folder: Path,
    deletes: str = "ignore",
    erase: str = "request",
) -> Iterator[App]:
    """A hub over a simulated shop and a system of a manifest that ships; everybody is created in both.

    ``erase``: what becomes of an erased customer's records in that system.
    """
    files = files_for({"shop": shop}, creating={"shop"}, deletes=deletes)
    settings = yaml.safe_load(files["hub.yaml"])
    settings["rank"].append(name)
    settings["systems"][name] = {
        "system": system,
        "connection": name,
        "join": "auto",
        "erase": erase,
        "streams": {"customers": {"create": "everybody"}},
    }
    connections = {"shop": shop.connection, name: connection}
    app = App(
        Path(),
        compiled(files | {"hub.yaml": yaml.safe_dump(settings)}),
        Database(f"sqlite:///{folder / 'master.db'}", erasure_key(folder, {})),
        connections.__getitem__,
    )
    entrypoints.init(app)
    yield app
    for known in connections:
        app.connect(known).close()  # type: ignore[attr-defined]
    app.store.close()


def delivered(app: App) -> int:
    """One round; how many deliveries it counted."""
    runs: list[entrypoints.Ran] = []
    entrypoints.sync(app, report=runs.append)
    return sum(sum(run.counts.values()) for run in runs if run.verb == "deliver")
