"""OpenTelemetry: figures and spans go where its own variables say (``OTEL_EXPORTER_OTLP_ENDPOINT`` and its kin).

Where they say nothing, nothing is loaded and nothing is sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

from opentelemetry import trace

from crm_master.domain.figures import Figure, Kind, by_metric

_tracers: list[Any] = []
"""The provider of a command that sends its spans itself. In Airflow it is Airflow's: see its ``[traces]``."""


def push(found: Iterable[Figure], environ: Mapping[str, str] = os.environ) -> bool | None:
    """Send figures. Gives whether they arrived, or ``None`` if there is nowhere to send them."""
    if not _wanted("METRICS", environ):
        return None
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], resource=_resource(environ), shutdown_on_exit=False)
    exporter = _exporter("metric", environ)
    try:
        _observe(provider.get_meter("concord"), found)
        sent: bool = (
            exporter.export(_since_ever(reader.get_metrics_data())) is MetricExportResult.SUCCESS
        )
        return sent
    finally:
        exporter.shutdown()
        provider.shutdown()


def _observe(meter: Any, found: Iterable[Figure]) -> None:
    from opentelemetry.metrics import Observation

    for metric, at in by_metric(found):
        counter = metric.kind is Kind.COUNTER
        make = meter.create_observable_counter if counter else meter.create_observable_gauge
        seen = [Observation(figure.value, dict(figure.labels)) for figure in at]
        # who reads it in Prometheus' words puts the ending back
        name = metric.name.removesuffix("_total")
        make(name, [lambda _, seen=seen: seen], metric.unit, metric.help)


def _since_ever(data: Any) -> Any:
    """Sums that began nobody knows when (0). The provider, new for each push, would say that they begin with it."""
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                points = metric.data.data_points
                points[:] = [replace(point, start_time_unix_nano=0) for point in points]
    return data


@contextmanager
def sending_spans(environ: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Send the spans of the runs in this block when it ends, if there is somewhere to send them."""
    if not _wanted("TRACES", environ):
        yield
        return
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=_resource(environ), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_exporter("trace", environ)))
    _tracers.append(provider)
    try:
        yield
    finally:
        _tracers.remove(provider)
        provider.shutdown()


@contextmanager
def span(name: str, names: Mapping[str, str]) -> Iterator[Any]:
    """A span with these attributes. Of an error it keeps the kind alone."""
    provider = _tracers[-1] if _tracers else trace.get_tracer_provider()
    attributes = {f"concord.{key}": value for key, value in names.items()}
    with provider.get_tracer("concord").start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as found:
        try:
            yield found
        except BaseException as error:
            found.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise


def _wanted(signal: str, environ: Mapping[str, str]) -> bool:
    """Whether a signal is to be sent, by the variables that OpenTelemetry defines for that."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    # Airflow's own setting is one of otlp, otlp_proto_http and otlp_proto_grpc
    if not environ.get(f"OTEL_{signal}_EXPORTER", "otlp").startswith("otlp"):
        return False
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return any(environ.get(name) for name in names)


def _exporter(signal: str, environ: Mapping[str, str]) -> Any:
    """The exporter of ``metric`` or ``trace``, over the protocol that is asked for."""
    default = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    asked = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}S_PROTOCOL", default)
    kind, ending = ("Metric", "metric") if signal == "metric" else ("Span", "trace")
    protocol = "grpc" if asked == "grpc" else "http"
    # slow to import, and seldom wanted
    module = import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.{ending}_exporter")
    return getattr(module, f"OTLP{kind}Exporter")()


def _resource(environ: Mapping[str, str]) -> Any:
    from opentelemetry.sdk.resources import Resource

    named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return Resource.create({} if named else {"service.name": "concord"})
