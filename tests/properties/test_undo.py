"""Promise 7: whatever people did between two polls, undoing the run that took it in gives what was there before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from crm_master.domain.survivorship import FieldPolicy, Rule
from tests.rules.world import Setting, World

SYSTEMS = ("erp", "shop", "list")
CUSTOMERS = 2
_GOLDEN = {"mail": "email", "street": "address", "city": "address"}


@dataclass(frozen=True)
class Edit:
    """A person's edit in one system; what it is an edit of, and to what."""

    system: str
    customer: int
    field: str
    value: Any


_texts = st.sampled_from(["A", "B", "C", None])
_values = {
    "name": st.sampled_from(["A", "B", "C"]),
    "phone": _texts,
    "note": _texts,
    "street": _texts,
    "city": _texts,
    "tags": st.lists(st.sampled_from(["x", "y", "z"]), unique=True),
    "consent": st.sampled_from(["yes", "no"]),
}
_edits = st.sampled_from(sorted(_values)).flatmap(
    lambda field: st.builds(
        Edit,
        st.sampled_from(SYSTEMS),
        st.integers(0, CUSTOMERS - 1),
        st.just(field),
        _values[field],
    )
)
_standing = st.dictionaries(st.sampled_from(SYSTEMS), st.integers(0, 2), min_size=1)
_policies = st.fixed_dictionaries(
    {},
    optional={
        field: st.one_of(
            st.builds(FieldPolicy, st.just(Rule.SOURCE_PRIORITY), _standing),
            st.builds(FieldPolicy, st.just(Rule.OWNER), _standing),
            st.just(FieldPolicy(Rule.MANUAL)),
        )
        for field in ("name", "phone", "note", "address")
    },
)


def _done(hub: World, edits: Sequence[Edit]) -> str:
    """Let people do that, then poll and reconcile. Gives the run that took it in."""
    for edit in edits:
        hub.systems[edit.system].edit(f"{edit.customer}", **{edit.field: edit.value})
    hub.clock.sleep(10)
    for name in SYSTEMS:
        hub.ingest(name)
    hub.reconcile()
    return hub.ran["reconcile"]


def _golden(hub: World) -> dict[tuple[str, str], Any]:
    """What the golden records say; an empty field says as little as none."""
    return {
        (customer.id, name): value
        for customer in hub.customers()
        for name, value in customer.golden.items()
        if value not in (None, {})
    }


def _contested(hub: World) -> set[tuple[str, str]]:
    return {(customer.id, name) for customer in hub.customers() for name in customer.withheld}


def _rule(policies: dict[str, FieldPolicy], of: tuple[str, str]) -> Rule | None:
    return policies[of[1]].rule if of[1] in policies else None


def _held(hub: World) -> dict[tuple[str, str], Any]:
    """What the systems show where the golden record speaks: what nobody may speak of is each system's own (RULES 1)."""
    goldens = {customer.golden["email"]: customer.golden for customer in hub.customers()}
    return {
        (name, key): {
            part: _plain(value)
            for part, value in kept.document.items()
            if value and _GOLDEN.get(part, part) in goldens[kept.document["mail"]]
        }
        for name, system in hub.systems.items()
        for key, kept in system.kept.items()
    }


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(_policies, st.lists(_edits, max_size=4), st.lists(_edits, min_size=1, max_size=6))
def test_undo_of_a_run_gives_the_golden_records_of_before(
    policies: dict[str, FieldPolicy], earlier: list[Edit], edits: list[Edit]
) -> None:
    with TemporaryDirectory() as folder:
        hub = World(Path(folder), dict.fromkeys(SYSTEMS, Setting()), policies)
        try:
            for number in range(CUSTOMERS):
                for system in hub.systems.values():
                    system.add(f"{number}", name="A", mail=f"p{number}@example.org", consent="yes")
            hub.settle()
            _done(hub, earlier)
            hub.round()
            hub.round()
            golden, held = _golden(hub), _held(hub)
            contested = _contested(hub)

            run = _done(hub, edits)
            contested |= _contested(hub)
            unowned = {
                of
                for of in _golden(hub).keys() - golden.keys()
                if _rule(policies, of) is Rule.OWNER
            }
            for name in SYSTEMS:
                hub.deliver(name)
            hub.undo(run)

            kept = {(item["customer"], item["field"]) for item in hub.undo_plan(run).kept}
            assert kept <= contested | unowned, "only what nothing was decided about is left"
            now = _golden(hub)
            changed = {of for of in now.keys() | golden.keys() if now.get(of) != golden.get(of)}
            assert changed <= contested | unowned
            hub.round()
            hub.round()
            if not contested | unowned:
                assert _held(hub) == held
            assert hub.round() == 0
            assert hub.rebuilt().equal
        finally:
            hub.close()
