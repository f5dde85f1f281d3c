"""DAGs from a deployment: schedules, assets, pools, retries and notes. All else is in ``entrypoints``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from airflow.sdk import DAG, Asset, AssetAny, Param, TaskGroup, task
from airflow.sdk.exceptions import AirflowSkipException
from airflow.timetables.trigger import CronTriggerTimetable

from crm_master.entrypoints import ConfigurationMistakes, Deployment
from dags import alerting, flows, notes, work
from dags.retrying import DELAY, RETRIES, policy

START = datetime(2024, 1, 1, tzinfo=UTC)
EVERY = "*/15 * * * *"  # a stream for which hub.yaml says nothing
SWEEP, VERIFY, SOON = "30 2 * * *", "30 5 * * *", "*/5 * * * *"


def build(deployment: Deployment, only: str | None = None) -> dict[str, DAG]:
    """The DAGs by id, or just ``only`` that one. Raises ``ConfigurationMistakes`` for schedules that are none."""
    _check_schedules(deployment)
    alerting.check_notifiers(deployment)
    return {
        dag_id: make(dag_id)
        for dag_id, make in _recipes(deployment)
        if only is None or only == dag_id
    }


def _recipes(deployment: Deployment) -> Iterator[tuple[str, Callable[[str], DAG]]]:
    hub = deployment.hub
    for stream in hub.streams():
        if stream.reads:
            dag_id = f"ingest__{stream.system}__{stream.stream}"
            yield dag_id, partial(_ingest, deployment, stream.system, stream.stream)
    for entity in hub.entities:
        yield f"reconcile__{entity}", partial(_reconcile, deployment, entity)
    for system in hub.systems.values():
        if any(stream.writes for stream in system.streams.values()):
            yield f"deliver__{system.name}", partial(_deliver, deployment, system.name)
    yield "maintain__sweep", partial(_sweep, deployment)
    yield "maintain__retries", partial(_retries, deployment)
    yield "maintain__join", partial(_join, deployment)
    yield "maintain__verify", partial(_verify, deployment)
    yield "maintain__alerts", partial(_alerts, deployment)


def _dag(
    deployment: Deployment, dag_id: str, schedule: Any, doc: str, *tags: str, **more: Any
) -> DAG:
    verb = dag_id.partition("__")[0]
    return DAG(
        dag_id,
        schedule=schedule,
        start_date=START,
        catchup=False,
        max_active_runs=1,
        doc_md=doc + notes.RED,
        tags={"concord", deployment.settings.name, verb, *tags},
        default_args={"owner": "concord"},
        **more,
    )


def _ingest(deployment: Deployment, system: str, stream: str, dag_id: str) -> DAG:
    plan = deployment.hub.stream(system, stream)
    doc = notes.INGEST.format(system=system, stream=stream, entity=plan.entity)
    params = {
        "full": Param(False, type="boolean", description="Read everything, not only what changed.")
    }
    with _dag(
        deployment, dag_id, plan.schedule or EVERY, doc, system, plan.entity, params=params
    ) as dag:
        flows.ingest_flow(deployment, system, stream)
    return dag


def _reconcile(deployment: Deployment, entity: str, dag_id: str) -> DAG:
    landed = [
        flows.landed(deployment, stream.system, stream.stream)
        for stream in deployment.hub.streams(entity)
        if stream.reads
    ]
    # facts wait for whom they are about
    parents = deployment.hub.entities[entity].spec.parents & deployment.hub.entities.keys()
    known = [flows.golden(deployment, parent) for parent in sorted(parents - {entity})]
    schedule = _any(iter([*landed, *known]))
    doc = notes.RECONCILE.format(entity=entity)
    with _dag(deployment, dag_id, schedule, doc, entity) as dag:
        flows.reconcile_flow(deployment, entity)
    return dag


def _deliver(deployment: Deployment, system: str, dag_id: str) -> DAG:
    streams = deployment.hub.systems[system].streams.values()
    entities = sorted({stream.entity for stream in streams if stream.writes})
    schedule = _any(flows.golden(deployment, entity) for entity in entities)
    doc = notes.DELIVER.format(system=system)
    with _dag(deployment, dag_id, schedule, doc, system, *entities) as dag:
        flows.deliver_flow(deployment, system)
    return dag


def _sweep(deployment: Deployment, dag_id: str) -> DAG:
    with _dag(deployment, dag_id, SWEEP, notes.SWEEP) as dag:
        for stream in deployment.hub.streams():
            if stream.reads:
                with TaskGroup(f"{stream.system}__{stream.stream}"):
                    flows.ingest_flow(deployment, stream.system, stream.stream, full=True)
    return dag


def _retries(deployment: Deployment, dag_id: str) -> DAG:
    with _dag(deployment, dag_id, SOON, notes.RETRIES) as dag:
        reconciled = []
        for entity in deployment.hub.entities:
            with TaskGroup(entity):
                reconciled.append(flows.reconcile_flow(deployment, entity, announced=False))
        for system in deployment.hub.systems.values():
            if any(stream.writes for stream in system.streams.values()):
                with TaskGroup(system.name):
                    flows.deliver_flow(
                        deployment,
                        system.name,
                        if_waiting=True,
                        rule="all_done",
                        after=reconciled,
                    )
    return dag


def _join(deployment: Deployment, dag_id: str) -> DAG:
    with _dag(deployment, dag_id, SOON, notes.JOIN) as dag:

        @task(pool=flows.MASTER_POOL, retries=RETRIES, retry_delay=DELAY, retry_policy=policy())
        def let_in() -> dict[str, Any]:
            found = work.let_in()
            if not found["joined"]:
                raise AirflowSkipException("Nobody to let in.")
            return found

        first = let_in()
        for entity in deployment.hub.entities:
            with TaskGroup(entity):
                flows.reconcile_flow(deployment, entity, after=[first])
    return dag


def _verify(deployment: Deployment, dag_id: str) -> DAG:
    with _dag(deployment, dag_id, VERIFY, notes.VERIFY) as dag:

        @task(
            pool=flows.MASTER_POOL,
            retries=RETRIES,
            retry_delay=DELAY,
            retry_policy=policy(),
            **alerting.callbacks(
                deployment, "maintain__verify fails: systems differ, or cannot be asked."
            ),
        )
        def verify() -> dict[str, Any]:
            return work.verify()

        verify()
    return dag


def _alerts(deployment: Deployment, dag_id: str) -> DAG:
    with _dag(deployment, dag_id, SOON, notes.ALERTS) as dag:
        # not in the pool of the master: what watches does not queue behind what it watches
        @task(
            retries=RETRIES,
            retry_delay=DELAY,
            retry_policy=policy(),
            **alerting.callbacks(
                deployment, "maintain__alerts fails: nobody may be told of alerts."
            ),
        )
        def watch() -> dict[str, Any]:
            return alerting.watch(deployment)

        watch()
    return dag


def _any(assets: Iterator[Asset]) -> AssetAny | None:
    """Any of them is enough; a list would mean all."""
    found = list(assets)
    return AssetAny(*found) if found else None


def _check_schedules(deployment: Deployment) -> None:
    settings = deployment.settings
    chosen: dict[tuple[str, ...], str | None] = {}
    for name, system in settings.systems.items():
        chosen["systems", name, "schedule"] = system.schedule
        for stream, of_stream in system.streams.items():
            chosen["systems", name, "streams", stream, "schedule"] = of_stream.schedule
    mistakes = []
    for path, schedule in chosen.items():
        if schedule is not None:
            try:
                CronTriggerTimetable(schedule, timezone="UTC").validate()
            except Exception:
                mistakes.append(
                    settings.origin.mistake(
                        path,
                        f"{schedule!r} is no schedule",
                        'a cron expression of five fields, such as "*/15 * * * *"',
                    )
                )
    if mistakes:
        raise ConfigurationMistakes(mistakes)
