"""What a person does about what policy and mappings could not do: answers, another try, the kill switch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_master.bootstrap import App
from crm_master.domain.lifecycle import TaskKind
from crm_master.engine import stewardship
from crm_master.engine.explain import NotFound
from crm_master.entrypoints.recording import recorded


def decide(app: App, task_id: int, answer: str, author: str) -> dict[str, Any]:
    """Carry out an answer to a task. Raises ``stewardship.Undecidable``."""
    with recorded(app, "decide", str(task_id)) as run:
        task = stewardship.decide(task_id, answer, author, app.store, app.clock, app.new_id, run.id)
    return {"task": task.id, "kind": task.kind.value, "subject": task.subject, "answer": answer}


def replay(app: App, task_ids: Sequence[int] = ()) -> dict[str, Any]:
    """Put dead letters (all, if none is named) back into the inbox. Those that were no records need a new read.

    Raises ``NotFound`` if one that is named is no open dead letter.
    """
    with app.store() as uow:
        letters = uow.tasks.list([TaskKind.DEAD_LETTER], limit=100_000)
        if unknown := sorted(set(task_ids) - {letter.id for letter in letters}):
            names = ", ".join(map(str, unknown))
            raise NotFound(f"no open dead letter {names}; `concord dlq list` names them")
        chosen = [letter for letter in letters if not task_ids or letter.id in task_ids]
        seqs = [letter.payload["seq"] for letter in chosen if "seq" in letter.payload]
        requeued = uow.inbox.requeue(seqs)
        uow.commit()
    return {
        "letters": len(chosen),
        "requeued": requeued,
        "need_a_new_read": len(chosen) - len(seqs),
    }


def stop(app: App, system: str, *, on: bool) -> None:
    """The kill switch: stop (or allow again) all writes to a system. Raises ``NotConfigured`` for one that is none."""
    plan = app.hub.system(system)
    with app.store() as uow:
        uow.states.stop(plan.name, on)
        uow.commit()
