"""Alerts go from the figures of the store through a DAG and a notifier of Airflow to a real mail server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiosmtpd.controller import Controller
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from connectors.runtime.connection import as_variable, variable
from connectors.testing.profiles import Profile
from connectors.testing.simulator import Simulator
from crm_master.entrypoints import ConfigurationMistakes, read_hub
from dags.alerting import channels, check_notifiers
from examples.peers.processes import free_port
from tests.hubs import files_for, write_files
from tests.integration.collector import collecting

SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
RUN = """
import json, os, sys
from pathlib import Path
folder, home = Path(sys.argv[1]), Path(sys.argv[2])
from dags.inprocess import InProcess
airflow = InProcess(folder, home)
from dags.setup import prepare
prepare(home)
hub = home / "hub.yaml"
text = hub.read_text()
ended = []
for step in sys.argv[3:]:
    if step.startswith("limit="):
        hub.write_text(text.replace("stream_lags: 0", "stream_lags: " + step.removeprefix("limit=")))
    elif step == "lose the master":
        (home / "concord.db").rename(home / "away")
    elif step == "lose the post":
        post = os.environ["AIRFLOW_CONN_SMTP_DEFAULT"]
        os.environ["AIRFLOW_CONN_SMTP_DEFAULT"] = json.dumps({**json.loads(post), "port": 1})
    elif step == "find the post":
        os.environ["AIRFLOW_CONN_SMTP_DEFAULT"] = post
    elif step == "find the master":
        (home / "away").replace(home / "concord.db")
    else:
        ended.append(airflow.run(step).tasks)
print("found: " + json.dumps(ended))
"""


class Post:
    """What a mail server was given."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.fixture
def post() -> Iterator[tuple[Post, int]]:
    handler = Post()
    server = Controller(handler, hostname="127.0.0.1", port=free_port())
    server.start()
    yield handler, server.port
    server.stop()


def _home(folder: Path, shop: Simulator, *notify: dict[str, Any]) -> Path:
    home = write_files(files_for({"shop": shop}), folder / "hub")
    alerts = {"limits": {"stream_lags": 0}, "notify": list(notify)}
    with (home / "hub.yaml").open("a") as file:
        file.write(yaml.safe_dump({"alerts": alerts}))
    return home


def _run(folder: Path, home: Path, shop: Simulator, mail_port: int, *steps: str) -> Any:
    mail = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": mail_port,
        "extra": json.dumps({"disable_ssl": True, "disable_tls": True}),
    }
    environ = {
        variable("shop"): as_variable(shop.connection),
        variable("smtp_default"): json.dumps(mail),
    }
    ran = subprocess.run(
        [sys.executable, "-c", RUN, str(folder / "airflow"), str(home), *steps],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    line = next((line for line in ran.stdout.splitlines() if line.startswith("found: ")), None)
    assert line is not None, (ran.stdout + ran.stderr)[-3000:]
    return json.loads(line.removeprefix("found: "))


MAIL: dict[str, Any] = {
    "notifier": SMTP,
    "with": {
        "to": "oncall@example.org",
        "from_email": "hub@example.org",
        "subject": "{{ alert.subject }}",
        "html_content": "{{ alert.text }} {{ alert.means }} {{ alert.see }}",
    },
}


@pytest.mark.slow
@pytest.mark.integration
def test_an_alert_is_mailed_once_when_it_comes_and_once_when_it_goes(tmp_path, post, monkeypatch):
    """So is that nobody watches, by the task that failed, once mail goes. Each look sends figures as OTEL_ variables say."""
    mails, port = post
    watch = "maintain__alerts"
    with (
        Simulator(Profile("shop")) as shop,
        collecting(ExportMetricsServiceRequest) as (collector, figures),
    ):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{collector}/v1/metrics")
        shop.add(name="Ada Example", email="ada@example.org")
        home = _home(tmp_path, shop, MAIL)
        steps = ("ingest__shop__customers", watch, watch, "limit=1h", watch, watch)
        unheard = ("lose the master", "lose the post", watch, "find the post", watch, watch)
        lost = (*unheard, "find the master", watch, watch)
        ended = _run(tmp_path, home, shop, port, *steps, *lost)
    states = [tasks["watch"] for tasks in ended[1:]]
    assert states == ["success"] * 4 + ["failed"] * 3 + ["success"] * 2

    sent = [
        m.name
        for got in figures
        for r in got.resource_metrics
        for s in r.scope_metrics
        for m in s.metrics
    ]
    assert sent.count("concord_stream_lag_seconds") == 6  # each look that there was

    raised, gone, unwatched, watched = mails.mails
    assert raised["To"] == "oncall@example.org"
    assert raised["Subject"].startswith("Concord test: shop/customers has not been read")
    body = raised.get_body(("html",))
    assert body is not None
    assert "docs/runbook.md#stream-lags" in body.get_content()
    assert gone["Subject"].startswith("Concord test (ended): shop/customers")
    assert unwatched["Subject"].startswith("Concord test: maintain__alerts fails")
    assert watched["Subject"].startswith("Concord test (ended): maintain__alerts fails")


def test_two_channels_that_differ_in_severity_alone_have_two_names(tmp_path):
    """Else the first of them is told of nothing."""
    with Simulator(Profile("shop")) as shop:
        home = _home(tmp_path, shop, MAIL, {**MAIL, "least": "critical"})
    assert len(channels(read_hub(home), {})) == 2


def test_a_notifier_that_there_is_not_is_a_mistake_with_its_line(tmp_path):
    wrong: list[dict[str, Any]] = [
        {"notifier": "dags.alerting.watch"},
        {"notifier": SMTP, "with": {"too": "x"}},
    ]
    with Simulator(Profile("shop")) as shop:
        home = _home(tmp_path, shop, *wrong)
    with pytest.raises(ConfigurationMistakes) as caught:
        check_notifiers(read_hub(home))
    assert [mistake.path for mistake in caught.value.mistakes] == [
        "alerts.notify[0].notifier",
        "alerts.notify[1].with",
    ]
    assert all(mistake.line > 1 for mistake in caught.value.mistakes)
