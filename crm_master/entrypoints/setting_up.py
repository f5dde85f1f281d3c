"""From a folder of files to a hub that can run: the master made, the files and the connections checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.errors import ConnectorError
from connectors.registry import KINDS, manifest_schema
from crm_master.bootstrap import App, in_force
from crm_master.deployment import Deployment, compile_deployment, home_files
from crm_master.domain.lifecycle import SystemState
from crm_master.engine.applying import switch
from crm_master.entrypoints.looking import not_in_force
from crm_master.settings import HubSettings, PolicySettings
from crm_master.store import SchemaOutdated
from mappings.schemas import DIALECT, schema_of
from mappings.schemas import schemas as mapping_schemas


def read_hub(home: Path) -> Deployment:
    """The deployment in ``home``, from its files alone. Raises ``ConfigurationMistakes`` with every mistake."""
    return compile_deployment(home_files(home))


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of every kind of file that users write, by its file name: for editors and for checks outside."""
    found = {
        "hub": schema_of(HubSettings),
        "policy": schema_of(PolicySettings),
        **mapping_schemas(),
        **{f"manifest-{kind}": {"$schema": DIALECT, **manifest_schema(kind)} for kind in KINDS},
    }
    return {f"{name}.schema.json": schema for name, schema in sorted(found.items())}


def init(app: App) -> None:
    """Make or migrate the master database, and register the deployment's systems."""
    app.store.migrate()
    app.store.make_views([plan.spec for plan in app.hub.entities.values()])
    register(app)


def register(app: App) -> None:
    """Record the configuration, and any system that is new: it joins."""
    with app.store() as uow:
        applied, known = uow.journal.applied(), uow.states.systems()
    recorded = applied is not None and applied.hash == app.hub.hash
    if recorded and known.keys() >= app.hub.systems.keys():
        return
    new = in_force(app).proposed is None
    with app.store() as uow:
        at = app.clock()
        uow.journal.save_config(app.hub.hash, app.hub.content, at)
        applied = uow.journal.applied()
        if new and (applied is None or applied.hash != app.hub.hash):
            # the first, or one under which everything that was read means the same
            switch(app.hub, uow, app.clock, "", swept=True)
        known = uow.states.systems()
        for name in app.hub.systems:
            if name not in known:
                uow.states.save_system(name, SystemState.JOINING, at)
        uow.commit()


def unapplied(app: App) -> str:
    """What there is to say of files that are not in force; nothing if they are, or before there is a master."""
    try:
        app.store.check()
    except SchemaOutdated:
        return ""
    app = in_force(app)
    with app.store() as uow:
        return not_in_force(app, uow)


def check_systems(app: App) -> list[dict[str, Any]]:
    """Ask every stream's system for one cheap answer. Never raises for a system."""
    found = []
    for stream in app.hub.streams():
        try:
            health = app.connect(stream.system).check(stream.stream)
            ok, detail = health.ok, health.detail
        except ConnectorError as error:
            ok, detail = False, str(error)
        found.append({"stream": stream.name, "ok": ok, "detail": detail})
    return found
