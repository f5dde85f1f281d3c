"""Writes one stream: the steps of the manifest that a difference calls for, and honest outcomes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NoReturn

from connectors.contract import Gone as GoneOutcome
from connectors.contract import (
    Guard,
    Outcome,
    RawRecord,
    Refused,
    Retry,
    Stale,
    Unknown,
    WriteCommand,
    Written,
)
from connectors.errors import (
    BadAnswer,
    BadConfiguration,
    BadCredentials,
    ConnectorError,
    RateLimited,
    RetryLater,
    Unreachable,
)
from connectors.runtime import redact
from connectors.runtime.http import Answer, NotSent, Transport
from connectors.runtime.manifest import Verdict
from connectors.runtime.paths import get, scalars
from connectors.runtime.streams.bodies import Bodies, covered
from connectors.runtime.streams.calls import Lookup
from connectors.runtime.streams.diff import Child, Diff, compare
from connectors.runtime.streams.models import Stream
from connectors.runtime.streams.reader import Reader
from connectors.runtime.streams.records import for_request, key_of
from connectors.runtime.streams.references import NoReference
from connectors.runtime.streams.routes import first_action
from connectors.runtime.streams.wire import Wire
from connectors.runtime.streams.writes import Action, Step
from connectors.runtime.templates import Absent, render, slots

_CREDENTIALS_PAUSE = timedelta(minutes=15)


class _Stop(Exception):
    """A step ended the command with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(type(outcome).__name__)
        self.outcome = outcome


@dataclass
class _Run:
    """One command on its way. ``effect`` is true as soon as a step was answered with success."""

    command: WriteCommand
    kind: str
    diff: Diff
    key: str | None
    etag: str | None
    effect: bool = False
    record: RawRecord | None = None
    sent: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    """Slots of the action that is under way; empty if none is."""
    private: tuple[str, ...] = field(default=(), repr=False)


