from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mappings import SHIPPED, CompiledMapping, EntityFile, compile_file, load_entity


@pytest.fixture(scope="session")
def customer() -> EntityFile:
    return load_entity(SHIPPED / "entities" / "customer.yaml")


Compile = Callable[..., CompiledMapping]


@pytest.fixture(scope="session")
def mapping(customer: EntityFile) -> Compile:
    """Compiles the field lines of a customer mapping."""

    def compile_lines(lines: str, **params: Any) -> CompiledMapping:
        body = "\n".join(f"  {line}" for line in lines.strip("\n").splitlines())
        return compile_file(f"entity: customer\nfields:\n{body}\n", customer, params)

    return compile_lines
