"""What ships fits together: every manifest loads, and every mapping compiles against its entity."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors import registry
from connectors.registry import check_manifest
from connectors.yamlfile import read_tree
from crm_master.deployment.unheard import unheard
from mappings import SHIPPED, compile_file, load_entity, load_mapping
from mappings.plan import SYSTEM_PARAM

MANIFESTS = sorted(registry.SHIPPED.glob("*.yaml"))
MAPPINGS = sorted(
    path for path in SHIPPED.glob("*/*.yaml") if path.parent.name not in ("entities", "policies")
)


def _loaded(manifest: Path):
    """A manifest that ships, each of its required params being a number of its own, with the values of its params."""
    tree = read_tree(manifest)
    required = [name for name, param in tree.mapping("params").items() if param.get("required")]
    found, params, mistakes = check_manifest(
        tree, {name: place for place, name in enumerate(required)}
    )
    assert found is not None, "\n".join(map(str, mistakes))
    return found, params


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_every_stream_of_a_manifest_that_ships_has_a_mapping(path: Path):
    manifest, _ = _loaded(path)
    assert manifest.system == path.stem
    written = {mapping.stem for mapping in MAPPINGS if mapping.parent.name == path.stem}
    assert written == set(manifest.streams)


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_mapping_that_ships_compiles(path: Path):
    system, stream = path.parent.name, path.stem
    manifest, params = _loaded(registry.SHIPPED / f"{system}.yaml")
    declared = getattr(manifest.streams[stream], "children", {})
    children = {of: child.key for of, child in declared.items() if not child.single}
    entity = load_entity(SHIPPED / "entities" / f"{load_mapping(path).entity}.yaml")
    mapping = compile_file(path, entity, {**params, SYSTEM_PARAM: system}, children=children)
    assert mapping.fields
    text = path.read_text(encoding="utf-8")
    assert list(unheard([manifest], {f"mappings/{system}/{stream}.yaml": text})) == []
