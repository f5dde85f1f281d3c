"""Which kind of connector serves a manifest. Kinds are imported when they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from pydantic import ConfigDict, field_validator

from connectors.contract import Sink
from connectors.runtime import manifest as shared
from connectors.runtime.budget import Budget
from connectors.runtime.connection import Connection
from connectors.runtime.http import Clock
from connectors.runtime.manifest import Manifest, ReadBeside
from connectors.yamlfile import (
    ConfigurationMistakes,
    Location,
    Mistake,
    Origin,
    Tree,
    did_you_mean,
    mistake,
    read_tree,
)

KINDS: Mapping[str, tuple[str, str]] = {
    "rest": ("connectors.rest", "RestManifest"),
    "soap": ("connectors.soap", "SoapManifest"),
    "files": ("connectors.files", "FilesManifest"),
}
"""Kind: its package, which has ``open``, and the model of its manifests."""

SHIPPED = Path(__file__).parent / "systems"
"""The manifests that ship with Concord, one file per system."""


class System(Sink, Protocol):
    """An opened system. Close it to give its connections back."""

    def close(self) -> None: ...


class _OfNoKind(Manifest):
    """What can be said about a manifest whose kind is not known."""

    model_config = ConfigDict(extra="ignore")

    @field_validator("kind")
    @classmethod
    def _is_known(cls, kind: str) -> str:
        raise mistake(repr(kind), ", ".join(KINDS), did_you_mean(kind, KINDS))


def load_manifest(source: Path | str, params: Mapping[str, Any] | None = None) -> Manifest:
    """A manifest of any kind (a ``Path`` to it, or its text), with the deployment's params filled in.

    Raises ``ConfigurationMistakes`` with every mistake.
    """
    found, _, mistakes = check_manifest(read_tree(source), params or {})
    if found is None:
        raise ConfigurationMistakes(mistakes)
    return found


def check_manifest(
    tree: Tree,
    params: Mapping[str, Any],
    asked: tuple[Origin, Location] | None = None,
    read: ReadBeside | None = None,
) -> tuple[Manifest | None, dict[str, Any], list[Mistake]]:
    """As ``connectors.runtime.manifest.check_manifest``, by the model of the manifest's kind.

    Without ``read``, what belongs to a manifest is looked for beside its file, then among what ships.
    """
    kind = tree.data.get("kind") if isinstance(tree.data, dict) else None
    model = manifest_model(kind) if isinstance(kind, str) and kind in KINDS else _OfNoKind
    return shared.check_manifest(tree, params, model, asked, read or _beside(tree.origin.file))


def _beside(file: str) -> ReadBeside:
    def read(name: str) -> str | None:
        places = (Path(file).parent / name, SHIPPED / name)
        found = next((place for place in places if place.is_file()), None)
        return None if found is None else found.read_text(encoding="utf-8")

    return read


def manifest_model(kind: str) -> type[Manifest]:
    """The model of one kind's manifests."""
    package, model = KINDS[kind]
    found: type[Manifest] = getattr(import_module(package), model)
    return found


def manifest_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of one kind's manifests, for editors."""
    return manifest_model(kind).model_json_schema()


def open_system(
    manifest: Manifest, connection: Connection, clock: Clock, *, budget: Budget | None = None
) -> System:
    """The system that the manifest describes, at the place that the connection names."""
    package, _ = KINDS[manifest.kind]
    system: System = import_module(package).open(manifest, connection, clock=clock, budget=budget)
    return system
