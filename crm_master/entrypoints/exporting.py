"""The figures for others: as Prometheus' text, in a file, on a port, or sent by OpenTelemetry's protocol."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import yaml
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from crm_master.bootstrap import App
from crm_master.domain.alerts import RULES, standing
from crm_master.domain.figures import Figure, Kind, by_metric
from crm_master.engine import operating
from crm_master.entrypoints import otlp

OUTDATED = 900
"""Seconds after which figures that nobody has taken again are an alert of their own."""


def figures(app: App) -> list[Figure]:
    """All figures of the hub as they are now, the alerts that stand among them."""
    with app.store() as uow:
        found = operating.figures(app.hub, uow, app.clock())
    for alert in standing(found, app.settings.alerts.limits):
        of = {"alert": alert.rule.name, "severity": alert.rule.severity.value, "place": alert.place}
        found.append(Figure("concord_alert", 1, of))
    return found


def metrics(app: App) -> str:
    """The figures in Prometheus' text format."""
    return generate_latest(_registry(app)).decode()


def write_metrics(app: App, path: Path) -> None:
    """The same in a file, whole at any time, as the textfile collector of node_exporter reads it."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        draft.write_text(metrics(app), encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def serving_metrics(app: App, host: str, port: int) -> Iterator[tuple[int, Thread]]:
    """The same at ``http://host:port/metrics``, taken anew for each request. Gives the port, and the thread that serves.

    No password is asked for: the figures name systems, streams and entities, and nobody. Raises ``OSError``.
    """
    server, thread = start_http_server(port, host, _registry(app))
    try:
        yield server.server_port, thread
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def alerting_rules() -> str:
    """Prometheus' rules for the alerts, as YAML. Their limits are the hub's: it says itself which of them stand."""
    rules: list[dict[str, Any]] = [
        {
            "alert": _camel(rule.name),
            "expr": f'concord_alert{{alert="{rule.name}"}} == 1',
            "labels": {"severity": rule.severity.value},
            "annotations": {
                "summary": f"Concord: {rule.name} {{{{ $labels.place }}}}",
                "description": rule.means,
                "runbook": rule.see,
            },
        }
        for rule in RULES.values()
    ]
    rules.append(
        {
            "alert": _camel("figures_outdated"),
            "expr": f"time() - concord_figures_time_seconds > {OUTDATED}"
            " or absent(concord_figures_time_seconds)",
            "labels": {"severity": "critical"},
            "annotations": {
                "summary": "Concord: its figures are not taken any more",
                "runbook": "docs/runbook.md#dag-fails",
            },
        }
    )
    return yaml.safe_dump(
        {"groups": [{"name": "concord", "rules": rules}]}, sort_keys=False, width=120
    )


def push_metrics(app: App, environ: Mapping[str, str] = os.environ) -> bool | None:
    """Send the figures to OpenTelemetry's collector. Gives whether they arrived, or ``None`` if none is named."""
    return otlp.push(figures(app), environ)


def _registry(app: App) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(app))
    return registry


class _Figures(Collector):
    """Takes the figures anew for whoever reads them."""

    def __init__(self, app: App) -> None:
        self._app = app

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        for metric, found in by_metric(figures(self._app)):
            kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
            family = kind(metric.name, metric.help, labels=metric.labels)
            for figure in found:
                # a label that is empty is none
                family.add_metric([figure.labels.get(n, "") for n in metric.labels], figure.value)
            yield family


def _camel(name: str) -> str:
    return "Concord" + name.title().replace("_", "")
