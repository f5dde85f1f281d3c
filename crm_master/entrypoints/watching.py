"""What is the matter, and who is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from crm_master.bootstrap import App
from crm_master.domain.alerts import Alert, standing
from crm_master.engine import operating
from crm_master.engine.ingest import moment
from crm_master.engine.operating import Channel, Watched
from crm_master.logs import logger
from crm_master.ports import UnitOfWork

__all__ = ["Channel", "Watched", "attention", "watch"]


def watch(app: App, channels: Mapping[str, Channel]) -> Watched:
    """Tell the log and every channel once of each alert that came, and of each that went. See ``engine.operating.watch``."""
    every = {"log": Channel(partial(_log, app)), **channels}
    return operating.watch(app.hub, app.settings.alerts.limits, every, app.store, app.clock)


def _log(app: App, told: Mapping[str, str]) -> None:
    names = {name: told[name] for name in ("name", "place", "severity", "text")}
    log = logger(app.settings.log, hub=app.settings.name, **names)
    (log.info if told["state"] == "ended" else log.warning)(f"alert {told['state']}")


def attention(app: App, uow: UnitOfWork) -> list[dict[str, Any]]:
    """The alerts that stand now, the most severe first; ``since`` when a watch has first seen them."""
    found = standing(operating.figures(app.hub, uow, app.clock()), app.settings.alerts.limits)
    since = {(item.name, item.place): item.since for item in uow.operations.alerts()}
    return [_shown(alert, since.get(alert.key, 0)) for alert in found]


def _shown(alert: Alert, since: int) -> dict[str, Any]:
    return {
        "name": alert.rule.name,
        "place": alert.place,
        "severity": alert.rule.severity.value,
        "text": alert.text,
        "see": alert.rule.see,
        "since": moment(since).isoformat(timespec="seconds") if since else None,
    }
