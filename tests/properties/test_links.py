"""RULES 10, 14, 15 over three systems: whatever is merged, split, moved and edited, in whatever order.

Every value says in whose record somebody typed it. So it can be told of any record whether a value of a person is left there
who is not this customer any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from crm_master.engine.linking import NotLinkable
from tests.rules.world import Setting, World

SYSTEMS = ("erp", "shop", "list")
PERSONS = 3
RECORDS = tuple(f"{system}/{system[0]}{number}" for system in SYSTEMS for number in range(PERSONS))
FIELDS = ("name", "phone", "note")

records = st.sampled_from(RECORDS)
actions = st.one_of(
    st.tuples(st.just("edit"), records, st.sampled_from(FIELDS)),
    st.tuples(st.just("clear"), records, st.sampled_from(FIELDS)),
    st.tuples(st.just("tag"), records, st.booleans()),
    st.tuples(st.just("merge"), records, records),
    st.tuples(st.just("split"), records, st.sets(records, min_size=1, max_size=3)),
    st.tuples(st.just("move"), records, records | st.just("new")),
    st.tuples(st.just("pin"), records, st.none()),
    st.tuples(st.just("round"), st.none(), st.none()),
    st.tuples(st.just("read"), st.sampled_from(SYSTEMS), st.none()),
    st.tuples(st.just("lose"), st.sampled_from(SYSTEMS), st.sampled_from(["done", "undone"])),
)


def lossy(document: dict[str, Any]) -> dict[str, Any]:
    """A system that stores texts in capitals."""
    return {
        name: value.upper() if name in FIELDS and isinstance(value, str) else value
        for name, value in document.items()
    }


class Story:
    """A hub in which every person is known to every system, and what people do to it."""

    def __init__(self, folder: Path) -> None:

        self.hub = World(folder, {name: Setting() for name in SYSTEMS})
        self.hub.list.makes = lossy
        self.number = count(1)
        for name in RECORDS:
            system, key = name.split("/")
            person = key[1:]
            self.hub.systems[system].add(
                key, mail=f"p{person}@example.org", name=self.typed(name), tags=[self.typed(name)]
            )
        self.hub.settle()

    def typed(self, record: str) -> str:
        """A value that says in which record it was typed."""
        return f"{record.split('/')[1]}-{next(self.number)}"

    def act(self, what: str, one: Any, two: Any) -> None:
        hub = self.hub
        system, _, key = (one or "").partition("/")
        with contextlib.suppress(NotLinkable):
            match what:
                case "edit":
                    hub.systems[system].edit(key, **{two: self.typed(one)})
                case "clear":
                    hub.systems[system].edit(key, **{two: None})
                case "tag":
                    tags = list(hub.systems[system][key].get("tags") or ())
                    tags = [*tags, self.typed(one)] if two else tags[1:]
                    hub.systems[system].edit(key, tags=tags)
                case "merge":
                    hub.merge(one, two)
                case "split":
                    hub.split(one, *sorted(two))
                case "move":
                    hub.move(one, two)
                case "pin":
                    hub.pin(one)
                case "round":
                    hub.round()
                case "read":
                    hub.ingest(one)
                    hub.reconcile()
                case "lose":
                    hub.systems[one].losses = [two]

    def quiet(self) -> int:
        """Poll until all is quiet. Gives the writes of the last round."""
        for _ in range(4):
            self.hub.clock.sleep(100)
            self.hub.round()
        self.hub.clock.sleep(100)
        return self.hub.round()

    def customers(self) -> dict[str, str]:
        return {name: self.hub.owner(name).id for name in RECORDS}


def values(document: dict[str, Any]) -> Iterator[str]:
    for name in FIELDS:
        if document.get(name):
            yield document[name].lower()
    yield from document.get("tags") or ()


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(actions, min_size=3, max_size=14))
def test_nobody_keeps_values_of_somebody_else_and_everybody_holds_the_projection(
    story: list[tuple[str, Any, Any]],
) -> None:
    with TemporaryDirectory() as folder:
        told = Story(Path(folder))
        try:
            for what, one, two in story:
                told.act(what, one, two)
            assert told.quiet() == 0, "a round in which nobody did anything writes nothing"
            owner = told.customers()
            by_key = {name.split("/")[1]: name for name in RECORDS}
            for name in RECORDS:
                system, key = name.split("/")
                for value in values(told.hub.systems[system][key]):
                    typed_in = by_key[value.split("-")[0]]
                    assert owner[typed_in] == owner[name], (name, value)
            verdict = told.hub.verify()
            assert verdict.converged, verdict.as_dict()
            assert told.hub.rebuilt().equal
        finally:
            told.hub.close()
