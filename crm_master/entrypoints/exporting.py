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
from crm_master.domain.figures import METRICS, Figure, Kind
from crm_master.engine import operating

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
    """Send the figures where OpenTelemetry's own variables say (``OTEL_EXPORTER_OTLP_ENDPOINT`` and its kin).

    Gives whether they arrived, or ``None`` if there is nowhere to send them.
    """
    if not _wanted("METRICS", environ):
        return None
    # slow to import, and seldom wanted
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], resource=_resource(environ), shutdown_on_exit=False)
    exporter = _exporter("metrics", environ)
    try:
        _observe(provider.get_meter("concord"), figures(app))
        data = reader.get_metrics_data()
        sent: bool = exporter.export(data) is MetricExportResult.SUCCESS
        return sent
    finally:
        exporter.shutdown()
        provider.shutdown()


def _observe(meter: Any, found: Iterable[Figure]) -> None:
    from opentelemetry.metrics import Observation

    for metric, at in _by_metric(found):
        counter = metric.kind is Kind.COUNTER
        make = meter.create_observable_counter if counter else meter.create_observable_gauge
        seen = [Observation(figure.value, dict(figure.labels)) for figure in at]
        # who reads it in Prometheus' words puts the ending back
        name = metric.name.removesuffix("_total")
        make(name, [lambda _, seen=seen: seen], metric.unit, metric.help)


def _wanted(signal: str, environ: Mapping[str, str]) -> bool:
    """Whether a signal is to be sent, by the variables that OpenTelemetry defines for that."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environ.get(f"OTEL_{signal}_EXPORTER", "otlp") != "otlp":
        return False
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return any(environ.get(name) for name in names)


def _exporter(signal: str, environ: Mapping[str, str]) -> Any:
    default = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    grpc = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", default) == "grpc"
    if grpc:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
            OTLPMetricExporter as Grpc,
        )

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter()


def _resource(environ: Mapping[str, str]) -> Any:
    from opentelemetry.sdk.resources import Resource

    named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return Resource.create({} if named else {"service.name": "concord"})


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
        for metric, found in _by_metric(figures(self._app)):
            kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
            family = kind(metric.name, metric.help, labels=metric.labels)
            for figure in found:
                # a label that is empty is none
                family.add_metric([figure.labels.get(n, "") for n in metric.labels], figure.value)
            yield family


def _by_metric(found: Iterable[Figure]) -> Iterator[tuple[Any, list[Figure]]]:
    """The figures in the order of the table, those of one metric together."""
    at: dict[str, list[Figure]] = {name: [] for name in METRICS}
    for figure in found:
        at[figure.metric].append(figure)
    return ((METRICS[name], those) for name, those in at.items() if those)


def _camel(name: str) -> str:
    return "Concord" + name.title().replace("_", "")
