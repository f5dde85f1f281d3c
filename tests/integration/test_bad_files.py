"""Mistakes in the files of a deployment: all at once, each with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.runtime.connection import Connection
from connectors.yamlfile import ConfigurationMistakes
from crm_master import entrypoints
from tests.integration.spoiling import World

pytestmark = pytest.mark.integration

TEN_MISTAKES = """\
entity: customer
fields:
  nmae: name
  email: {at: email, as: emial}
  phone: {at: phone, as: {phone: {region: Belgium}}}
  lifecycle: {at: status, as: {enum: {aktiv: A}}}
  address.street: street[
  address.planet: planet
  tax_id: {at: vat, as: tax_id, clear: never}
  language: {at: lang, as: language, direction: sideways}
  owner: {at: owner, when_absent: shrug}
  website: {at: site, as: text, colour: blue}
"""


def _mistakes(world: World) -> list[str]:
    with pytest.raises(ConfigurationMistakes) as found:
        entrypoints.open_app(world.home, lambda _: world.shop.connection, {})
    return [f"{m.file}:{m.line} {m.path} {m.found}" for m in found.value.mistakes]


def test_ten_mistakes_of_a_mapping_are_reported_at_once_each_with_its_line(world: World) -> None:
    (world.home / "mappings/shop/customers.yaml").write_text(TEN_MISTAKES, encoding="utf-8")
    lines = {line.split()[0] for line in _mistakes(world)}
    assert lines == {f"mappings/shop/customers.yaml:{number}" for number in range(3, 13)}


def _edit(world: World, name: str, change: Callable[[str], str]) -> None:
    path = world.home / name
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def test_mistakes_of_several_files_are_reported_together(world: World) -> None:
    _edit(world, "hub.yaml", lambda text: text.replace("customers: {}", "custmers: {}", 1))
    _edit(world, "mappings/desk/customers.yaml", lambda text: text.replace("name:", "nmae:", 1))
    _edit(world, "policies/customer.yaml", lambda text: text + "failures_allowed: often\n")
    found = "\n".join(_mistakes(world))
    for place in ("hub.yaml:", "mappings/desk/customers.yaml:", "policies/customer.yaml:"):
        assert place in found


def test_several_mistakes_of_hub_yaml_are_reported_together(world: World) -> None:
    text = """\
name: Test
rank: [shop, shop]
colour: blue
systems:
  shop: {system: shop, connection: shop, join: maybe, streams: {customers: {direction: up}}}
  desk: {connection: desk, streams: {}}
"""
    (world.home / "hub.yaml").write_text(text, encoding="utf-8")
    found = _mistakes(world)
    lines = sorted({line.split()[0] for line in found})
    assert lines == [f"hub.yaml:{number}" for number in (1, 2, 3, 5, 6)]
    assert len(found) >= 7


def test_mistakes_of_hub_yaml_do_not_hide_those_of_other_files(world: World) -> None:
    _edit(world, "hub.yaml", lambda text: text + "colour: blue\n")
    _edit(world, "mappings/desk/customers.yaml", lambda text: text.replace("name:", "nmae:", 1))
    found = "\n".join(_mistakes(world))
    assert "hub.yaml:" in found
    assert "mappings/desk/customers.yaml:" in found


def test_mistakes_of_a_manifest_are_like_others_and_hide_none(world: World) -> None:
    """The params that hub.yaml gives are looked at where it gives them."""
    _edit(world, "systems/shop.yaml", lambda text: text.replace('"title"', '"titel"'))
    _edit(world, "systems/shop.yaml", lambda text: text.replace("${size}", "${sise}"))
    _edit(world, "hub.yaml", lambda text: text.replace("size: 2", "seize: 2", 1))
    _edit(world, "mappings/shop/customers.yaml", lambda text: text.replace("name:", "nmae:", 1))
    _edit(world, "policies/customer.yaml", lambda text: text + "failures_allowed: often\n")
    with pytest.raises(ConfigurationMistakes) as found:
        entrypoints.open_app(world.home, lambda _: world.shop.connection, {})
    places = {(m.file, m.path): m for m in found.value.mistakes}
    assert places.keys() == {
        ("hub.yaml", "systems.shop.params.seize"),
        ("mappings/shop/customers.yaml", "fields.nmae"),
        ("policies/customer.yaml", "failures_allowed"),
        ("systems/shop.yaml", "streams.customers.read.paging.size"),
        ("systems/shop.yaml", "titel"),
        ("systems/shop.yaml", "title"),
    }
    wrong = places["systems/shop.yaml", "titel"]
    assert (wrong.found, wrong.do) == ("unknown key 'titel'", "Did you mean 'title'?")
    assert wrong.line == 5
    assert places["hub.yaml", "systems.shop.params.seize"].do == "Did you mean 'size'?"


@pytest.mark.parametrize("name", ["systems/shop.yaml", "mappings/shop/customers.yaml"])
def test_a_key_given_twice_is_told_in_one_way(name: str, world: World) -> None:
    (world.home / name).write_text("entity: customer\nentity: customer\n", encoding="utf-8")
    (line,) = _mistakes(world)
    assert line == f"{name}:2 entity the key 'entity' again (first in line 1)"


def test_a_mapping_for_an_unknown_entity_names_the_file_to_write(world: World) -> None:
    _edit(
        world,
        "mappings/shop/customers.yaml",
        lambda text: text.replace("entity: customer", "entity: planet"),
    )
    (line,) = [line for line in _mistakes(world) if "planet" in line]
    assert line.startswith("entities/planet.yaml:1")


def test_a_file_that_is_no_text_is_a_mistake_like_others(world: World) -> None:
    (world.home / "mappings/shop/customers.yaml").write_bytes(b"entity: customer\nfields: \xff\xfe")
    (line,) = _mistakes(world)
    assert line.startswith("mappings/shop/customers.yaml:")


def test_a_missing_hub_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationMistakes, match="concord init"):
        entrypoints.open_app(tmp_path, lambda _: Connection("http://localhost"), {})
