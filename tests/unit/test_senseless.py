"""Files that are right each by itself, and never work together: each is a mistake with its place."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import yaml

from connectors.yamlfile import ConfigurationMistakes
from crm_master.deployment import compile_deployment, recorded_files
from crm_master.domain.survivorship import Rule
from tests.hubs import MATCH, compiled

HUB = """\
name: test
rank: [erp, calls]
systems:
  erp:
    {system: tryton, connection: erp, params: {database: d}, streams: {parties: {}, sales: {}, products: {}}}
  calls: {system: callcentre, connection: calls, streams: {customers: {}, calls: {}}}
"""
SALES = """\
entity: order
fields:
  number: reference
  customer: {at: party, as: {reference: {stream: parties, number: true}}}
"""
ENTITY = """\
entity: product
fields:
  sku: text
  name: text
  unit: text
  active: boolean
  maker: {type: reference, to: customer}
"""


def _policy(**fields: Any) -> dict[str, str]:
    policy = {"entity": "customer", "fields": fields, "match": MATCH}
    return {"policies/customer.yaml": yaml.safe_dump(policy, sort_keys=False)}


def _sales(reference: str) -> dict[str, str]:
    return {"mappings/tryton/sales.yaml": SALES.replace("stream: parties", reference)}


def _restrictive(**more: Any) -> dict[str, Any]:
    return {"rule": "most_restrictive", "order": ["denied", "granted"], **more}


def test_what_makes_sense_is_no_mistake():
    rows = {"lifecycle": _restrictive(order=["lost", "lead"]), "name": "manual"}
    for files in ({}, _policy(**rows), _sales("system: calls, stream: customers")):
        compiled({"hub.yaml": HUB, **files})
    compiled({"hub.yaml": HUB, "entities/product.yaml": ENTITY})


SENSELESS: dict[str, tuple[dict[str, str], str, str, str]] = {
    "union of a single value": (
        _policy(phone="union"), "policies/customer.yaml:3", "union on a single value", "most_recent, source"
    ),
    "an owner of a list": (
        _policy(other_emails={"rule": "owner", "owner": "erp"}),
        "policies/customer.yaml:3", "owner on a list field", "union",
    ),
    "a strictness of rows": (
        {"policies/order.yaml": yaml.safe_dump(
            {"entity": "order", "fields": {"lines": _restrictive()},
             "match": {"keys": {"n": ["number"]}, "same": [["n"]]}}, sort_keys=False)},
        "policies/order.yaml:3", "most_restrictive on rows", "most_recent, source_priority, owner, manual",
    ),
    "a strictness of no value": (
        _policy(consent_email=_restrictive(member="status", order=["denied", "grantd"])),
        "policies/customer.yaml:7", "'grantd'", "granted, denied. Did you mean 'granted'?",
    ),
    "a strictness of no member": (
        _policy(consent_email=_restrictive(member="state")),
        "policies/customer.yaml:8", "no member 'state' in consent_email", "status, at, basis",
    ),
    "a strictness of a whole group": (
        _policy(consent_email=_restrictive()),
        "policies/customer.yaml:3", "most_restrictive on a group without a member", "with `member:`, one of status",
    ),
    "a member of no group": (
        _policy(name=_restrictive(member="status")),
        "policies/customer.yaml:8", "no member 'status' in name", "no member: name is no group",
    ),
    "a reference to no stream": (
        _sales("stream: partys"), "mappings/tryton/sales.yaml:4", "no stream 'partys' in erp", "parties",
    ),
    "a reference to no system": (
        _sales("system: shop, stream: parties"),
        "mappings/tryton/sales.yaml:4", "no system 'shop' in hub.yaml", "erp, calls",
    ),
    "a reference to a stream of another entity": (
        _sales("stream: products"),
        "mappings/tryton/sales.yaml:4", "erp/products, whose records are of product", "a stream of customer",
    ),
    "a reference to no entity": (
        {"entities/product.yaml": ENTITY.replace("to: customer", "to: custmer")},
        "entities/product.yaml:7", "no entity 'custmer'", "Did you mean 'customer'?",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "place", "found", "allowed"), SENSELESS.values(), ids=SENSELESS)
def test_what_never_works_is_a_mistake(files: dict[str, str], place: str, found: str, allowed: str):
    with pytest.raises(ConfigurationMistakes) as caught:
        compiled({"hub.yaml": HUB, **files})
    (line,) = map(str, caught.value.mistakes)
    assert line.startswith(f"{place}: ")
    assert f": {found}; allowed: " in line
    assert allowed in line.partition("allowed: ")[2]


def test_what_was_applied_is_in_force_whatever_is_said_of_it_now():
    files = {**compiled({"hub.yaml": HUB}).files, **_policy(other_emails="manual")}
    hub = compile_deployment(recorded_files(orjson.dumps(files).decode())).hub
    assert hub.entities["customer"].policy.of("other_emails").rule is Rule.MANUAL
