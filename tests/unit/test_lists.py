"""Lists that are kept by hand say the same as the code that they are about."""

from __future__ import annotations

import tomllib

import pytest

from connectors.registry import KINDS
from crm_master.domain import survivorship
from crm_master.domain.survivorship import Rule
from tests.docs.pages import ROOT

CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
}


@pytest.mark.parametrize(
    "contract", ["pure-core", "pure-mappings", "engine-without-io", "runtime-without-kinds"]
)
def test_no_kind_of_connector_is_forgotten_where_all_are_forbidden(contract: str):
    missing = {package for package, _ in KINDS.values()} - set(
        CONTRACTS[contract]["forbidden_modules"]
    )
    assert not missing, f"add {sorted(missing)} to the contract {contract!r} in pyproject.toml"


def test_the_kinds_that_are_kept_apart_are_all_there_are():
    assert {package for package, _ in KINDS.values()} == set(CONTRACTS["kinds-apart"]["modules"])


@pytest.mark.parametrize("rule", Rule)
def test_every_rule_decides_and_is_documented(rule: Rule):
    decides = rule in survivorship._DECIDERS
    assert decides == (rule is not Rule.UNION), f"give {rule.name} a function in _DECIDERS"
    page = (ROOT / "docs" / "configure.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| `rule` |"))
    assert f"`{rule.value}`" in row, f"name {rule.value} in the row of `rule` in docs/configure.md"
