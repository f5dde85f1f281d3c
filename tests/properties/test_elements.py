"""RULES 19 over three systems: whoever edits places under their keys, and whatever is lost on the way, all keys stay."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from connectors.contract import Document
from tests.rules.fakes import Killed
from tests.rules.world import Setting, World

LINES = """
  name: name
  email: {at: mail, as: email}
  places: {at: places, each: {street: street, city: city}}
"""
SYSTEMS = ("erp", "shop", "list")
PLACES = 2

systems = st.sampled_from(SYSTEMS)
fates = st.sampled_from(["done", "undone", "killed", "retry", "stale", "half lost"])
actions = st.one_of(
    st.tuples(st.just("edit"), systems, st.integers(0, PLACES - 1)),
    st.tuples(st.just("edit"), systems, st.integers(0, PLACES - 1)),
    st.tuples(st.just("back"), systems, st.integers(0, PLACES - 1)),
    st.tuples(st.just("read"), systems, st.none()),
    st.tuples(st.just("deliver"), systems, st.none()),
    st.tuples(st.just("lose"), systems, fates),
    st.tuples(st.just("meanwhile"), systems, st.integers(0, PLACES - 1)),
    st.tuples(st.just("round"), st.none(), st.none()),
)


class Story:
    """Ada has the same places in three systems, each under keys of the system's own."""

    def __init__(self, folder: Path) -> None:
        keyed = Setting(LINES, ("places",))
        self.hub = World(folder, dict.fromkeys(SYSTEMS, keyed))
        self.number = count(1)
        self.made = count(1000)
        self.typed: dict[int, list[str]] = {at: [f"street {at}"] for at in range(PLACES)}
        for place, name in enumerate(SYSTEMS):
            system = self.hub.systems[name]
            system.makes = self.numbered
            held = [self.child(place, at) for at in range(PLACES)]
            system.add("1", name="Ada", mail="ada@example.org", places=held)
        self.hub.settle()

    def child(self, place: int, at: int) -> Document:
        return {"id": place * 100 + at, "street": f"street {at}", "city": "Gent", "note": f"{at}"}

    def numbered(self, document: Document) -> Document:
        """What a system makes of a document: every child that has none gets a key."""
        places = document.get("places") or []
        return {**document, "places": [{"id": next(self.made), **one} for one in places]}

    def edit(self, name: str, at: int, street: str) -> None:
        """Somebody edits the place that is known here by its key."""
        system, child = self.hub.systems[name], SYSTEMS.index(name) * 100 + at
        held = system["1"]["places"]
        edited = [{**one, "street": street} if one["id"] == child else one for one in held]
        system.edit("1", places=edited[::-1])

    def act(self, what: str, name: Any, of: Any) -> None:
        hub = self.hub
        match what:
            case "edit":
                self.typed[of].append(f"street {of} {next(self.number)}")
                self.edit(name, of, self.typed[of][-1])
            case "back":
                self.edit(name, of, self.typed[of][len(self.typed[of]) // 2])
            case "read":
                hub.hear(name)
            case "deliver":
                self.deliver(name)
            case "lose":
                hub.systems[name].losses = [of]
            case "meanwhile":
                street = f"street {of} {next(self.number)}"
                self.typed[of].append(street)
                hub.systems[name].meanwhile = lambda: self.edit(name, of, street)
            case "round":
                hub.clock.sleep(100)
                for each in SYSTEMS:
                    hub.ingest(each)
                hub.reconcile()
                for each in SYSTEMS:
                    self.deliver(each)

    def deliver(self, name: str) -> None:
        try:
            self.hub.deliver(name)
        except Killed:
            self.hub.clock.sleep(7200)

    def quiet(self) -> int:
        """Poll until all is quiet. Gives the writes of the last round."""
        for name in SYSTEMS:
            self.hub.systems[name].losses = []
        for _ in range(5):
            self.hub.clock.sleep(7200)
            self.hub.round()
        self.hub.clock.sleep(7200)
        return self.hub.round()

    def shown(self, place: int, name: str) -> dict[int, tuple[str, str]]:
        """By the number of each place: what a system shows of it, and what it keeps beside it."""
        places = self.hub.systems[name]["1"]["places"]
        return {one["id"] - place * 100: (one["street"], one.get("note", "")) for one in places}


@settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(actions, min_size=3, max_size=14))
@example(
    [
        ("round", None, None),
        ("lose", "erp", "half lost"),
        ("edit", "list", 1),
        ("round", None, None),
        ("meanwhile", "erp", 1),
    ]
)
def test_edited_elements_keep_their_keys_everywhere(story: list[tuple[str, Any, Any]]) -> None:
    with TemporaryDirectory() as folder:
        told = Story(Path(folder))
        try:
            for what, one, two in story:
                told.act(what, one, two)
            assert told.quiet() == 0, "a round in which nobody did anything writes nothing"
            shown = [told.shown(place, name) for place, name in enumerate(SYSTEMS)]
            assert shown[0] == shown[1] == shown[2]
            assert shown[0].keys() == set(range(PLACES)), "no child has gone, and none was made"
            for at, (street, note) in shown[0].items():
                assert note == str(at)
                assert street in told.typed[at], "and each shows what was typed there"
            assert told.hub.rebuilt().equal
        finally:
            told.hub.close()