class Writer:
    """The writing half of one stream of one system."""

    def __init__(
        self,
        stream: Stream,
        reader: Reader,
        transport: Transport,
        wire: Wire,
    ) -> None:
        self._stream, self._reader = stream, reader
        self._transport, self._wire = transport, wire
        self._bodies = Bodies(stream, reader, wire)

    def write(self, command: WriteCommand) -> Outcome:
        """The outcome of one command. Never raises for what a system does."""
        if command.key is None:
            kind = "create"
        else:
            kind = "update" if command.after else "delete"
        steps: tuple[Step, ...] = getattr(self._stream.writes, kind)
        before = command.before if kind != "create" else {}
        diff = compare(before, command.after, self._stream.children, self._stream.named)
        private = (*scalars(command.before), *scalars(command.after), command.correlation)
        run = _Run(command, kind, diff, command.key, command.etag, private=private)
        actions = {} if kind == "delete" else self._stream.writes.actions
        if not steps and not (actions and kind == "update"):
            return Refused(f"The manifest declares no {kind} for this stream.")
        if kind != "delete":
            unwritten = next(
                (n for n in diff.touched() if n not in actions and not covered(n, diff, steps)),
                None,
            )
            if unwritten is not None:
                return Refused("The manifest has no step that writes this.", unwritten)
        try:
            for step in steps:
                for child in self._occasions(step, run):
                    self._step(step, child, run)
            for name in actions:
                if name in diff.changed:
                    self._bring_about(name, run)
            return self._written(run)
        except _Stop as stop:
            return stop.outcome
        except ConnectorError as error:
            return self._failed(error, run)

    def _bring_about(self, name: str, run: _Run) -> None:
        """Lead the record to the wanted value of this key, action by action; it is read before each.

        What somebody else has brought about in the meantime is not done again.
        """
        actions, wanted = self._stream.writes.actions[name], str(run.diff.changed[name])
        reached = {wanted, *(actions[wanted].also if wanted in actions else ())}
        tried: set[tuple[str, str]] = set()
        refused: _Stop | None = None
        at = self._stream.alias.get(name, name)
        while (present := str(get(self._now(run), at))) not in reached:
            result = first_action(actions, present, wanted)
            if result is None:
                reason = "No action of the manifest leads from the present value to this one."
                self._stop(run, Refused(reason, name))
            if (present, result) in tried:  # nothing has moved
                raise refused or _Stop(Retry("The action shows no effect yet.", partial=True))
            tried.add((present, result))
            try:
                self._act(actions[result], run)
            except _Stop as stop:
                if not isinstance(stop.outcome, Refused):
                    raise
                refused = stop
            finally:
                run.extra = {}

    def _act(self, action: Action, run: _Run) -> None:
        for step in action.steps:
            now = self._now(run)
            for item in (get(now, step.over) or ()) if step.over else (None,):
                run.extra = {"now": now, "item": item}
                if self._holds(step, run, None):
                    self._step(step, None, run)

    def _now(self, run: _Run) -> Any:
        """The record as the system shows it at this moment; what follows is guarded by its version."""
        if run.key is None:
            run.key = self._named(run).key
        row, run.etag = self._reader.present(for_request(run.key, self._stream.key))
        if row is None:
            self._stop(run, GoneOutcome())
        return row

    def _occasions(self, step: Step, run: _Run) -> Iterator[Child | None]:
        """Once, or once per child that changed in the step's way; nothing if no condition holds."""
        if step.each is None:
            mine = {*step.send, *step.nested}
            touched = run.kind != "update" or bool(mine & set(run.diff.touched())) or not mine
            if touched and self._holds(step, run, None):
                yield None
            return
        verb, name = step.each.split(" ")
        for child in run.diff.children.get(name, ()):
            if child.verb == verb and self._holds(step, run, child):
                yield child

    def _holds(self, step: Step, run: _Run, child: Child | None) -> bool:
        when = step.when
        if when.changed and not set(when.changed) & set(run.diff.touched()):
            return False
        # An empty object is a child of which nothing is known yet: it is there.
        if any(get(run.command.after, path) not in (None, []) for path in when.without):
            return False
        if when.equal is not None:
            try:
                left, right = (render(text, self._scope(run, child)) for text in when.equal)
            except Absent:
                return False
            return bool(left == right)
        return True

    def _scope(self, run: _Run, child: Child | None) -> dict[str, Any]:
        scope: dict[str, Any] = {
            "correlation": run.command.correlation,
            "before": run.command.before,
            **self._version(run),
            "after": run.command.after,
            **run.extra,
        }
        if run.key is not None:
            scope["key"] = for_request(run.key, self._stream.key)
        if child is not None:
            scope |= {"child": child.child, "change": child.change, "id": child.id}
        return scope

    def _version(self, run: _Run) -> dict[str, Any]:
        """The slot ``{etag}``, as requests want it; an ETag header that is no number stays text."""
        if run.etag is None:
            return {}
        shape = self._stream.etag
        number = shape is not None and shape.type == "integer" and run.etag.isdecimal()
        return {"etag": int(run.etag) if number else run.etag}

    def _step(self, step: Step, child: Child | None, run: _Run) -> None:
        try:
            scope = self._bodies.filled(step, self._scope(run, child), child)
            for slot in step.needs:
                render("{" + slot + "}", scope, strict=True)
            body = self._bodies.body(step, scope, run.diff)
            request = self._wire.request(step, scope, body=body)
        except NoReference as missing:
            self._stop(run, Refused(str(missing), missing.path, missing=True))
        except Absent as absent:
            self._stop(run, Refused(f"{step.call} needs {{{absent.slot}}}.", absent.slot))
        except ValueError:
            self._stop(run, Refused("A value does not fit its declared type."))
        except Unreachable as error:  # of a lookup: this request was not sent
            self._stop(run, Retry(str(error), error.retry_after))
        written = any(slot == "etag" for part in step.templates() for slot in slots(part))
        if self._stream.guard is Guard.ETAG and run.etag is not None and not written:
            request = replace(request, headers={**request.headers, "If-Match": run.etag})
        answer = self._transport.send(request)
        run.sent += 1
        self._judge(step, answer, run)

    def _judge(self, step: Step, answer: Answer, run: _Run) -> None:
        name = redact.request(answer.request.method, answer.request.template, answer.status)
        said = name
        if answer.verdict is not Verdict.OK:
            said += f": {redact.reason(answer.message, run.private)}"
        match answer.verdict:
            case Verdict.OK:
                run.effect = True
                run.etag = answer.headers.get("ETag", run.etag)
                self._learn(step, answer, run)
            case Verdict.RETRY:
                after = answer.retry_after
                pause = None if after is None else timedelta(seconds=after)
                self._stop(run, Retry(f"{name}.", pause, limited=answer.limited))
            case Verdict.GONE:
                gone = run.kind == "delete"
                self._stop(run, Written(run.key or "") if gone else GoneOutcome())
            case Verdict.STALE:
                self._stop(run, Stale())
            case Verdict.EXISTS if not run.extra:
                raise _Stop(self._existing(run, said))
            case Verdict.BAD_CREDENTIALS:
                self._stop(run, Retry(f"{name}: credentials not accepted.", _CREDENTIALS_PAUSE))
            case Verdict.UNKNOWN:
                raise _Stop(Unknown(said))
            case _:
                self._stop(run, Refused(said))

    def _learn(self, step: Step, answer: Answer, run: _Run) -> None:
        """Take key and record out of an answer."""
        run.record = None
        if step.returns == "record" and answer.body:
            row = self._wire.decode(get(answer.json, step.record_at))
            key = key_of(row, self._stream.key)
            run.key = run.key or (str(key) if key is not None else None)
            run.record = self._reader.whole(answer, Lookup(call=step.call, records=step.record_at))
            if run.record is not None and run.record.etag is not None:
                run.etag = run.record.etag
        if run.key is None and step.key_at is not None:
            key = get(self._wire.decode(answer.json), step.key_at)
            run.key = str(key) if isinstance(key, str | int) else None
        if run.key is None and step.key_in_location is not None:
            found = re.search(step.key_in_location, answer.headers.get("Location", ""))
            run.key = found[1] if found else None

    def _stop(self, run: _Run, outcome: Outcome) -> NoReturn:
        """End the command. After an effect, an outcome must not say that nothing was written."""
        if run.effect and not isinstance(outcome, Written):
            part = f"after {run.sent} request(s) of this write took effect"
            if run.kind == "create":
                reason = getattr(outcome, "reason", type(outcome).__name__)
                outcome = Unknown(f"{reason} ({part})")
            elif isinstance(outcome, Stale | GoneOutcome):
                outcome = Retry(f"The record changed or went away {part}.", partial=True)
            elif isinstance(outcome, Refused | Retry):
                outcome = replace(outcome, reason=f"{outcome.reason} ({part})", partial=True)
        raise _Stop(outcome)

    def _failed(self, error: ConnectorError, run: _Run) -> Outcome:
        try:
            match error:
                case NotSent():
                    self._stop(run, Retry(str(error)))
                case RateLimited():
                    self._stop(run, Retry(str(error), error.retry_after, limited=True))
                case Unreachable() | BadAnswer():
                    return Unknown(str(error))
                case RetryLater():
                    self._stop(run, Retry(str(error), error.retry_after))
                case BadCredentials():
                    self._stop(run, Retry(str(error), _CREDENTIALS_PAUSE))
                case BadConfiguration():
                    self._stop(run, Refused(str(error)))
                case _:
                    return Unknown(str(error))
        except _Stop as stop:
            return stop.outcome

    def _existing(self, run: _Run, said: str) -> Outcome:
        """The system says that what is to be created is there: bind it, if it is the only one."""
        if run.kind != "create":
            return Refused(said)
        try:
            found = self._reader.find(run.command)
        except ConnectorError as error:
            return Unknown(f"It exists already, and the lookup failed: {error}")
        if len(found) == 1:
            return Written(found[0].key, found[0], existed=True)
        how = "no" if not found else "more than one"
        return Refused(f"{said} A lookup finds {how} record.")

    def _written(self, run: _Run) -> Outcome:
        """What the system holds now: as it answered, or as read again."""
        if run.kind == "delete":
            return Written(run.key or "")
        if run.key is None:
            found = self._named(run)
            return Written(found.key, found)
        if run.record is None:
            # where the key is a field, the write may have moved the record to another key
            moved = key_of(run.command.after, self._stream.key)
            keys = [run.key] if moved is None else [str(moved), run.key]
            try:
                shown = self._reader.fetch(keys)
            except ConnectorError:
                return Written(keys[0])  # it is written; the next read shows what it made of it
            run.record = next((shown[key] for key in keys if shown[key] is not None), None)
        if run.record is not None and run.record.deleted:
            return GoneOutcome()
        return Written(run.record.key if run.record else run.key, run.record)

    def _named(self, run: _Run) -> RawRecord:
        """The record that was created, where no answer named its key."""
        try:
            found = self._reader.find(run.command)
        except ConnectorError as error:
            raise _Stop(
                Unknown(f"It was created, and the lookup of its key failed: {error}")
            ) from None
        if len(found) != 1:
            raise _Stop(Unknown("It was created, and a lookup does not find its key."))
        return found[0]
