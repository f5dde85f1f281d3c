"""A run and its ledger of counts, kept whether it ends well or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from crm_master.engine.plan import Hub
from crm_master.ports import Clock, RunEntry, UnitOfWorkFactory

FAILED = ("rejected", "failed", "refused", "held")
"""The counts of a run that are failures."""
_TRIED = ("edited", "echoes", "created", "updated", "existed", "already", *FAILED)
_PLACES = {"ingest": ("system", "stream"), "deliver": ("system",), "reconcile": ("entity",)}
"""What the target of a verb names. Other verbs are about a run, a task or a customer, or about everything."""


class Progress(Protocol):
    """Told after each batch how far a run is."""

    def __call__(self, what: str, counts: Mapping[str, int]) -> None: ...


def silent(what: str, counts: Mapping[str, int]) -> None:
    """Tells nobody."""


class Run:
    """One execution under way. ``counts`` is its ledger."""

    def __init__(self, entry: RunEntry, progress: Progress) -> None:
        self.id = entry.id
        self.what = f"{entry.verb} {entry.target}".strip()
        self.counts: Counter[str] = Counter()
        self._progress = progress

    def add(self, counts: Mapping[str, int]) -> None:
        """Book a batch and tell how far the run is."""
        self.counts.update(counts)
        self._progress(self.what, self.counts)


def failures(counts: Mapping[str, int]) -> tuple[int, int]:
    """Of a run's records those that failed, and all of them."""
    failed = sum(counts.get(name, 0) for name in FAILED)
    # what was read holds what was rejected of it; the other counts exclude each other
    return failed, counts.get("read") or sum(counts.get(name, 0) for name in _TRIED)


def place_of(verb: str, target: str) -> str:
    """The part of the configuration that a run is about, if that is what its target names."""
    return target if verb in _PLACES else ""


def places(hub: Hub) -> dict[str, list[str]]:
    """By verb: the parts of a hub that its runs can be about."""
    return {
        "ingest": [stream.name for stream in hub.streams()],
        "reconcile": list(hub.entities),
        "deliver": list(hub.systems),
    }


def labels(verb: str, target: str) -> dict[str, str]:
    """The verb of a run, and its place by the names of its parts: ``system``, ``stream``, ``entity``."""
    parts = zip(_PLACES.get(verb, ()), target.split("/"), strict=False)
    return {"verb": verb, **dict(parts)}


@contextmanager
def running(
    verb: str,
    target: str,
    store: UnitOfWorkFactory,
    clock: Clock,
    new_id: Callable[[], str],
    progress: Progress = silent,
) -> Iterator[Run]:
    """A run that is on record before it does anything, and closed with its counts however it ends."""
    entry = RunEntry(id=new_id(), verb=verb, target=target, started=clock())
    run = Run(entry, progress)
    _save(store, entry)
    try:
        yield run
    except BaseException as error:
        entry.status, entry.error = "failed", _said(error)
        raise
    else:
        entry.status = "done"
    finally:
        entry.finished, entry.counts = clock(), dict(run.counts)
        _save(store, entry, ended=True)


def _said(error: BaseException) -> str:
    """What of an error may be kept: our own texts hold no personal data, those of others may show a value."""
    kind = type(error)
    ours = kind.__module__.partition(".")[0] in ("connectors", "crm_master", "mappings")
    return f"{kind.__name__}: {error}" if ours else kind.__name__


def _save(store: UnitOfWorkFactory, entry: RunEntry, *, ended: bool = False) -> None:
    with store() as uow:
        uow.states.save_run(entry)
        if ended:
            uow.operations.tally(entry, place_of(entry.verb, entry.target))
        uow.commit()
