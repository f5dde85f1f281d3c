"""The generated DAGs: what there is, when it runs, what holds it back, and what it says when something is wrong."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from airflow.sdk import DAG, AssetAny, RetryAction

from connectors import errors
from crm_master.entrypoints import (
    BadDatabaseUrl,
    ConfigurationMistakes,
    DatabaseUnavailable,
    Deployment,
    RunFailed,
    read_hub,
)
from dags import flows, notes, work
from dags.builder import build
from dags.inprocess import DAGS, settings
from dags.retrying import NotConverged, policy
from tests.hubs import write_files

DEMO = Path(__file__).resolve().parents[3] / "examples" / "demo" / "hub"
IDS = {
    "ingest__erp__parties",
    "ingest__mailing__subscribers",
    "reconcile__customer",
    "deliver__erp",
    "deliver__mailing",
    "maintain__sweep",
    "maintain__retries",
    "maintain__join",
    "maintain__verify",
    "maintain__alerts",
}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return read_hub(_written(tmp_path_factory.mktemp("of"), _hub()))


@pytest.fixture(scope="module")
def dags(deployment: Deployment) -> dict[str, DAG]:
    return build(deployment)


def test_each_stream_entity_and_system_has_its_dag(dags):
    assert dags.keys() == IDS
    assert all(dag.dag_id == dag_id for dag_id, dag in dags.items())


def test_a_task_parses_only_the_dag_it_belongs_to(deployment):
    assert build(deployment, only="deliver__erp").keys() == {"deliver__erp"}


def test_ingest_runs_by_the_clock_of_hub_yaml(dags):
    assert dags["ingest__erp__parties"].schedule == "*/5 * * * *"


def test_a_stream_schedule_beats_that_of_its_system(tmp_path):
    hub = _hub()
    hub["systems"]["erp"]["streams"]["parties"]["schedule"] = "@hourly"
    del hub["systems"]["mailing"]["schedule"]
    dags = build(read_hub(_written(tmp_path, hub)))

    assert dags["ingest__erp__parties"].schedule == "@hourly"
    assert dags["ingest__mailing__subscribers"].schedule == "*/15 * * * *"


def test_any_landed_stream_starts_reconcile_and_any_golden_record_a_delivery(dags):
    reconcile, deliver = dags["reconcile__customer"], dags["deliver__mailing"]

    assert isinstance(reconcile.schedule, AssetAny)
    assert _uris(reconcile.schedule) == {
        "concord://demo/landed/erp/parties",
        "concord://demo/landed/mailing/subscribers",
    }
    assert isinstance(deliver.schedule, AssetAny)
    assert _uris(deliver.schedule) == {"concord://demo/golden/customer"}


def test_what_starts_a_dag_is_announced_by_the_one_before_it(dags):
    assert _outlets(dags["ingest__erp__parties"]) == {"concord://demo/landed/erp/parties"}
    assert _outlets(dags["reconcile__customer"]) == {"concord://demo/golden/customer"}
    assert _outlets(dags["deliver__erp"]) == {"concord://demo/landed/erp/parties"}
    assert _outlets(dags["maintain__sweep"]) == _uris(dags["reconcile__customer"].schedule)


def test_every_dag_runs_once_at_a_time_catches_up_on_nothing_and_tells_whoever_is_on_call(dags):
    for dag in dags.values():
        assert dag.max_active_runs == 1
        assert not dag.catchup
        assert {"concord", "demo"} <= dag.tags
        assert dag.doc_md is not None
        assert notes.RED in dag.doc_md
        assert "{" not in dag.doc_md


@pytest.mark.parametrize("system", ["erp", "mailing"])
def test_whatever_talks_to_a_system_takes_a_slot_of_its_pool(dags, deployment, system):
    talking = {
        task.task_id: task.pool
        for dag in dags.values()
        for task in dag.tasks
        if task.task_id.rpartition(".")[2] in ("read", "deliver")
        and system in (dag.dag_id + task.task_id)
    }
    assert len(talking) == 4
    assert set(talking.values()) == {f"concord_{system}"}
    assert f"concord_{system}" in flows.pools(deployment)


def test_no_task_names_a_pool_that_the_setup_does_not_make(dags, deployment):
    named = {task.pool for dag in dags.values() for task in dag.tasks}
    assert named <= {"default_pool", *flows.pools(deployment)}


def test_a_rejected_batch_leaves_its_dag_red_and_holds_up_nobody(dags):
    """The verdict is an end of its own: nothing waits for it, and the run cannot be green without it."""
    for dag_id in IDS - {"maintain__verify", "maintain__alerts"}:
        verdicts = [task for task in dags[dag_id].tasks if task.task_id.endswith("verdict")]
        assert verdicts
        assert all(not task.downstream_task_ids and task.retries == 0 for task in verdicts)


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return read_hub(_written(tmp_path_factory.mktemp("spread"), _hub() | {"spread": 3}))


def test_spread_flows_plan_first_and_then_work_in_mapped_tasks(spread):
    for dag_id, name in {"reconcile__customer": "reconcile", "deliver__erp": "deliver"}.items():
        dag = build(spread)[dag_id]
        plan, mapped = dag.get_task("plan"), dag.get_task(name)
        assert not plan.upstream_task_ids
        assert (plan.downstream_task_ids, mapped.is_mapped) == ({name}, True)
        assert {"announce", "verdict"} <= mapped.downstream_task_ids
        assert mapped.retries == 3


def test_spread_deliveries_of_what_waits_come_after_all_that_is_reconciled(spread):
    dag = build(spread)["maintain__retries"]
    plan = dag.get_task("erp.plan")

    assert plan.upstream_task_ids == {"customer.reconcile"}
    assert plan.trigger_rule == "all_done"
    assert dag.get_task("erp.deliver").trigger_rule == "all_success"


@pytest.mark.parametrize("wrong", [0, 65, "many"])
def test_a_spread_that_is_none_is_a_mistake(tmp_path, wrong):
    with pytest.raises(ConfigurationMistakes, match="spread"):
        read_hub(_written(tmp_path, _hub() | {"spread": wrong}))


@pytest.mark.parametrize(
    ("waiting", "least", "shares"),
    [(0, 0, 0), (0, 1, 1), (1, 0, 1), (50, 1, 1), (51, 1, 2), (10_000, 1, 8)],
)
def test_there_are_as_many_shares_as_there_is_work_for(waiting, least, shares):
    assert work.shares("deliver", waiting, least, most=8) == shares


def test_the_verdict_is_on_all_shares():
    good = {"run": "a", "counts": {"created": 2}}
    work.judge(good)
    work.judge([good, good])

    with pytest.raises(RunFailed):
        work.judge([good, {"failed": "deliver erp", "counts": {"refused": 1}}])


LATER = timedelta(minutes=7)


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (errors.Unreachable("away"), RetryAction.RETRY, timedelta(minutes=1)),
        (errors.RetryLater("busy"), RetryAction.RETRY, timedelta(minutes=1)),
        (errors.RateLimited("slow down"), RetryAction.RETRY, timedelta(minutes=2)),
        (errors.RateLimited("slow down", retry_after=LATER), RetryAction.RETRY, LATER),
        (
            errors.RetryLater("tomorrow", retry_after=timedelta(days=1)),
            RetryAction.RETRY,
            timedelta(minutes=30),
        ),
        (NotConverged("1 differs"), RetryAction.RETRY, timedelta(minutes=10)),
        (errors.BadCredentials("no"), RetryAction.FAIL, None),
        (errors.BadConfiguration("no"), RetryAction.FAIL, None),
        (errors.BadAnswer("html"), RetryAction.FAIL, None),
        (RunFailed("ingest erp/parties", {"rejected": 3}), RetryAction.FAIL, None),
        (ConfigurationMistakes([]), RetryAction.FAIL, None),
        (DatabaseUnavailable("away"), RetryAction.RETRY, timedelta(minutes=1)),
        (BadDatabaseUrl("none"), RetryAction.FAIL, None),
        (OSError("disk"), RetryAction.DEFAULT, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_kind_of_error_decides_about_a_retry(error, action, delay):
    decision = policy().evaluate(error, try_number=1, max_tries=3)

    assert (decision.action, decision.retry_delay) == (action, delay)


def test_every_connector_error_is_decided_about():
    kinds = [errors.ConnectorError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    for kind in set(kinds) - {errors.ConnectorError}:
        decision = policy().evaluate(kind.__new__(kind), try_number=1, max_tries=3)
        assert decision.action is not RetryAction.DEFAULT, kind


def test_every_task_that_works_is_retried_by_that_policy(dags):
    for dag in dags.values():
        for task in dag.tasks:
            if task.task_id.rpartition(".")[2] not in ("announce", "verdict"):
                assert task.retries == 3, task
                assert task.retry_policy is not None, task


def test_a_wrong_schedule_is_a_mistake_with_its_line(tmp_path):
    hub = _hub()
    hub["systems"]["erp"]["schedule"] = "every hour"
    hub["systems"]["mailing"]["streams"]["subscribers"]["schedule"] = "61 * * * *"
    home = _written(tmp_path, hub)

    with pytest.raises(ConfigurationMistakes) as caught:
        build(read_hub(home))

    assert [mistake.path for mistake in caught.value.mistakes] == [
        "systems.erp.schedule",
        "systems.mailing.streams.subscribers.schedule",
    ]
    lines = (home / "hub.yaml").read_text().splitlines()
    assert [lines[m.line - 1].strip() for m in caught.value.mistakes] == [
        "schedule: every hour",
        "schedule: 61 * * * *",
    ]


def test_airflow_finds_the_dags_and_no_errors(tmp_path):
    found = _parsed(tmp_path, _written(tmp_path, _hub()))

    assert set(found["dags"]) == IDS
    assert found["errors"] == []
    assert found["files"] == ["concord.py"]


def test_a_wrong_configuration_is_an_import_error_that_lists_all_mistakes(tmp_path):
    hub = _hub()
    hub["systems"]["erp"]["streams"] = {"partys": {"direction": "both"}}
    hub["systems"]["mailing"]["system"] = "mailmann"
    found = _parsed(tmp_path, _written(tmp_path, hub))

    assert found["dags"] == []
    (error,) = found["errors"]
    assert "2 mistakes in the configuration" in error
    assert "no stream 'partys'" in error
    assert "systems/mailmann.yaml" in error


def test_without_a_deployment_there_are_no_dags_and_a_line_says_why(tmp_path):
    found = _parsed(tmp_path, None)

    assert (found["dags"], found["errors"]) == ([], [])
    assert "CONCORD_HOME is not set" in found["log"]


def test_fifty_systems_are_parsed_in_one_go(tmp_path):
    hub = _hub()
    mailing = hub["systems"]["mailing"]
    hub["systems"] = {f"list{number}": mailing for number in range(50)}
    hub["rank"] = list(hub["systems"])
    policy = {"entity": "customer", "match": {"keys": {"email": ["email"]}, "same": [["email"]]}}
    home = _written(tmp_path, hub, {"policies/customer.yaml": policy})

    dags = build(read_hub(home))

    assert len(dags) == 50 + 1 + 50 + 5
    assert len(dags["maintain__sweep"].tasks) == 150


def _hub() -> dict:
    """Of the demo's deployment the customers of its ERP and of its mailing tool."""
    hub = yaml.safe_load((DEMO / "hub.yaml").read_text())
    systems = {name: hub["systems"][name] for name in ("erp", "mailing")}
    del systems["erp"]["streams"]["sales"]
    return hub | {"rank": list(systems), "systems": systems}


