"""The three flows that DAGs are made of. Each is work, then two ends: an announcement and a verdict.

The announcement (an asset event) goes out whenever something is left to do, also after a run in which bad records
were put aside: they hold up nobody else. The verdict is a task of its own, so that such a run still ends red.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Asset, XComArg, task
from airflow.sdk.exceptions import AirflowSkipException

from crm_master.entrypoints import Deployment
from dags import work
from dags.retrying import DELAY, LONGEST, RETRIES, policy

MASTER_POOL = "concord_master"
_WORKING: dict[str, Any] = {
    "retries": RETRIES,
    "retry_delay": DELAY,
    "retry_exponential_backoff": 2,
    "max_retry_delay": LONGEST,
    "retry_policy": policy(),
}


def pool(system: str) -> str:
    """The pool of everything that talks to a system."""
    return f"concord_{system}"


def pools(deployment: Deployment) -> list[str]:
    """All pools that the DAGs name. Airflow never starts a task whose pool does not exist."""
    return [MASTER_POOL, *map(pool, deployment.hub.systems)]


def landed(deployment: Deployment, system: str, stream: str) -> Asset:
    """The asset of a stream: an event says that observations wait to be reconciled."""
    name = f"landed/{system}/{stream}"
    return Asset(name, f"concord://{deployment.settings.name}/{name}", group="concord")


def golden(deployment: Deployment, entity: str) -> Asset:
    """The asset of an entity: an event says that deliveries wait."""
    name = f"golden/{entity}"
    return Asset(name, f"concord://{deployment.settings.name}/{name}", group="concord")


def ingest_flow(
    deployment: Deployment, system: str, stream: str, *, full: bool | None = None
) -> None:
    """Read a stream; ``full`` of ``None`` leaves it to the run's parameter of that name."""
    asset = landed(deployment, system, stream)
    entity = deployment.hub.stream(system, stream).entity

    @task(pool=pool(system), inlets=[asset], **_WORKING)
    def read(params: dict[str, Any] | None = None, asset_state_store: Any = None) -> dict[str, Any]:
        whole = bool((params or {}).get("full")) if full is None else full
        done = work.ingest(system, stream, whole)
        if done["watermark"]:
            asset_state_store[asset].set("watermark", done["watermark"])
        return done

    _ends(read(), [asset], lambda: work.to_reconcile(entity))


def reconcile_flow(deployment: Deployment, entity: str, *, announced: bool = True) -> XComArg:
    """Reconcile an entity; ``announced`` to those who deliver it. Gives the first task's result."""

    @task(pool=MASTER_POOL, **_WORKING)
    def reconcile() -> dict[str, Any]:
        return work.reconcile(entity)

    done = reconcile()
    systems = {stream.system for stream in deployment.hub.streams(entity) if stream.writes}
    assets = [golden(deployment, entity)] if announced and systems else []
    _ends(done, assets, lambda: work.to_deliver(*systems))
    return done


def deliver_flow(
    deployment: Deployment, system: str, *, if_waiting: bool = False, rule: str = "all_success"
) -> XComArg:
    """Deliver to a system. What was found edited there meanwhile is announced. Gives the first task's result."""
    streams = deployment.hub.systems[system].streams.values()

    @task(pool=pool(system), trigger_rule=rule, **_WORKING)
    def deliver() -> dict[str, Any]:
        if if_waiting and not work.to_deliver(system):
            raise AirflowSkipException("Nothing waits.")
        return work.deliver(system)

    done = deliver()
    assets = [landed(deployment, system, stream.stream) for stream in streams if stream.reads]
    entities = sorted({stream.entity for stream in streams})
    _ends(done, assets, lambda: work.to_reconcile(*entities))
    return done


def _ends(done: Any, assets: Sequence[Asset], left: Any) -> None:
    """The two ends of a flow. ``left`` counts what the announcement would be about."""

    @task(outlets=list(assets), retries=RETRIES, retry_delay=DELAY)
    def announce(counts: dict[str, Any], outlet_events: Any = None) -> int:
        waiting: int = left()
        if not waiting:
            raise AirflowSkipException("Nothing is left to do.")
        for asset in assets:
            outlet_events[asset].extra = {"waiting": waiting, "run": counts.get("run")}
        return waiting

    @task(retries=0, retry_policy=policy())
    def verdict(counts: dict[str, Any]) -> None:
        work.judge(counts)

    if assets:
        announce(done)
    verdict(done)
