"""The entity catalogue: what the rules, the hot path and the edges know of a canonical record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from connectors.yamlfile import load_model, read_tree
from crm_master.deployment.sense import wrong_rules
from crm_master.domain.entities import EntitySpec
from crm_master.domain.fields import Cardinality
from crm_master.settings import PolicySettings
from mappings import (
    SHIPPED,
    ConfigurationMistakes,
    checker,
    entity_spec,
    load_entity,
    record_schema,
    schemas,
)

ENTITIES = sorted((SHIPPED / "entities").glob("*.yaml"))
CUSTOMER = load_entity(SHIPPED / "entities" / "customer.yaml")


def test_the_shipped_customer_tells_the_rules_what_they_need():
    spec = entity_spec(CUSTOMER)
    assert isinstance(spec, EntitySpec)
    assert spec.name == "customer"
    assert spec.fields["name"].cardinality is Cardinality.ONE
    assert spec.fields["address"].cardinality is Cardinality.GROUP
    assert spec.fields["address"].members == (
        "street",
        "postal_code",
        "city",
        "region",
        "country",
    )
    assert spec.fields["other_emails"].cardinality is Cardinality.MANY
    assert spec.fields["other_addresses"].cardinality is Cardinality.MANY
    assert spec.fields["consent_email"].observed == ("at",)
    assert spec.fields["consent_email"].own == ("basis",)
    assert spec.fields["email"].personal
    assert not spec.fields["lifecycle"].personal


GOOD: list[dict[str, Any]] = [
    {},
    {"kind": "person", "name": "Ann Peeters", "email": "ann@example.com"},
    {"address": {"city": "Gent"}},
    {"other_emails": {"a@example.com": "a@example.com"}, "other_phones": {}},
    {"other_addresses": {"city=gent": {"city": "Gent", "country": "BE"}}},
    {"consent_email": {"status": "granted", "at": "2026-01-31T12:00:00Z"}},
    {"birth_date": "1980-02-29", "language": "nl"},
]
BAD: list[dict[str, Any]] = [
    {"nmae": "x"},
    {"kind": "robot"},
    {"name": ""},
    {"name": None},
    {"name": "x" * 251},
    {"name": 7},
    {"address": {}},
    {"address": {"citty": "Gent"}},
    {"address": "Gent"},
    {"address": {"country": "Belgium"}},
    {"other_emails": ["a@example.com"]},
    {"other_addresses": {"x": {}}},
    {"consent_email": {"status": "granted", "at": "yesterday"}},
    {"birth_date": "31/01/1980"},
    {"language": "nl_BE"},
    {"language": "nl\n"},
]


@pytest.mark.parametrize("record", GOOD)
def test_a_canonical_record_passes_the_fast_check_and_the_published_schema(record: Any):
    assert checker(CUSTOMER)(record) == []
    assert Draft202012Validator(record_schema(CUSTOMER)).is_valid(record)


@pytest.mark.parametrize("record", BAD)
def test_what_is_not_canonical_fails_both_and_is_not_quoted(record: Any):
    (problem,) = checker(CUSTOMER)(record)
    assert problem.startswith(next(iter(record)))
    assert "yesterday" not in problem
    assert not Draft202012Validator(record_schema(CUSTOMER)).is_valid(record)


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["BE", "nl", "granted", "", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["city", "country", "status", "k"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from([*CUSTOMER.fields, "nope"]), ANY, max_size=3))
def test_the_fast_check_and_the_published_schema_never_disagree(record: dict[str, Any]):
    validator = Draft202012Validator(record_schema(CUSTOMER))
    assert (checker(CUSTOMER)(record) == []) == validator.is_valid(record)


def test_users_extend_the_catalogue_in_a_file_of_their_own():
    entity = load_entity(
        "entity: customer\nfields:\n  name: text\n  credit_limit: {type: decimal, personal: false}\n"
        "  score: integer\n  vip: boolean\n"
    )
    check = checker(entity)
    assert check({"credit_limit": "12.5", "score": 3, "vip": True}) == []
    assert len(check({"credit_limit": "12.50", "score": True, "vip": 1})) == 3


def test_all_mistakes_of_a_catalogue_are_reported_at_once():
    text = """\
entity: customer
fields:
  name: {type: txt}
  kind: {type: enum}
  address: {type: group}
  Email: email
  phone: {type: phone, max: 3}
  at: {type: text, default: observed}
  size: {type: integer, members: {a: text}}
"""
    with pytest.raises(ConfigurationMistakes) as caught:
        load_entity(text)
    assert [mistake.line for mistake in caught.value.mistakes] == [3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("kind", ["entity", "mapping"])
def test_the_schema_of_each_file_kind_is_published(kind: str):
    Draft202012Validator.check_schema(schemas()[kind])


@pytest.mark.parametrize("path", ENTITIES, ids=lambda path: path.stem)
def test_every_entity_that_ships_is_right_and_has_policies(path: Path):
    Draft202012Validator(schemas()["entity"]).validate(read_tree(path).data)
    entity = load_entity(path)
    assert entity.entity == path.stem
    assert checker(entity)({}) == []
    Draft202012Validator.check_schema(record_schema(entity))
    policies = SHIPPED / "policies" / path.name
    assert policies.is_file(), f"write {policies.relative_to(SHIPPED.parent)}"
    settings = load_model(policies, PolicySettings)
    assert settings.entity == path.stem
    keyed = {name for key in settings.match.keys.values() for name in key.fields}
    assert {*settings.fields, *keyed} <= entity.fields.keys()
    assert [*wrong_rules(settings, entity)] == []


def test_the_published_schema_knows_the_codecs():
    mapping = Draft202012Validator(schemas()["mapping"])
    good = {
        "entity": "customer",
        "fields": {
            "name": "name",
            "phone": {"at": "p", "as": {"phone": {"region": "BE"}}},
            "lifecycle": {"at": "a", "as": {"enum": {"active": True, "inactive": [False, "x"]}}},
        },
    }
    mapping.validate(good)
    wrongs: list[Any] = ["fone", {"phone": {"regoin": "BE"}}, {"phone": {}, "text": {}}]
    for wrong in wrongs:
        line = {"at": "p", "as": wrong}
        assert not mapping.is_valid({"entity": "customer", "fields": {"phone": line}})
