"""Identity: one person who becomes two (HARD_PARTS 2: 14, 25)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from connectors.testing import Profile
from tests.defects.conftest import MakeHub

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("keys", ["own", "email"])
def test_defect_14_a_changed_address_makes_no_second_contact(hub: MakeHub, keys: Any) -> None:
    """Also where the address is the key: then the hub moves the contact to its new one."""
    made = hub(crm=Profile(keys=keys))
    key = made.shop.add(name="Ada", email="ada@example.org", city="Ghent")
    made.sync()
    made.sync()
    made.shop.edit(key, email="ada@new.example.org")
    for _ in range(3):
        made.sync()

    assert [record["email"] for record in made.crm.records.values()] == ["ada@new.example.org"]
    assert (made.crm.creates, len(made.shop.records), made.customers()) == (1, 1, 1)
    made.crm.edit(made.key_of("crm", name="Ada"), city="Bruges")
    made.sync()
    assert made.shop.field(key, "city") == "Bruges", "and it is the same contact still"
    assert made.tasks() == []


def test_defect_14_an_address_that_a_person_changed_in_the_target_makes_none_either(
    hub: MakeHub,
) -> None:
    made = hub()
    key = made.shop.add(name="Ada", email="ada@example.org")
    made.sync()
    made.sync()
    made.crm.edit("1", email="ada@new.example.org")
    for _ in range(3):
        made.sync()
    assert made.shop.field(key, "email") == "ada@new.example.org"
    assert (made.shop.creates, made.crm.creates, made.customers()) == (0, 1, 1)


def test_defect_14_where_the_address_is_the_key_further_keys_tell_who_it_is(hub: MakeHub) -> None:
    """A contact whose address a person changes is another record by its key; name and phone say that it is Ada."""

    def by_phone_too(files: dict[str, str]) -> None:
        policy = yaml.safe_load(files["policies/customer.yaml"])
        policy["match"]["keys"] |= {"phone": ["phone"], "name": ["name"]}
        policy["match"]["same"].append(["phone", "name"])
        files["policies/customer.yaml"] = yaml.safe_dump(policy, sort_keys=False)

    made = hub(crm=Profile(keys="email"), edit=by_phone_too)
    made.shop.add(name="Ada", email="ada@example.org", phone="02 555 01 01")
    made.sync()
    made.sync()
    made.crm.edit("ada@example.org", email="ada@new.example.org")
    for _ in range(3):
        made.sync()

    assert (made.shop.creates, made.crm.creates, made.customers()) == (0, 1, 1)
    assert list(made.crm.records) == ["ada@new.example.org"]
    assert len(made.shop.records) == 1


def test_defect_25_who_is_in_both_systems_at_first_sync_stays_one_in_each(hub: MakeHub) -> None:
    made = hub()
    for n in range(20):
        made.shop.add(name=f"Person {n}", email=f"P{n}@Example.org", phone=f"02 555 01 {n:02}")
    for n in reversed(range(20)):
        made.crm.add(name=f" person  {n}", email=f"p{n}@example.org ", city="Ghent")
    for _ in range(3):
        made.sync()
    for system in made.systems.values():
        assert (system.creates, len(system.records), system.duplicates()) == (0, 20, [])
    assert made.customers() == 20
    assert {record["city"] for record in made.shop.records.values()} == {"Ghent"}


def test_defect_25_who_is_twice_in_one_system_is_a_question_and_no_third(hub: MakeHub) -> None:
    made = hub()
    for name in ("Ada", "Ada L."):
        made.shop.add(name=name, email="ada@example.org")
    made.crm.add(name="Ada", email="ada@example.org")
    for _ in range(3):
        made.sync()
    assert [len(system.records) for system in made.systems.values()] == [2, 1]
    assert [task["kind"] for task in made.tasks()] == ["match"]
