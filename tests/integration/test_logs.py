"""Log lines and spans: what ran and how it ended, as data, and nobody's name in them."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from crm_master import entrypoints
from tests.desk import Desk
from tests.integration.collector import collecting

NAMES = {
    "event", "level", "timestamp", "hub", "run", "verb", "system", "stream", "entity",
    "status", "error", "seconds", "counts",
}  # fmt: skip
CANARIES = ("Person", "Canary", "example.org", "512 34 56", "+3225")


@pytest.fixture
def logging_json(running: Desk) -> Desk:
    running.edit("hub.yaml", "name: test\n", "name: test\nlog: json\n")
    return running


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def _lock_out(desk: Desk) -> None:
    """From now on the CRM does not know the password any more."""
    connection = {"host": desk.crm.url, "password": "wrong"}
    desk.settings["AIRFLOW_CONN_CRM"] = json.dumps(connection)


def test_in_json_each_run_is_two_lines_of_data_on_standard_error(logging_json: Desk) -> None:
    logging_json.shop.edit("1", phone="02 555 00 11")
    result = logging_json.concord("sync", "--json")
    lines = _lines(result.stderr)
    ran = json.loads(result.stdout)

    ended = {line["run"]: line for line in lines if line["event"] == "run ended"}
    assert [line["run"] for line in lines if line["event"] == "run started"] == list(ended)
    assert list(ended) == [run["run"] for run in ran]
    ingest = ended[ran[0]["run"]]
    assert {name: ingest[name] for name in ("hub", "verb", "system", "stream", "status")} == {
        "hub": "test", "verb": "ingest", "system": "shop", "stream": "customers", "status": "done",
    }  # fmt: skip
    assert ingest["counts"]["landed"] == 1
    assert ingest["counts"] == {name: n for name, n in ran[0]["counts"].items() if n}
    assert ingest["seconds"] >= 0
    assert ingest["timestamp"].endswith("Z")


def test_no_value_of_a_record_is_in_any_line_whatever_goes_wrong(logging_json: Desk) -> None:
    desk = logging_json
    desk.shop.edit("1", name="Canary Canaria", phone="02 555 00 11")
    desk.shop.poison("2", b'{"id": null, "name": "Canary", "email": "canary@example.org"}')
    desk.crm.fail_next(
        422, methods={"PUT", "PATCH"}, body=b'{"message": "Canary Canaria is taken"}'
    )
    said = desk.concord("sync", status=1).stderr
    said += desk.concord("ingest", "shop", "customers", "--full", status=1).stderr
    _lock_out(desk)
    said += desk.concord("ingest", "crm", "customers", status=1).stderr

    lines = _lines(said)
    failed = [line for line in lines if line.get("status") == "failed"]
    assert {line["error"] for line in failed} >= {"RunFailed", "BadCredentials"}
    assert all(line["level"] == "error" for line in failed)
    for line in lines:
        assert line.keys() <= NAMES | ({"text"} if line["event"] == "command failed" else set())
    assert not [canary for canary in CANARIES if canary in said]


def test_as_text_the_command_line_says_things_once(running: Desk) -> None:
    result = running.concord("sync")
    assert "run ended" not in result.stderr
    assert "ingest shop/customers: " in result.stdout


def test_as_text_others_get_a_line_for_people(
    running: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in running.environ.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level(logging.INFO), entrypoints.opened(running.home) as app:
        ran = entrypoints.deliver(app, "crm")
        entrypoints.stop(app, "crm", on=True)
        entrypoints.watch(app, {})
    start, end, alert = (r.getMessage() for r in caplog.records if r.name == "concord")
    assert start == f"run started: hub=test run={ran.run} verb=deliver system=crm"
    assert end.startswith(f"run ended: hub=test run={ran.run} verb=deliver system=crm status=done")
    assert alert.startswith("alert raised: hub=test name=system_stopped place=crm")


def test_another_form_is_a_mistake_with_its_line(running: Desk) -> None:
    running.edit("hub.yaml", "name: test\n", "name: test\nlog: xml\n")
    running.concord("status", status=2, said="hub.yaml:2: log: 'xml'; allowed: 'text' or 'json'")


def test_each_run_is_a_span_where_the_variables_of_opentelemetry_say(running: Desk) -> None:
    with collecting(ExportTraceServiceRequest) as (address, taken):
        running.settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = address
        _lock_out(running)
        running.concord("sync", status=1)
    spans = [s for got in taken for r in got.resource_spans for o in r.scope_spans for s in o.spans]
    by_name = {span.name: span for span in spans}
    assert {"concord ingest", "concord reconcile", "concord deliver"} <= by_name.keys()
    failed = [span for span in spans if span.status.code == 2]
    assert {span.status.message for span in failed} == {"BadCredentials"}
    names = {a.key: a.value.string_value for a in by_name["concord reconcile"].attributes}
    assert names["concord.entity"] == "customer"
    assert not any(span.events for span in spans)
