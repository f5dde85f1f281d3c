"""Options of mappings and manifests that stand where nothing looks at them.

What was applied once is not looked at: it is in force, whatever this release would say of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from connectors.runtime.manifest import HttpManifest, Manifest
from connectors.yamlfile import ConfigurationMistakes, Mistake
from mappings.spec import EachLine, MappingSpec, load_mapping

_LEAVE_OUT = "Leave it out."


def unheard(manifests: Iterable[Manifest], files: Mapping[str, str]) -> Iterator[Mistake]:
    """A mistake for each such option of these manifests, and of the mappings among these files."""
    for name, text in files.items():
        if name.startswith("mappings/"):
            with suppress(ConfigurationMistakes):  # told where it is compiled
                yield from _of_mapping(load_mapping(text, name=name))
    for manifest in manifests:
        yield from _of_types(manifest)
        if isinstance(manifest, HttpManifest):
            yield from _of_http(manifest)


def _of_mapping(spec: MappingSpec) -> Iterator[Mistake]:
    for name in spec.fields:
        line = spec.line(name)
        here = ("fields", name)
        if not line.reads:
            for key in ("clear", "when_absent"):
                if getattr(line, key) is not None:
                    found, allowed = (
                        f"{key} on a line that is only written",
                        f"{key} on one that is read",
                    )
                    yield spec.origin.mistake((*here, key), found, allowed, _LEAVE_OUT)
        if not line.writes:
            members = [(("each", member), of) for member, of in line.each.items()]
            for path, part in (((), line), *members):
                if isinstance(part, EachLine) and part.max is not None:
                    found, allowed = "max on a line that is only read", "max on one that is written"
                    yield spec.origin.mistake((*here, *path, "max"), found, allowed, _LEAVE_OUT)


def _of_types(manifest: Manifest) -> Iterator[Mistake]:
    if getattr(manifest, "dialect", "plain") != "plain":
        return
    for stream, declared in getattr(manifest, "streams", {}).items():
        for path, kind in getattr(declared, "types", {}).items():
            if kind not in ("boolean", "text"):
                here, found = ("streams", stream, "types", path), f"{kind} without a dialect"
                do = "Leave it out: the mapping's codecs read times and amounts."
                yield manifest.origin.mistake(here, found, "boolean, text", do)


def _of_http(manifest: HttpManifest) -> Iterator[Mistake]:
    auth, limits = manifest.auth, manifest.limits
    if auth.kind in ("none", "basic"):
        for key in sorted({"header", "value"} & auth.model_fields_set):
            allowed = f"{key} with kind bearer, header or session"
            found = f"{key} with kind {auth.kind}"
            yield manifest.origin.mistake(("auth", key), found, allowed, _LEAVE_OUT)
    if "burst" in limits.model_fields_set and limits.per_second is None:
        here, allowed = ("limits", "burst"), "burst with per_second"
        yield manifest.origin.mistake(here, "burst without per_second", allowed, _LEAVE_OUT)
    named = limits.headers
    if (named.remaining is None) != (named.reset is None):
        found = "remaining without reset" if named.reset is None else "reset without remaining"
        yield manifest.origin.mistake(("limits", "headers"), found, "both, or neither")
