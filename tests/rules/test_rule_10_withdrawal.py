"""RULES 10: whoever leaves a customer takes along what the hub has spread of theirs, from every record on either side."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from connectors.contract import Document
from crm_master.domain.changes import departed, patch, sources_of, withdraw
from crm_master.domain.claims import LEFT, UNSET, ClaimKey, FieldShadow, Shadow
from crm_master.domain.survivorship import FieldPolicy, Reconciled, Rule, Winner
from mappings import entity_spec
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import entity, mapping
from tests.rules.world import Setting, World, dying

SPEC = entity_spec(entity())


class Case(NamedTuple):
    title: str
    field: str
    shadow: FieldShadow
    golden: Any
    written: Any


CASES = [
    Case("a value that nobody says any more", "phone", FieldShadow("1", "1", source={"": LEFT}), UNSET, None),
    Case("a value that is replaced", "phone", FieldShadow("1", "1", source={"": LEFT}), "2", "2"),
    Case("a value that the others say too", "phone", FieldShadow("1", "1", source={"": LEFT}), "1", UNSET),
    Case("the value of a member", "phone", FieldShadow("1", "1", source={"": "r"}), UNSET, UNSET),
    Case("a value that nobody delivered", "phone", FieldShadow("1"), UNSET, UNSET),
    Case("one on its way", "phone", FieldShadow("2", pending="1", coming={"": LEFT}), UNSET, None),
    Case(
        "a group as one",
        "address",
        FieldShadow({"street": "S", "city": "C"}, source={"": LEFT}),
        UNSET,
        None,
    ),
    Case(
        "an element of a list",
        "tags",
        FieldShadow({"a": "a", "b": "b"}, source={"a": LEFT, "b": "r"}),
        UNSET,
        {"b": "b"},
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_rule_10_what_is_replaced_or_cleared(case: Case) -> None:
    golden = {} if case.golden is UNSET else {case.field: case.golden}
    shadow = Shadow({case.field: case.shadow})
    needed = patch(Reconciled(golden, {}), shadow, mapping(), SPEC)
    assert needed.writes.get(case.field, UNSET) == case.written


def test_rule_10_a_field_that_waits_for_a_decision_is_rid_of_it_all_the_same() -> None:
    shadow = Shadow({"phone": FieldShadow("1", "1", source={"": LEFT})})
    contested = Reconciled({}, {}, withheld=frozenset({"phone"}))
    assert patch(contested, shadow, mapping(), SPEC).writes == {"phone": None}


def test_rule_10_a_value_that_the_system_cannot_hold_is_no_reason_to_leave_it() -> None:
    lines = "  phone: {at: phone, as: {enum: {one: '1'}}}"
    shadow = Shadow({"phone": FieldShadow("1", "1", source={"": LEFT})})
    needed = patch(Reconciled({"phone": "two"}, {}), shadow, mapping(lines), SPEC)
    assert needed.writes == {"phone": None}


def test_rule_10_a_delivery_knows_whose_claims_it_delivers() -> None:
    winners = {
        ClaimKey("phone"): Winner("r", 1, Rule.MOST_RECENT),
        ClaimKey("tags", "a"): Winner("s", 1, Rule.UNION),
    }
    natives = {"phone": "1", "tags": {"a": "a"}, "note": "n", "name": None}
    assert sources_of(natives, winners) == {
        "phone": {"": "r"},
        "tags": {"a": "s"},
        "note": {"": LEFT},
    }


def test_rule_10_who_is_no_member_any_more_has_left() -> None:
    shadow = Shadow(
        {
            "phone": FieldShadow("1", "1", source={"": "r"}),
            "tags": FieldShadow({"a": "a", "b": "b"}, source={"a": "r", "b": "s"}),
        }
    )
    after = withdraw(shadow, {"s"})
    assert departed(after.fields["phone"]) == {""}
    assert departed(after.fields["tags"]) == {"a"}
    assert withdraw(after, {"s"}) == after
    assert withdraw(shadow, {"r", "s"}) is shadow


# --- in a hub: Ada, and a record of Grace that was taken for hers

POLICIES = {"name": FieldPolicy(Rule.SOURCE_PRIORITY, {"erp": 0})}
GRACES: Document = {
    "name": "Grace",
    "mail": "ada@example.org",
    "phone": "1906",
    "note": "Admiral",
    "tags": ["navy", "both"],
    "street": "Navy Yard 1",
    "city": "Arlington",
    "consent": "no",
}


def mixed(world: MakeWorld, **settings: Any) -> World:
    """In the shop Grace has Ada's address; what she says has been spread to the ERP and to the list."""
    hub = world("erp", "shop", "list", policies=POLICIES, **settings)
    hub.erp.add("e1", name="Ada", mail="ada@example.org", tags=["both", "math"])
    hub.list.add("l1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", **GRACES)
    return hub.settle()


