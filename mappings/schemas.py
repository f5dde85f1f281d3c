"""The published JSON Schemas of the files that users write, for editors and for checks outside."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from mappings.codecs import CODECS
from mappings.codecs.choice import Enum
from mappings.spec import EntityFile, MappingSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALAR = {"type": ["string", "number", "boolean"]}


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema (draft 2020-12) of each kind of file: ``entity`` and ``mapping``."""
    return {"entity": schema_of(EntityFile), "mapping": _with_codecs(schema_of(MappingSpec))}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of one kind of file. YAML keys are the names that users write."""
    return {"$schema": DIALECT, **model.model_json_schema(by_alias=True)}


def _with_codecs(schema: dict[str, Any]) -> dict[str, Any]:
    """Spell out what ``as`` takes: a codec's name, or its name with its options."""
    defs = schema["$defs"]
    options: dict[str, Any] = {}
    for name, codec in sorted(CODECS.items()):
        one = codec.options_model.model_json_schema(by_alias=True)
        defs.update(one.pop("$defs", {}))
        one["description"] = codec.doc
        options[name] = one
    options[Enum.name] = {
        "description": Enum.doc,
        "anyOf": [
            options[Enum.name],
            {
                "type": "object",
                "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]},
            },
        ],
    }
    defs["As"] = {
        "description": "The codec of the value, with its options if it has any.",
        "anyOf": [
            {"enum": sorted(CODECS)},
            {
                "type": "object",
                "properties": options,
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ],
    }
    for definition in defs.values():
        properties = definition.get("properties", {})
        if "as" in properties and "at" in properties:
            properties["as"] = {"$ref": "#/$defs/As"}
    return schema
