"""Which kind of connector serves a manifest. Kinds are imported when they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from connectors.contract import Sink
from connectors.runtime.budget import Budget
from connectors.runtime.connection import Connection
from connectors.runtime.http import Clock
from connectors.runtime.loader import ManifestError, Problem, parse
from connectors.runtime.manifest import Manifest
from connectors.runtime.manifest import load_manifest as _load

KINDS: Mapping[str, tuple[str, str]] = {"rest": ("connectors.rest", "RestManifest")}
"""Kind: its package, which has ``open``, and the model of its manifests."""

SHIPPED = Path(__file__).parent / "systems"
"""The manifests that ship with Concord, one file per system."""


class System(Sink, Protocol):
    """An opened system. Close it to give its connections back."""

    def close(self) -> None: ...


def load_manifest(text_or_path: str | Path, params: Mapping[str, Any] | None = None) -> Manifest:
    """A manifest of any kind, with the deployment's params filled in.

    Raises ``ManifestError``, which lists every mistake with its path and line.
    """
    name, tree, lines, _ = parse(text_or_path)
    kind = tree.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        text = f"must be one of {', '.join(KINDS)}"
        raise ManifestError(name, [Problem("kind", lines.get(("kind",), 1), text)])
    return _load(text_or_path, params or {}, manifest_model(kind))


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
