"""Rule 6, the rule itself: what a read says when it was begun before our last write was confirmed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm_master.domain.attribution import attribute
from crm_master.domain.claims import FieldShadow, Observed, Seen, Shadow
from crm_master.domain.fields import Mapped
from crm_master.domain.settling import intend, settle
from mappings import entity_spec
from tests.rules.fakes import entity, mapping

SPEC = entity_spec(entity())


READ = Observed(seq=9, watermark=100, started=195, ended=200)


def _mapped(**document: object) -> Mapped:
    found = mapping().apply(dict(document), full_payload=False)
    assert isinstance(found, Mapped)
    return found


def test_rule_06_a_read_begun_before_the_shadow_was_confirmed_asserts_nothing() -> None:
    shadow = Shadow({"name": FieldShadow(held="new", sent="new")}, confirmed_at=196)
    found = attribute(_mapped(name="old"), {}, shadow, mapping(), SPEC, READ)
    assert found.stale
    assert (found.claims, found.shadow, found.edits) == ({}, shadow, frozenset())


def test_rule_06_a_read_begun_afterwards_counts() -> None:
    shadow = Shadow({"name": FieldShadow(held="new", sent="new")}, confirmed_at=195)
    found = attribute(_mapped(name="old"), {}, shadow, mapping(), SPEC, READ)
    assert found.edits


def test_rule_06_between_intent_and_settlement_both_values_are_no_edit() -> None:
    shadow = intend(Shadow({"name": FieldShadow(held="old", sent="old")}), {"name": "new"})
    for value in ("old", "new"):
        found = attribute(_mapped(name=value), {}, shadow, mapping(), SPEC, READ)
        assert not found.edits, value
    assert attribute(_mapped(name="other"), {}, shadow, mapping(), SPEC, READ).edits


def test_rule_06_between_intent_and_settlement_elements_of_both_lists_are_no_edit() -> None:
    now = FieldShadow(held={"a": "a", "b": "b"}, sent={"a": "a", "b": "b"})
    shadow = intend(Shadow({"tags": now}), {"tags": {"b": "b", "c": "c"}})
    for tags in (["a", "b"], ["b", "c"]):
        assert not attribute(_mapped(tags=tags), {}, shadow, mapping(), SPEC, READ).edits, tags
    found = attribute(_mapped(tags=["b", "c", "d"]), {}, shadow, mapping(), SPEC, READ)
    assert {key.element for key in found.edits} == {"d"}


@pytest.mark.parametrize(
    "written",
    [
        FieldShadow(held=None, pending={"street": "Main St 1"}),
        FieldShadow(held=None, sent={"street": "Main St 1"}),
    ],
    ids=["on its way", "settled"],
)
def test_rule_06_a_group_that_the_hub_wrote_is_no_edit_where_more_is_read_than_was_sent(
    written: FieldShadow,
) -> None:
    shadow = Shadow({"address": written})
    shown = _mapped(street="Main St 1", city=None)
    assert not attribute(shown, {}, shadow, mapping(), SPEC, READ).edits
    shown = _mapped(street="Main St 1", city="Gent")
    assert attribute(shown, {}, shadow, mapping(), SPEC, READ).edits


def test_rule_06_a_settled_write_shows_what_was_sent_and_what_is_held() -> None:
    shadow = intend(Shadow({"name": FieldShadow(held="old")}), {"name": "new value"})
    now = settle(shadow, {"name"}, {"name": "new val"}, 5, 150, 0).shadow.fields["name"]
    assert (now.held, now.sent) == ("new val", "new value")


def test_rule_06_the_read_that_shows_all_that_was_sent_tells_from_when_on_it_is_there() -> None:
    before = {name: FieldShadow(held="old", sent="old") for name in ("name", "note")}
    shadow = intend(Shadow(before), {"name": "new", "note": "more"}, version=5)
    half = attribute(_mapped(name="new", note="old"), {}, shadow, mapping(), SPEC, READ)
    assert half.shadow.seen == ()
    whole = attribute(_mapped(name="new", note="more"), {}, shadow, mapping(), SPEC, READ)
    assert whole.shadow.seen == (Seen(5, READ.started),)
    later = replace(READ, started=300, ended=310)
    again = attribute(_mapped(name="new", note="more"), {}, whole.shadow, mapping(), SPEC, later)
    assert again.shadow.seen == whole.shadow.seen
