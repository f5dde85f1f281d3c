"""The figures of a hub reach others: as text, in a file, over a socket, and over OpenTelemetry's protocol."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import requests
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from crm_master import entrypoints
from crm_master.domain.alerts import RULES
from crm_master.domain.figures import METRICS
from tests.desk import Desk
from tests.integration.collector import collecting

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def _samples(text: str) -> Samples:
    return {
        (sample.name, frozenset((n, v) for n, v in sample.labels.items() if v)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _of(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_metrics_are_prometheus_text_about_streams_queues_runs_and_alerts(running: Desk) -> None:
    running.concord("stop", "crm")
    running.shop.edit("1", phone="02 555 00 11")
    running.concord("sync")
    found = _samples(running.concord("metrics").stdout)

    assert 0 < _of(found, "concord_stream_lag_seconds", system="shop", stream="customers") < 600
    assert _of(found, "concord_outbox_waiting", system="crm", status="pending") == 1
    assert _of(found, "concord_system_stopped", system="crm") == 1
    ingest = {"verb": "ingest", "system": "shop", "stream": "customers"}
    assert _of(found, "concord_runs_total", **ingest, status="done") == 3
    assert _of(found, "concord_run_counts_total", **ingest, count="landed") >= 4
    alert = {"alert": "system_stopped", "severity": "warning", "place": "crm"}
    assert _of(found, "concord_alert", **alert) == 1
    assert {re.sub("_total$", "", name) for name, _ in found} <= {
        re.sub("_total$", "", name) for name in METRICS
    }


def test_the_figures_are_json_too(running: Desk) -> None:
    running.concord("stop", "crm")
    found = json.loads(running.concord("metrics", "--json").stdout)
    stopped = [of for of in found if of["metric"] == "concord_system_stopped"]
    assert {of["labels"]["system"]: of["value"] for of in stopped} == {"crm": 1, "shop": 0}


def test_no_label_is_out_of_a_record_and_their_number_is_that_of_the_configuration(
    running: Desk,
) -> None:
    before = _samples(running.concord("metrics").stdout)
    for number in range(10, 40):
        running.shop.add(name=f"Person {number}", email=f"p{number}@example.org")
    running.shop.poison("2", b'{"id": null, "name": "Person 2"}')
    running.concord("sync", status=1)
    text = running.concord("metrics").stdout

    assert "Person" not in text
    assert "example.org" not in text
    shapes = {(name, frozenset(dict(of) | {"count": "", "kind": ""})) for name, of in before}
    assert len(_samples(text)) <= len(before) + 25
    assert shapes


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(running: Desk) -> None:
    file = running.home / "out" / "concord.prom"
    file.parent.mkdir()
    file.write_text("old")
    running.concord("metrics", "--file", str(file))
    assert _samples(file.read_text())
    assert list(file.parent.iterdir()) == [file]
    assert file.stat().st_mode & 0o044


def test_they_are_served_and_taken_anew_for_each_request(running: Desk) -> None:
    with (
        entrypoints.opened(running.home) as app,
        entrypoints.serving_metrics(app, "127.0.0.1", 0) as (port, _),
    ):
        address = f"http://127.0.0.1:{port}/metrics"
        before = _samples(requests.get(address, timeout=30).text)
        running.concord("stop", "crm")
        after = _samples(requests.get(address, timeout=30).text)
    assert _of(before, "concord_system_stopped", system="crm") == 0
    assert _of(after, "concord_system_stopped", system="crm") == 1


def test_the_command_serves_until_it_is_interrupted_on_this_machine_alone(running: Desk) -> None:
    command = [sys.executable, "-m", "crm_master.cli", "metrics", "--listen", "0"]
    with subprocess.Popen(
        command, env=os.environ | running.environ, stderr=subprocess.PIPE, text=True
    ) as served:
        assert served.stderr is not None
        try:
            said = served.stderr.readline()
            found = re.search(r"http://127\.0\.0\.1:[0-9]+/metrics", said)
            assert found is not None, said
            assert _samples(requests.get(found[0], timeout=30).text)
            served.send_signal(signal.SIGINT)
            assert served.wait(30) == 0
            assert served.stderr.read() == ""
        finally:
            served.kill()


def test_they_are_sent_where_the_variables_of_opentelemetry_say(running: Desk) -> None:
    with collecting(ExportMetricsServiceRequest) as (address, taken):
        running.settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = address
        running.concord("metrics", "--push")
    (resource,) = taken[0].resource_metrics
    service = {item.key: item.value.string_value for item in resource.resource.attributes}
    assert service["service.name"] == "concord"
    sent = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
    assert sent["concord_stream_lag_seconds"].unit == "s"
    runs = sent["concord_runs"].sum
    assert runs.is_monotonic
    points = [{a.key: a.value.string_value for a in p.attributes} for p in runs.data_points]
    assert {"verb": "deliver", "system": "crm", "status": "done"} in points


def test_no_push_says_that_its_sums_began_anew(running: Desk) -> None:
    """Whoever receives them would take each push for a restart, and count everything again."""
    with collecting(ExportMetricsServiceRequest) as (address, taken):
        running.settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = address
        running.concord("metrics", "--push")
        running.concord("metrics", "--push")
    began = [
        {
            point.start_time_unix_nano
            for resource in push.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.sum.data_points
        }
        for push in taken
    ]
    assert began == [{0}, {0}]  # 0: not known


def test_where_no_collector_is_named_nothing_is_sent_and_that_is_said(running: Desk) -> None:
    running.concord("metrics", "--push", said="set OTEL_EXPORTER_OTLP_ENDPOINT")


def test_a_collector_that_refuses_is_an_error(running: Desk) -> None:
    with collecting(ExportMetricsServiceRequest, status=400) as (address, _):
        running.settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = address
        running.concord("metrics", "--push", status=1, said="did not take them")


@pytest.mark.parametrize("words", [("--listen", "here"), ("--push", "--rules")])
def test_what_makes_no_sense_is_said(running: Desk, words: tuple[str, ...]) -> None:
    running.concord("metrics", *words, status=2)


def test_there_is_a_rule_of_prometheus_for_each_alert(desk: Desk) -> None:
    (group,) = yaml.safe_load(desk.concord("metrics", "--rules").stdout)["groups"]
    named = "".join(rule["expr"] for rule in group["rules"])
    assert all(f'"{name}"' in named for name in RULES)
    assert "absent(concord_figures_time_seconds)" in named
