"""RULES 21: a change of mapping or policy reaches what was read before, as a sweep that can be resumed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm_master.domain.claims import ClaimKey
from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.survivorship import FieldPolicy, Rule
from crm_master.engine.fuses import FuseBlown
from crm_master.engine.plan import Hub
from crm_master.ports import UnitOfWork
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import FULL_MAPPING, Kept, Killed
from tests.rules.world import Setting, World, dying

PHONE = ClaimKey("phone")
NAME = ClaimKey("name")
OTHER_PHONE = FULL_MAPPING.replace("phone: phone", "phone: mobile")
NO_PHONE = FULL_MAPPING.replace("  phone: phone\n", "")
LOUD = FULL_MAPPING.replace("name: name", "name: {at: name, as: {enum: {ADA: Ada, BOB: Bob}}}")


def _hub(world: MakeWorld, **document: str) -> World:
    hub = world("erp", "shop")
    hub.erp.add("e1", **({"name": "Ada", "mail": "ada@example.org", "phone": "1"} | document))
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    return hub.settle()


def test_rule_21_a_mapping_change_reaches_records_that_nobody_touches(world: MakeWorld) -> None:
    hub = _hub(world, mobile="2")
    counts = hub.apply(hub.proposed(erp=OTHER_PHONE))
    assert counts["remapped"] == 1
    hub.round()
    assert hub.golden["phone"] == "2"
    assert hub.shop["s1"]["phone"] == "2"
    assert hub.rebuilt().equal


def test_rule_21_what_is_read_otherwise_is_no_edit_and_keeps_its_time(world: MakeWorld) -> None:
    hub = _hub(world, mobile="2")
    hub.erp.edit("e1", phone="3", mobile="4")
    hub.round()
    before = hub.record("erp", "e1").claims[PHONE]
    hub.apply(hub.proposed(erp=OTHER_PHONE))
    after = hub.record("erp", "e1").claims[PHONE]
    assert after == replace(before, value="4")
    hub.round()
    assert hub.record("erp", "e1").claims[PHONE] == after, "and is none when it is read again"


def test_rule_21_a_codec_that_reads_the_same_native_otherwise_is_no_edit(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.edit("s1", name="Bob")
    hub.round()
    assert hub.golden["name"] == "Bob"
    shadow = hub.shadow("erp", "e1").fields["name"]
    assert hub.apply(hub.proposed(erp=LOUD, shop=LOUD))["remapped"] == 2
    assert hub.golden["name"] == "BOB", "the shop's edit is still the later one"
    assert hub.shadow("erp", "e1").fields["name"] == shadow, "in the system's own representation"
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_21_a_field_taken_out_withdraws_its_claims_and_clears_nothing(
    world: MakeWorld,
) -> None:
    hub = _hub(world)
    assert hub.shop["s1"]["phone"] == "1"
    hub.apply(hub.proposed(erp=NO_PHONE))
    assert PHONE not in hub.claims("erp", "e1")
    assert hub.round() == 0
    assert hub.erp["e1"]["phone"] == "1"
    assert hub.shop["s1"]["phone"] == "1"
    assert hub.rebuilt().equal


def test_rule_21_a_newly_mapped_field_is_seen_for_the_first_time_in_the_landed_row(
    world: MakeWorld,
) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org", mobile="2")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone="1")
    hub.put_in_force(hub.proposed(erp=NO_PHONE))
    hub.settle()
    hub.erp.requests.clear()
    hub.apply(hub.proposed(erp=OTHER_PHONE))
    assert hub.erp.requests == []
    assert hub.claims("erp", "e1")[PHONE] == "2"
    hub.round()
    assert hub.golden["phone"] == "2", "of two claims as old as nobody knows, the rank decides"
    assert hub.rebuilt().equal


def test_rule_21_a_newly_mapped_path_that_the_landed_row_lacks_needs_a_full_read(
    world: MakeWorld,
) -> None:
    hub = _hub(world)
    hidden = {"nick": "Countess"}
    nick = FULL_MAPPING.replace("note: note", "note: nick")
    proposed = hub.proposed(erp=nick)
    assert hub.foresee(proposed).lacking == {"erp/people": {"note"}}
    # the system had it all along, and did not show it: nobody edits anything
    kept = hub.erp.kept["e1"]
    hub.erp.kept["e1"] = Kept(kept.document | hidden, kept.version)
    assert hub.ingest("erp")["landed"] == 0
    hub.apply(proposed)
    # and a change of something else, before it has been read in full
    hub.apply(hub.proposed(erp=nick.replace("name: name", "name: {at: name, clear: ignore}")))
    hub.round()
    assert hub.golden["note"] == "Countess"
    assert hub.record("erp", "e1").claims[ClaimKey("note")].lo == 0, "as old as nobody knows"
    assert hub.rebuilt().equal


def test_rule_21_a_row_that_was_written_over_since_shows_no_newly_mapped_field(
    world: MakeWorld,
) -> None:
    hub = world("shop", "erp")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone="1")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", phone="5")
    hub.round()
    assert hub.shop["s1"]["phone"] == "5", "which no landed row of the shop shows"
    hub.apply(hub.proposed(shop=NO_PHONE))
    back = hub.proposed(shop=FULL_MAPPING)
    assert hub.foresee(back).lacking == {"shop/people": {"phone"}}
    hub.apply(back)
    assert PHONE not in hub.claims("shop", "s1"), "what the shop showed once, nobody says any more"
    hub.apply(
        hub.proposed(shop=FULL_MAPPING.replace("name: name", "name: {at: name, clear: ignore}"))
    )
    assert PHONE not in hub.claims("shop", "s1"), "nor after one more change, of another field"
    assert hub.round() == 0
    assert hub.claims("shop", "s1")[PHONE] == "5", "seen for the first time, in a full read"
    assert hub.golden["phone"] == "5"
    assert hub.rebuilt().equal


def test_rule_21_a_row_that_shows_nothing_more_is_landed_once_and_says_so(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.apply(hub.proposed(erp=FULL_MAPPING.replace("note: note", "note: nick")))
    assert hub.ingest("erp")["landed"] == 1
    hub.reconcile()
    assert hub.ingest("erp", full=True)["landed"] == 0


def test_rule_21_what_was_delivered_since_the_row_was_landed_is_no_edit(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.erp.edit("e1", phone="5")
    hub.round()
    assert hub.shop["s1"]["phone"] == "5", "which no landed row of the shop shows"
    moved = FULL_MAPPING.replace("phone: phone", "phone: {at: phone, as: {enum: {five: '5'}}}")
    hub.apply(hub.proposed(erp=moved, shop=moved))
    assert PHONE not in hub.claims("shop", "s1")
    assert hub.golden["phone"] == "five"
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_21_what_was_delivered_into_a_record_that_was_never_read_is_no_edit(
    world: MakeWorld,
) -> None:
    """The hub has made the record, so no landed row shows it: what it holds is known from the answer to that."""
    hub = world("erp", "shop", shop=Setting(creates=()))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="5")
    hub.settle()
    [key] = hub.shop.kept
    moved = FULL_MAPPING.replace("phone: phone", "phone: {at: phone, as: {enum: {five: '5'}}}")
    hub.apply(hub.proposed(erp=moved, shop=moved))
    assert hub.round() == 0
    hub.ingest("shop", full=True)
    hub.reconcile()
    assert PHONE not in hub.claims("shop", key)
    assert hub.golden["phone"] == "five"
    assert hub.rebuilt().equal


def test_rule_21_what_was_found_empty_in_a_record_that_was_never_read_is_known(
    world: MakeWorld,
) -> None:
    """Whoever fills it in after the change has edited it: that is no first sight of something old."""
    hub = world("erp", "shop", shop=Setting(creates=()))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.settle()
    [key] = hub.shop.kept
    proposed = hub.proposed(
        shop=FULL_MAPPING.replace("phone: phone", "phone: {at: phone, as: {enum: {five: '5'}}}")
    )
    assert not hub.foresee(proposed).lacking
    hub.apply(proposed)
    hub.shop.edit(key, phone="5")
    hub.round()
    assert hub.record("shop", key).claims[PHONE].lo > 0
    assert hub.rebuilt().equal


def test_rule_21_a_fuller_value_of_a_group_is_not_cut_by_reading_it_again(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.shop.makes = lambda document: document | {"street": str(document.get("street"))[:5]}
    hub.erp.add("e1", name="Ada", mail="ada@example.org", street="Long Street 1", city="Ghent")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    assert hub.shop["s1"]["street"] == "Long "
    hub.shop.edit("s1", city="Bruges")
    hub.round()
    address = {"street": "Long Street 1", "city": "Bruges"}
    assert hub.golden["address"] == address
    hub.apply(hub.proposed(shop=FULL_MAPPING + "  address.country: country\n"))
    assert hub.golden["address"] == address
    assert hub.round() == 0


def test_rule_21_a_policy_change_reaches_every_customer(world: MakeWorld) -> None:
    hub = world("erp", "shop", policies={"name": FieldPolicy(Rule.OWNER, {"erp": 0})})
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada L", mail="ada@example.org")
    hub.settle()
    assert hub.golden["name"] == "Ada"
    counts = hub.apply(hub.proposed({"name": FieldPolicy(Rule.OWNER, {"shop": 0})}))
    assert counts["swept"] == 1
    hub.round()
    assert hub.erp["e1"]["name"] == hub.golden["name"]
    assert hub.rebuilt().equal


def _many(world: MakeWorld, people: int = 7) -> World:
    hub = world("erp", "shop")
    for number in range(people):
        mail = f"p{number}@example.org"
        hub.erp.add(f"e{number}", name="Ada", mail=mail, phone="1", mobile=f"m{number}")
        hub.shop.add(f"s{number}", name="Bea", mail=mail)
    return hub.settle()


@pytest.mark.parametrize("dies_at", [1, 3, 6, 8])
def test_rule_21_a_sweep_that_is_killed_goes_on_where_it_was_and_does_nothing_twice(
    world: MakeWorld, dies_at: int
) -> None:
    hub = _many(world)
    hub.put_in_force(hub.proposed(erp=OTHER_PHONE))
    done = _swept_until(hub, dies_at)
    rest = hub.sweep(batch=2)
    assert done + rest.get("remapped", 0) == 7
    assert hub.sweep() == {}, "what is swept is swept"
    hub.round()
    assert [hub.shop[f"s{n}"]["phone"] for n in range(7)] == [f"m{n}" for n in range(7)]
    assert hub.rebuilt().equal


def _swept_until(hub: World, calls: int) -> int:
    """Sweep in batches of two, and die after so many transactions. Gives how many records were re-mapped."""
    opened = 0
    real = hub.store

    def store() -> UnitOfWork:
        nonlocal opened
        opened += 1
        if opened > calls:
            raise Killed
        return real()

    hub.store = store  # type: ignore[assignment]
    with dying():
        hub.sweep(batch=2)
    hub.store = real
    hash_ = hub.hub.stream("erp", "people").mapping.hash
    return sum(hub.record("erp", f"e{n}").mapping_hash == hash_ for n in range(7))


def test_rule_21_an_edit_that_comes_before_the_sweep_is_read_with_the_new_mapping(
    world: MakeWorld,
) -> None:
    hub = _hub(world, mobile="2")
    before = hub.record("erp", "e1").claims[PHONE]
    hub.erp.edit("e1", phone="8", note="n")
    hub.ingest("erp")
    hub.put_in_force(hub.proposed(erp=OTHER_PHONE))
    hub.reconcile()
    now = hub.record("erp", "e1").claims[PHONE]
    assert now == replace(before, value="2"), "the old number's edit is not one of the new one"
    assert hub.golden["note"] == "n"
    assert hub.rebuilt().equal


def test_rule_21_nothing_is_delivered_to_a_record_that_is_still_to_be_read_again(
    world: MakeWorld,
) -> None:
    hub = _hub(world, mobile="2")
    hub.shop.edit("s1", name="Ada L")
    hub.ingest("shop")
    hub.reconcile()
    hub.put_in_force(hub.proposed(erp=OTHER_PHONE))
    writes = len(hub.erp.writes)
    hub.deliver("erp")
    assert len(hub.erp.writes) == writes
    hub.sweep()
    hub.clock.sleep(60)
    hub.round()
    assert hub.erp["e1"]["name"] == "Ada L"


def test_rule_21_a_worker_of_the_former_configuration_stops(world: MakeWorld) -> None:
    hub = _hub(world, mobile="2")
    former = hub.hub
    hub.apply(hub.proposed(erp=OTHER_PHONE))
    hub.erp.edit("e1", note="n")
    hub.ingest("erp")
    after, hub.hub = hub.hub, former
    assert hub.reconcile() == {}
    assert hub.inbox() == 1
    hub.hub = after
    hub.reconcile()
    assert hub.golden["note"] == "n"


def test_rule_21_a_release_whose_codec_reads_otherwise_is_swept_too(world: MakeWorld) -> None:
    hub = _hub(world, mobile="2")
    hub.replace_mapping("erp", hub.proposed(erp=OTHER_PHONE).stream("erp", "people").mapping)
    assert hub.sweep()["remapped"] == 1
    assert hub.claims("erp", "e1")[PHONE] in ("1", "2")


def test_rule_21_a_field_that_can_no_longer_be_read_is_a_dead_letter_and_stays(
    world: MakeWorld,
) -> None:
    hub = _hub(world)
    strict = FULL_MAPPING.replace("phone: phone", "phone: {at: phone, as: {enum: {two: '2'}}}")
    hub.apply(hub.proposed(erp=strict))
    assert hub.task(TaskKind.DEAD_LETTER).subject == "erp/people/e1:phone"
    assert hub.golden["phone"] == "1"
    assert hub.rebuilt().equal


def _writes(hub: World, hub2: Hub) -> set[tuple[str, str, str]]:
    """What a plan says, as (record, place in its document, value)."""
    found = set()
    for write in hub.foresee(hub2).each:
        system = write.stream.partition("/")[0]
        mapping = hub2.stream(system, "people").mapping
        key = (write.record or "").rpartition("/")[2]
        document = hub.systems[system].kept[key].document if key else {}
        after = mapping.put(document, write.natives)
        found |= {
            (write.stream, key, f"{name}={value}")
            for name, value in after.items()
            if document.get(name) != value
        }
    return found


def test_rule_21_the_plan_is_what_apply_then_does_write_by_write(world: MakeWorld) -> None:
    hub = _many(world)
    hub.shop.edit("s3", name="Cleo")
    hub.round()
    proposed = hub.proposed({"name": FieldPolicy(Rule.OWNER, {"shop": 0})}, erp=OTHER_PHONE)
    planned = _writes(hub, proposed)
    assert len(planned) == 7 + 2 * 6, "a phone for each, and both names but Cleo's"
    before = {name: len(system.writes) for name, system in hub.systems.items()}
    versions = [customer.version for customer in hub.customers()]
    assert hub.foresee(proposed).remapped == {"erp/people": 7}
    assert [customer.version for customer in hub.customers()] == versions, "nothing has happened"
    hub.apply(proposed)
    hub.round()
    done = {
        (f"{name}/people", command.key, f"{part}={value}")
        for name, system in hub.systems.items()
        for command in system.writes[before[name] :]
        for part, value in command.after.items()
        if command.before.get(part) != value
    }
    assert done == planned


def test_rule_21_apply_stops_at_a_fuse_before_anything_has_changed(world: MakeWorld) -> None:
    hub = _many(world)
    hub.set_fuses(writes=0.5)
    proposed = hub.proposed(erp=OTHER_PHONE)
    with pytest.raises(FuseBlown, match="7 writes of 7 in shop/people; allowed: 3"):
        hub.apply(proposed)
    assert hub.hub.hash != proposed.hash
    assert hub.round() == 0
    assert hub.task(TaskKind.FUSE).payload["run"] == "apply"
    assert hub.approve_run() == [f"apply {proposed.hash}"]
    hub.apply(proposed)
    hub.round()
    assert hub.shop["s1"]["phone"] == "m1", "what was approved is not stopped once more"
