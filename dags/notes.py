"""The notes on each DAG, for whoever is on call."""

from __future__ import annotations

RED = """
**If a task is red**, its log ends with one of these:

- `RateLimited`, `Unreachable`, `RetryLater`: the system was busy or away, for all attempts. Nothing is lost, the next
  run takes up where this one ended. If it lasts, ask the system's owner.
- `BadCredentials`: the system does not accept the Airflow connection. Mend it, then clear the task.
- `BadConfiguration`, `ConfigurationMistakes`: `hub.yaml`, a manifest or a mapping is wrong. Mend what it names;
  `concord check` tries it.
- `BadAnswer`: the system does not answer as its manifest says. Was it updated? Adapt the manifest, then clear the task.
- `RunFailed` (task `verdict`): some records could not be used, **all others are done**. `concord dlq list` and
  `concord conflicts` say which and why; mend them, then `concord dlq replay`.
- `FuseBlown`: the run was about to do much more than usual, and has stopped. `concord conflicts` says how much of what;
  `concord approve` with the run's id lets it pass once.
- `DatabaseUnavailable`: the master was away, for all attempts, or does not let Concord in; the text says which. Nothing
  is lost. `BadDatabaseUrl`: `CONCORD_DATABASE_URL` is wrong. Mend it, then clear the task.
- `SchemaOutdated`: another release made the master. `concord init`, then clear the task.

Clearing a task or running the DAG again is always safe: nothing is read, linked or written twice.
"""

INGEST = """
### Reads `{system}/{stream}` and lands what changed

Nothing is written to the system. What was landed is announced as the asset `landed/{system}/{stream}`, and
`reconcile__{entity}` follows. A run in which nothing changed announces nothing: `announce` is then skipped.

**Skipping it** costs freshness only; the next run reads from the same place. **To read everything again**, run it with
`full` set. `concord status` shows how far behind the stream is.
"""

RECONCILE = """
### Maps, matches and reconciles what was landed of `{entity}`

One golden record for each {entity}; what the systems lack is queued for them and announced as `golden/{entity}`. No
system is contacted. **Skipping it** delays changes, and loses none: they wait in the inbox.

Open questions do not turn this red. `concord conflicts` lists them; `concord show <system>/<stream>/<key>` explains one
{entity}.
"""

DELIVER = """
### Writes to `{system}` what waits for it

Every record is read again before it is written, and only what differs is sent. **To stop all writes to {system} at
once:** `concord stop {system}`; deliveries then wait, and `concord start {system}` lets them go. Pausing this DAG is not
enough: `maintain__retries` delivers too.

Deliveries that the system refused do not come back by themselves: `concord conflicts` says which and why.
"""

SWEEP = """
### Reads every stream whole, once a night

Finds what a delta read cannot see: changes without a time stamp, and records that are gone. What did not change costs no
write. **Skipping it** is harmless for days; such changes are then seen
later. To spread the load, give a system's pool fewer slots.
"""

RETRIES = """
### Takes up what waits: decisions, approvals, replayed letters, deliveries put off

Runs every few minutes, whether anything was landed or not. Systems for which nothing waits are skipped. If this is red
and `deliver__<system>` too, look there first.
"""

JOIN = """
### Lets new systems in

A system that is new is read and matched, but neither causes nor receives writes until it is let in. Those with
`join: auto` are let in here, once they were read completely; the log of `let_in` shows what that will write. The others
wait for a person: `concord approve --preview`, then `concord approve`. Nothing to let in: all tasks are skipped.
"""

VERIFY = """
### Reads every system live and compares it with the master

Writes nothing. Red with `NotConverged` means: a system does not hold what it should, and no open question explains why.
It looks again a few times first, as edits may be on their way. `concord verify` names records and fields,
`concord show` explains them. A full read (`maintain__sweep`) mends what an edit without a time stamp caused.
"""

ALERTS = """
### Looks at the figures of the hub, and tells of what came and what went

Whoever `hub.yaml` names under `alerts` is told, each alert once when it comes and once when it goes; `concord status` shows
those that stand. What to do about each is in `docs/runbook.md`. No system is contacted. **Skipping it** means that nobody
is told meanwhile. Red with `NotTold` means: a notifier does not work; what it should tell is tried again.
"""
