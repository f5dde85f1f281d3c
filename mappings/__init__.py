"""Mappings: what the fields of each system's documents mean, declared in YAML, compiled to functions."""

from __future__ import annotations

from pathlib import Path

from connectors.yamlfile import ConfigurationMistakes, Mistake, load_model
from mappings.compiler import CompiledMapping, compile_file, compile_mapping
from mappings.schemas import schemas
from mappings.spec import EntityFile, MappingSpec, load_entity, load_mapping
from mappings.values import checker, entity_spec, record_schema

SHIPPED = Path(__file__).parent
"""The folder of the entities and mappings that come with the hub."""

__all__ = [
    "SHIPPED",
    "CompiledMapping",
    "ConfigurationMistakes",
    "EntityFile",
    "MappingSpec",
    "Mistake",
    "checker",
    "compile_file",
    "compile_mapping",
    "entity_spec",
    "load_entity",
    "load_mapping",
    "load_model",
    "record_schema",
    "schemas",
]