def lacks_grace(document: Document) -> bool:
    """Whether nothing of Grace is left in a record, but for what the other said too."""
    said = {str(value) for name, value in GRACES.items() if name not in ("mail", "tags")}
    values = {str(value) for value in document.values()} | set(document.get("tags") or ())
    return not (said | {"navy"}) & values


def test_rule_10_after_an_unmerge_nothing_of_the_other_is_left(world: MakeWorld) -> None:
    hub = mixed(world)
    assert hub.erp["e1"]["phone"] == hub.list["l1"]["phone"] == "1906"
    hub.split("erp/e1", "shop/s1")
    hub.round()
    for document in (hub.erp["e1"], hub.list["l1"]):
        assert lacks_grace(document), document
    assert hub.erp["e1"]["tags"] == hub.list["l1"]["tags"] == ["both", "math"]
    assert hub.shop["s1"]["name"] == "Grace", "and the other side has what she had"
    assert sorted(hub.shop["s1"]["tags"]) == ["both", "navy"]
    assert hub.round() == 0
    assert hub.rebuilt().equal
    assert hub.verify().converged


def test_rule_10_a_value_that_the_golden_record_has_replaces_it(world: MakeWorld) -> None:
    hub = mixed(world)
    hub.list.edit("l1", phone="1815")
    hub.round()
    hub.shop.edit("s1", phone="1907")
    hub.round()
    assert hub.erp["e1"]["phone"] == "1907"
    hub.split("erp/e1", "shop/s1")
    hub.round()
    assert hub.erp["e1"]["phone"] == "1815"
    assert hub.list["l1"]["phone"] == "1815"
    assert hub.shop["s1"]["phone"] == "1907"


def test_rule_10_what_a_person_has_typed_over_it_stays(world: MakeWorld) -> None:
    hub = mixed(world)
    hub.erp.edit("e1", note="Countess")
    hub.round()
    hub.split("erp/e1", "shop/s1")
    hub.round()
    assert hub.erp["e1"]["note"] == "Countess"
    assert hub.list["l1"]["note"] == "Countess"
    assert hub.shop["s1"]["note"] == "Admiral"


def test_rule_10_a_lossy_systems_version_of_it_goes_too(world: MakeWorld) -> None:
    hub = world("erp", "shop", "list", policies=POLICIES)
    hub.list.makes = lambda document: {
        name: value[:3].upper() if name in ("name", "phone", "note", "city") and value else value
        for name, value in document.items()
    }
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.list.add("l1", name="ADA", mail="ada@example.org")
    hub.shop.add("s1", **GRACES)
    hub.settle()
    assert hub.list["l1"]["note"] == "ADM"
    hub.split("erp/e1", "shop/s1")
    hub.round()
    assert not hub.list["l1"].get("note")
    assert not hub.list["l1"].get("phone")
    assert hub.round() == 0
    assert hub.verify().converged


def test_rule_10_in_a_field_that_comes_to_be_contested(world: MakeWorld) -> None:
    """Both edited what they saw, which was Grace's: until somebody decides nothing is shown, and not her number."""
    manual = POLICIES | {"phone": FieldPolicy(Rule.MANUAL)}
    hub = world("erp", "shop", "list", policies=manual)
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.list.add("l1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", **GRACES)
    hub.settle()
    hub.erp.edit("e1", phone="1815")
    hub.list.edit("l1", phone="1852")
    hub.round()
    assert hub.golden["phone"] == "1906", "what both had seen"
    hub.split("erp/e1", "shop/s1")
    hub.round()
    assert "phone" not in hub.owner("erp/e1").golden
    assert (hub.erp["e1"]["phone"], hub.list["l1"]["phone"]) == ("1815", "1852")
    assert hub.rebuilt().equal


