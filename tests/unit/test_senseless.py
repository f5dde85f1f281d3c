"""Files that are right each by itself, and never work together: each is a mistake with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

import mappings
from connectors.registry import SHIPPED
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
ORDERS = (Path(mappings.__file__).parent / "entities" / "order.yaml").read_text(encoding="utf-8")


def _policy(**fields: Any) -> dict[str, str]:
    policy = {"entity": "customer", "fields": fields, "match": MATCH}
    return {"policies/customer.yaml": yaml.safe_dump(policy, sort_keys=False)}


def _sales(reference: str) -> dict[str, str]:
    return {"mappings/tryton/sales.yaml": SALES.replace("stream: parties", reference)}


def _restrictive(**more: Any) -> dict[str, Any]:
    return {"rule": "most_restrictive", "order": ["denied", "granted"], **more}


def _hub(of: str, **stream: Any) -> dict[str, str]:
    hub = yaml.safe_load(HUB)
    system, name = of.split("/")
    hub["systems"][system]["streams"][name] = stream
    return {"hub.yaml": yaml.safe_dump(hub, sort_keys=False)}


def _without(of: str) -> dict[str, str]:
    hub = yaml.safe_load(HUB)
    system, name = of.split("/")
    del hub["systems"][system]["streams"][name]
    return {"hub.yaml": yaml.safe_dump(hub, sort_keys=False)}


def _created(**when: Any) -> dict[str, str]:
    return _hub(
        "erp/parties", create={"when": {name.replace("__", "."): of for name, of in when.items()}}
    )


def _process(
    raises: dict[str, Any] | None = None, facts: Any = None, **when: Any
) -> dict[str, str]:
    hub = yaml.safe_load(HUB)
    said = {"customer": "itself" if facts else "customer", **(raises or {})}
    raised = {"entity": "interaction", "fields": said, "open": {}, "closed": {}}
    process = {"of": "order", "when": when, "raises": raised}
    if facts:
        process |= {"of": "customer", "facts": facts}
    hub["processes"] = {"late": process}
    return {"hub.yaml": yaml.safe_dump(hub, sort_keys=False)}


def _line(line: str) -> dict[str, str]:
    return {
        "mappings/tryton/parties.yaml": f"entity: customer\nfields:\n  {line}\n  email: email\n"
    }


def _manifest(types: Any = None, **more: Any) -> dict[str, str]:
    manifest = yaml.safe_load((SHIPPED / "tryton.yaml").read_text(encoding="utf-8")) | more
    if types:
        del manifest["dialect"]
        for stream in manifest["streams"].values():
            stream.pop("types", None)
        manifest["streams"]["parties"]["types"] = types
    return {
        "systems/tryton.yaml": yaml.safe_dump(manifest, sort_keys=False, default_flow_style=True)
    }


def test_what_makes_sense_is_no_mistake():
    rows = {"lifecycle": _restrictive(order=["lost", "lead"]), "name": "manual"}
    owned = {"rule": "owner", "owner": "erp"}
    ranked = {"rule": "source_priority", "order": ["erp"]}
    whom = {
        "email": "present",
        "lifecycle": ["lead", "lost"],
        "address__country": "BE",
        "other_emails": "present",
    }
    volume = {"order": {"above": 5, "sum": "total", "by": "ordered_at", "within": "9d"}}
    for files in (
        {},
        _policy(**rows, language=owned, email=ranked),
        _sales("system: calls, stream: customers"),
        _created(**whom),
        _process(
            status=["placed"], promised_at={"past": "1d"}, total={"above": 1}, lines="present"
        ),
        _process({"number": "late-{number}", "kind": "service_request"}),
        _process(facts=volume),
        _line("name: {at: name, max: 9, clear: ignore, when_absent: keep}"),
        _manifest(types={"changed": "text"}, limits={"per_second": 9, "burst": 5}),
    ):
        compiled({"hub.yaml": HUB, **files})
    compiled({"hub.yaml": HUB, "entities/product.yaml": ENTITY})
    catalogue = ORDERS.replace("to: customer", "to: customer, optional: true")
    compiled({**_without("erp/parties"), "entities/order.yaml": catalogue})


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
    "a reference to a stream that is not used": (
        _without("erp/parties"), "mappings/tryton/sales.yaml:7",
        "erp/parties, which hub.yaml does not use: nothing is ever known there", "erp/sales, erp/products",
    ),
    "an order that nobody hears": (
        _policy(phone={"rule": "owner", "order": ["calls"], "owner": "erp"}),
        "policies/customer.yaml:5", "order under the rule owner, which does not look at it",
        "order under source_priority or most_restrictive",
    ),
    "an owner that nobody hears": (
        _policy(phone={"rule": "manual", "owner": "erp"}),
        "policies/customer.yaml:5", "owner under the rule manual, which does not look at it", "owner under owner",
    ),
    "a member that nobody hears": (
        _policy(consent_email={"rule": "most_recent", "member": "status"}),
        "policies/customer.yaml:5", "member under the rule most_recent, which does not look at it",
        "member under most_restrictive",
    ),
    "a policy of another entity": (
        {"policies/customer.yaml": yaml.safe_dump({"entity": "order", "match": MATCH}, sort_keys=False)},
        "policies/customer.yaml:1", "the entity 'order'", "customer, as its file is named",
    ),
    "a create where nothing is written": (
        _hub("erp/parties", direction="read", create="everybody"),
        "hub.yaml:14", "create on a stream that is only read", "with direction both or write",
    ),
    "a create that the manifest does not know": (
        _hub("erp/products", create="everybody"), "hub.yaml:15",
        "create, and the manifest of erp does not say how products are made", "a stream with steps that create",
    ),
    "a create on a value that there is not": (
        _created(lifecycle=["leed"]), "hub.yaml:15", "'leed'", "Did you mean 'lead'?",
    ),
    "a create on a member that there is not": (
        _created(address__cuntry="BE"), "hub.yaml:15", "no member 'cuntry' in address", "Did you mean 'country'?",
    ),
    "a create on any member that there is not": (
        _created(address__cuntry="present"), "hub.yaml:15", "no member 'cuntry' in address", "street, ",
    ),
    "a create on a list": (
        _created(other_emails="vip"), "hub.yaml:15", "values of a list field", "present",
    ),
    "a create on a group": (
        _created(address="BE"), "hub.yaml:15", "values of a group", "present, or one of its members: address.MEMBER",
    ),
    "a condition that says nothing": (
        _process(status={}), "hub.yaml:25", "a condition that says nothing", "any of present, values, past, above",
    ),
    "a condition on a value that there is not": (
        _process(status=["plaecd"]), "hub.yaml:25", "'plaecd'", "Did you mean 'placed'?",
    ),
    "a condition on a number that is kept as text": (
        _process(total=[12]), "hub.yaml:25", "12", "a decimal number as text, such as 12.5",
    ),
    "the age of what is no time": (
        _process(status={"past": "1d"}), "hub.yaml:26", "past of 'status', which is of type enum",
        "a field of type date or datetime",
    ),
    "the size of what is no number": (
        _process(status={"above": 1}), "hub.yaml:26", "above of 'status', which is of type enum",
        "a field of type decimal or integer",
    ),
    "a sum of what are no numbers": (
        _process(facts={"order": {"above": 1, "sum": "status"}}), "hub.yaml:34",
        "sum of 'status', which is of type enum", "a field of type decimal or integer",
    ),
    "a text that names no field": (
        _process({"subject": "Order {nmber} is late"}), "hub.yaml:29",
        "{nmber}, which is no single field of order", "Did you mean 'number'?",
    ),
    "a text that is no value": (
        _process({"kind": "service"}), "hub.yaml:29", "'service'", "service_request",
    ),
    "an emptied field of a line that is only written": (
        _line("name: {at: name, direction: write, clear: ignore}"), "mappings/tryton/parties.yaml:3",
        "clear on a line that is only written", "clear on one that is read",
    ),
    "the longest text of a line that is only read": (
        _line("name: {at: name, direction: read, max: 9}"), "mappings/tryton/parties.yaml:3",
        "max on a line that is only read", "max on one that is written",
    ),
    "a type without a dialect": (
        _manifest(types={"changed": "datetime"}), "systems/tryton.yaml:56", "datetime without a dialect", "boolean, text",
    ),
    "a value of credentials that have none": (
        _manifest(auth={"kind": "basic", "value": "{password}"}), "systems/tryton.yaml:19",
        "value with kind basic", "value with kind bearer, header or session",
    ),
    "a burst of no rate": (
        _manifest(limits={"burst": 5}), "systems/tryton.yaml:113", "burst without per_second", "burst with per_second",
    ),
    "a rate header alone": (
        _manifest(limits={"headers": {"reset": "X-Reset"}}), "systems/tryton.yaml:113",
        "reset without remaining", "both, or neither",
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
