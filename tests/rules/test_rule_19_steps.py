"""Rule 19, the rule itself: edits of an element are steps from one content to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_master.domain.claims import Claim, ClaimKey
from crm_master.domain.elements import union
from crm_master.domain.fields import Canonical, Presence, Reading
from crm_master.domain.remapping import View, remap_claims
from crm_master.domain.weighing import Held
from crm_master.store.documents import dump_claims, load_claims, load_shadow
from mappings import entity_spec
from tests.rules.fakes import entity


def test_rule_19_what_an_element_became_is_found_under_another_mapping() -> None:
    """A codec reads the same content otherwise, and so under another key."""
    native = {"s": "KERKSTRAAT"}
    former = {"places": Reading(Presence.VALUE, {"b": native}, {"b": {"street": "KERKSTRAAT"}})}
    present = {"places": Reading(Presence.VALUE, {"B": native}, {"B": {"street": "Kerkstraat"}})}
    claims = {
        ClaimKey("places", "a"): Claim(None, 1, 2, 7, became="b"),
        ClaimKey("places", "b"): Claim({"street": "KERKSTRAAT"}, 1, 2, 7),
    }
    spec, read = entity_spec(entity()), frozenset({"places"})
    found = remap_claims(claims, lambda _: View(former, present), spec, read, frozenset(), {}, {})
    assert found[ClaimKey("places", "a")].became == "B"
    assert found[ClaimKey("places", "B")].value == {"street": "Kerkstraat"}


def _held(system: str, value: Canonical, hi: int = 0, **of: Any) -> Held:
    return Held(Claim(value, hi, hi, seq=of.pop("seq", hi), **of), system, system)


RANK = {"erp": 0, "shop": 1, "list": 2}


def _streets(*claims: tuple[str, Held]) -> Mapping[str, Canonical]:
    forward, backward = union(claims, RANK), union(claims[::-1], RANK)
    assert forward.present.keys() == backward.present.keys(), "a function of the set"
    return {key: found.held.claim.value for key, found in forward.present.items()}


SAME = [("a", _held("list", "A", born=1))]
"""An element that all have shown in version 1."""


ERP = [
    ("a", _held("erp", None, 5, born=2, saw=1, became="b")),
    ("b", _held("erp", "B", 5, born=2, saw=1)),
]


SHOP = [
    ("a", _held("shop", None, 9, born=3, saw=1, became="c")),
    ("c", _held("shop", "C", 9, born=3, saw=1)),
]


def test_rule_19_the_newest_edit_along_either_way_counts() -> None:
    assert _streets(*SAME, *ERP) == {"b": "B"}
    assert _streets(*SAME, *ERP, *SHOP) == {"c": "C"}
    again = [
        ERP[0],
        ("b", _held("erp", None, 12, born=4, saw=1, became="d")),
        ("d", _held("erp", "D", 12, born=4, saw=1)),
    ]
    assert _streets(*SAME, *again, *SHOP) == {"d": "D"}
    elsewhere = [
        ("b", _held("list", None, 12, born=4, saw=2, became="d")),
        ("d", _held("list", "D", 12, born=4, saw=2)),
    ]
    assert _streets(*SAME, *ERP, *elsewhere, *SHOP) == {"d": "D"}, "whoever goes on with it"
    lost = union([*SAME, *again, *SHOP], RANK).lost
    assert [held.claim.value for held in lost] == ["C"]


def test_rule_19_what_somebody_says_besides_is_never_lost() -> None:
    """Said at another time, or in another record: that is no edit of the element."""
    apart = ("b", _held("list", "B", 1, born=1))
    assert _streets(*SAME, apart, *ERP, *SHOP) == {"b": "B", "c": "C"}
    later = ("b", _held("erp", "B", 20, born=6, saw=5))
    assert _streets(*SAME, ERP[0], later, *SHOP) == {"b": "B", "c": "C"}


def test_rule_19_an_element_that_was_made_again_is_another_one() -> None:
    """The list took the old content up again, having seen the edit: who edits that edits another element."""
    anew = ("a", _held("list", "A", 7, born=3, saw=2))
    then = [
        ("a", _held("shop", None, 9, born=5, saw=4, became="c")),
        ("c", _held("shop", "C", 9, born=5, saw=4)),
    ]
    assert _streets(anew, *ERP, *then) == {"b": "B", "c": "C"}


def test_rule_19_who_removes_what_won_has_seen_what_lost() -> None:
    gone = ("c", _held("list", None, 12, born=4, saw=3))
    assert _streets(*SAME, *ERP, *SHOP, gone) == {}
    unseen = ("c", _held("list", None, 12, born=4, saw=1))
    assert _streets(*SAME, *ERP, *SHOP, unseen) == {"c": "C"}, "side by side, presence wins"
    newest = [
        ("a", _held("erp", None, 20, born=2, saw=1, became="b")),
        ("b", _held("erp", "B", 20, born=2, saw=1)),
    ]
    taken = ("b", _held("list", None, 25, born=4, saw=2))
    assert _streets(*SAME, *newest, *SHOP) == {"b": "B"}
    assert _streets(*SAME, *newest, *SHOP, taken) == {"c": "C"}, "nor had it seen what had lost"


def test_rule_19_a_content_that_was_left_may_be_another_elements() -> None:
    """The ERP moved the home from a to b, and later the office from w to a; then the list edits the home."""
    moved = [
        ("a", _held("erp", "A", 9, born=4, saw=3, became="b")),
        ("w", _held("erp", None, 9, born=4, saw=3, became="a")),
        ("b", _held("erp", "B", 5, born=2, saw=1)),
        ("b", _held("list", None, 12, born=5, saw=4, became="c")),
        ("c", _held("list", "C", 12, born=5, saw=4)),
    ]
    assert _streets(*moved) == {"a": "A", "c": "C"}
    itself = [
        *moved[:2],
        ("b", _held("erp", None, 12, born=5, saw=4, became="c")),
        ("c", _held("erp", "C", 12, born=5, saw=4)),
    ]
    assert _streets(*itself) == {"a": "A", "c": "C"}


def test_rule_19_what_lost_and_was_made_anew_is_an_element_of_its_own() -> None:
    """The shop's edit won; the list says what the ERP's was as an element of its own, and the shop edits that."""
    later = [
        ("b", _held("list", "B", 12, born=4, saw=3)),
        ("b", _held("shop", None, 15, born=5, saw=4, became="d")),
        ("d", _held("shop", "D", 15, born=5, saw=4)),
    ]
    assert _streets(*SAME, *ERP, *SHOP, *later) == {"c": "C", "d": "D"}


def test_rule_19_documents_of_before_are_read() -> None:
    """As releases have written them that knew no children: of a removal the base was the element's key."""
    key = ClaimKey("places", "street=a")
    rows = {"places\x1fstreet=a": [None, 1, 2, 3, 4, 5, None, ["street=a"]]}
    assert load_claims(rows)[key].became is None
    assert dump_claims(load_claims(rows)) == rows
    assert load_shadow({"f": {"places": {"h": {}}}, "s": []}, 0).fields["places"].children is None