@pytest.mark.parametrize("fate", ["done", "undone"])
def test_rule_10_of_a_delivery_whose_answer_was_lost(world: MakeWorld, fate: str) -> None:
    hub = mixed(world)
    hub.shop.edit("s1", phone="1992")
    hub.hear("shop")
    hub.erp.losses = [fate]
    hub.deliver("erp")
    hub.split("erp/e1", "shop/s1")
    hub.clock.sleep(60)
    hub.round()
    hub.clock.sleep(60)
    hub.round()
    assert lacks_grace(hub.erp["e1"])
    assert "1992" not in hub.erp["e1"].values()
    assert "phone" not in hub.owner("erp/e1").golden
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_10_of_a_delivery_that_is_under_way(world: MakeWorld) -> None:
    """A worker has rendered Grace's new number for the ERP; while it writes, her record is split off."""
    hub = mixed(world)
    hub.shop.edit("s1", phone="1992")
    hub.hear("shop")
    hub.deliver_meanwhile("erp", lambda: hub.split("erp/e1", "shop/s1"))
    assert hub.erp["e1"]["phone"] == "1992", "it had left already"
    hub.round()
    assert lacks_grace(hub.erp["e1"])
    assert not hub.erp["e1"].get("phone")
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_10_of_a_worker_that_died_over_it(world: MakeWorld) -> None:
    hub = mixed(world)
    hub.shop.edit("s1", phone="1992")
    hub.hear("shop")
    hub.erp.losses = ["killed"]
    with dying():
        hub.deliver("erp")
    hub.split("erp/e1", "shop/s1")
    hub.reconcile()
    hub.clock.sleep(3600)
    hub.round()
    assert lacks_grace(hub.erp["e1"])
    assert not hub.erp["e1"].get("phone")
    assert "phone" not in hub.owner("erp/e1").golden
    assert hub.rebuilt().equal


def test_rule_10_of_a_create_whose_answer_was_lost(world: MakeWorld) -> None:
    """The desk was sent Ada with Grace's number; the record is found again after the two were parted."""
    hub = mixed(world, list=Setting(creates=()))
    hub.erp.add("e2", name="Ada II", mail="two@example.org")
    hub.shop.add("s2", **GRACES | {"mail": "two@example.org"})
    hub.clock.sleep(10)
    hub.ingest("erp")
    hub.ingest("shop")
    hub.reconcile()
    hub.list.losses = ["done"]
    hub.deliver("list")
    hub.split("erp/e2", "shop/s2")
    hub.clock.sleep(60)
    hub.round()
    hub.clock.sleep(60)
    hub.round()
    made = next(key for key, kept in hub.list.kept.items() if kept.document.get("name") == "Ada II")
    assert hub.owner(f"list/{made}").id == hub.owner("erp/e2").id
    assert lacks_grace(hub.list[made])
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_10_a_claim_that_stays_silent_withdraws_nothing(world: MakeWorld) -> None:
    """A deleted record's customer keeps its last words: to be gone is not to have left."""
    hub = mixed(world)
    hub.shop.remove("s1")
    hub.round()
    assert hub.erp["e1"]["phone"] == "1906"
    assert hub.round() == 0


def test_rule_10_of_the_first_value_that_was_ever_under_way(world: MakeWorld) -> None:
    """The ERP shows nothing of hers yet, so that nothing seems to be missing there: but something is coming."""
    hub = world("erp", "shop")
    for name in ("erp", "shop"):
        hub.systems[name].add("k", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.edit("k", phone="1992")
    hub.hear("shop")
    hub.deliver_meanwhile("erp", lambda: hub.split("erp/k", "shop/k"))
    assert hub.erp["k"]["phone"] == "1992"
    hub.round()
    assert not hub.erp["k"].get("phone")
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_10_a_value_that_returns_while_another_is_under_way(world: MakeWorld) -> None:
    """The same without anybody leaving: what the record holds equals the golden record again, for a moment."""
    hub = world("erp", "shop")
    for name in ("erp", "shop"):
        hub.systems[name].add("k", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.edit("k", name="Countess")
    hub.hear("shop")

    def meanwhile() -> None:
        hub.shop.edit("k", name="Ada")
        hub.ingest("shop")

    hub.deliver_meanwhile("erp", meanwhile)
    hub.round()
    assert (hub.erp["k"]["name"], hub.shop["k"]["name"]) == ("Ada", "Ada")
    assert hub.verify().converged
    assert hub.rebuilt().equal
