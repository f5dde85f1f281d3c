"""What becomes of a record: a look through one stream's mapping. Nothing is kept."""

from __future__ import annotations

from typing import Any

import jsonschema

from connectors.contract import Document
from connectors.errors import ConnectorError
from crm_master.bootstrap import App
from crm_master.domain.changes import projection
from crm_master.domain.fields import Presence, Rejected
from crm_master.engine.explain import NotFound, find_customer
from mappings.values import record_schema


def map_preview(app: App, system: str, stream: str, document: Document) -> dict[str, Any]:
    """What a document of a system becomes, and what would be written back of it."""
    plan = app.hub.stream(system, stream)
    mapped = plan.mapping.apply(document, full_payload=plan.full_payload)
    if isinstance(mapped, Rejected):
        return {"rejected": {"path": mapped.path, "reason": mapped.reason}}
    fields: dict[str, Any] = {}
    golden: dict[str, Any] = {}
    for name, reading in sorted(mapped.readings.items()):
        fields[name] = {
            "presence": reading.presence.value,
            "native": reading.native,
            "value": reading.value,
        }
        if reading.reason:
            fields[name]["reason"] = reading.reason
        if reading.presence is Presence.VALUE:
            golden[name] = reading.value
            if name in plan.mapping.writable:
                fields[name]["written_back"] = plan.mapping.encode(name, reading.value)
    schema = record_schema(app.deployment.entities[plan.entity])
    validator = jsonschema.Draft202012Validator(schema)
    wrong = [
        f"{'.'.join(map(str, error.path))}: {error.validator}"
        for error in validator.iter_errors(golden)
    ]
    laws = app.deployment.mappings[system, stream].broken_laws(document)
    return {
        "entity": plan.entity,
        "fields": fields,
        "canonical": golden,
        "written_back": plan.mapping.put({}, projection(golden, plan.mapping)),
        "not_canonical": wrong,
        "broken_laws": [f"{broken.field}: {broken.reason}" for broken in laws],
    }


def map_record(app: App, system: str, stream: str, key: str) -> dict[str, Any]:
    """``map_preview`` of a live record. Raises ``NotFound`` if the system has none of that key."""
    name = app.hub.stream(system, stream).name
    try:
        found = app.connect(system).fetch(stream, [key]).get(key)
    except ConnectorError as error:
        error.add_note(name)
        raise
    if found is None or found.deleted:
        raise NotFound(f"{name} has no record {key!r}")
    return map_preview(app, system, stream, found.document)


def map_customer(app: App, system: str, stream: str, name: str) -> dict[str, Any]:
    """What one system would be sent of a customer, as its own document."""
    plan = app.hub.stream(system, stream)
    with app.store() as uow:
        entity_id = find_customer(name, uow)
        golden = uow.customers.get([entity_id])[entity_id].golden
    natives = projection(golden, plan.mapping)
    return {"customer": entity_id, "canonical": golden, "document": plan.mapping.put({}, natives)}
