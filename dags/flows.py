"""The three flows that DAGs are made of. Each is work, then two ends: an announcement and a verdict.

Work in the master and deliveries may be spread: over as many tasks as there is work for, at most as many as hub.yaml
allows. Each takes batches until none is left, so it does not matter which of them runs where, or dies.

The announcement (an asset event) goes out whenever something is left to do, also after a run in which bad records
were put aside: they hold up nobody else. The verdict is a task of its own, so that such a run still ends red.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def reconcile_flow(
    deployment: Deployment,
    entity: str,
    *,
    announced: bool = True,
    after: Sequence[XComArg] = (),
) -> XComArg:
    """Reconcile an entity; ``announced`` to those who deliver it. Gives what the work has counted."""
    done = _spread(
        deployment,
        "reconcile",
        lambda shares: work.reconcile(entity, shares),
        lambda: work.to_reconcile(entity),
        pool=MASTER_POOL,
        after=after,
    )
    systems = {stream.system for stream in deployment.hub.streams(entity) if stream.writes}
    assets = [golden(deployment, entity)] if announced and systems else []
    _ends(done, assets, lambda: work.to_deliver(*systems))
    return done


def deliver_flow(
    deployment: Deployment,
    system: str,
    *,
    if_waiting: bool = False,
    rule: str = "all_success",
    after: Sequence[XComArg] = (),
) -> XComArg:
    """Deliver to a system. What was found edited there meanwhile is announced. Gives what the work has counted."""
    streams = deployment.hub.systems[system].streams.values()
    done = _spread(
        deployment,
        "deliver",
        lambda shares: work.deliver(system),
        lambda: work.to_deliver(system),
        pool=pool(system),
        always=not if_waiting,
        rule=rule,
        after=after,
    )
    assets = [landed(deployment, system, stream.stream) for stream in streams if stream.reads]
    entities = sorted({stream.entity for stream in streams})
    _ends(done, assets, lambda: work.to_reconcile(*entities))
    return done


def _spread(
    deployment: Deployment,
    name: str,
    verb: Callable[[int], work.Counts],
    waiting: Callable[[], int],
    *,
    pool: str,
    after: Sequence[XComArg],
    always: bool = True,
    rule: str = "all_success",
) -> XComArg:
    """A verb as one task, or as a plan and as many tasks as there is work for. ``verb`` is told how many they are.

    Not ``always``: only if something waits.
    """
    most = deployment.settings.spread

    @task(trigger_rule=rule, pool=pool, **_WORKING)
    def plan() -> list[int]:
        shares = work.shares(name, waiting(), int(always), most)
        return [shares] * shares

    @task(task_id=name, trigger_rule=rule if most == 1 else "all_success", pool=pool, **_WORKING)
    def share(shares: int = 1) -> dict[str, Any]:
        if most == 1 and not always and not waiting():
            raise AirflowSkipException("Nothing waits.")
        return verb(shares)

    first = share() if most == 1 else plan()
    for before in after:
        before >> first
    return first if most == 1 else share.expand(shares=first)


def _ends(done: Any, assets: Sequence[Asset], left: Callable[[], int]) -> None:
    """The two ends of a flow. ``left`` counts what the announcement would be about."""

    @task(outlets=list(assets), retries=RETRIES, retry_delay=DELAY)
    def announce(done: work.Counts | Sequence[work.Counts], outlet_events: Any = None) -> int:
        waiting = left()
        if not waiting:
            raise AirflowSkipException("Nothing is left to do.")
        runs = [counts["run"] for counts in work.each(done) if "run" in counts]
        for asset in assets:
            outlet_events[asset].extra = {"waiting": waiting, "runs": runs}
        return waiting

    @task(retries=0, retry_policy=policy())
    def verdict(done: work.Counts | Sequence[work.Counts]) -> None:
        work.judge(done)

    if assets:
        announce(done)
    verdict(done)