def _written(tmp_path: Path, hub: dict, more: dict | None = None) -> Path:
    contents = {"hub.yaml": hub, **(more or {})}
    files = {name: yaml.safe_dump(it, sort_keys=False) for name, it in contents.items()}
    return write_files(files, tmp_path / "hub")


def _uris(schedule) -> set[str]:
    return {asset.uri for asset in schedule.objects}


def _outlets(dag: DAG) -> set[str]:
    return {asset.uri for task in dag.tasks for asset in task.outlets}


def _parsed(tmp_path: Path, home: Path | None) -> dict:
    """What Airflow makes of the DAG folder, in a process of its own: its settings and modules are global."""
    code = (
        "import json, sys\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        "bag = DagBag(sys.argv[1])\n"
        "files = sorted(stat.file.lstrip('/') for stat in bag.dagbag_stats)\n"
        "found = {'dags': sorted(bag.dags), 'errors': list(bag.import_errors.values()), 'files': files}\n"
        "print('found: ' + json.dumps(found))\n"
    )
    environment = settings(tmp_path / "airflow", home or tmp_path)
    if home is None:
        del environment["CONCORD_HOME"]
    environment |= {"PATH": "/usr/bin:/bin"}
    ran = subprocess.run(
        [sys.executable, "-c", code, str(DAGS)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = ran.stdout + ran.stderr
    line = next((line for line in ran.stdout.splitlines() if line.startswith("found: ")), None)
    assert line is not None, said
    return yaml.safe_load(line.removeprefix("found: ")) | {"log": said}
