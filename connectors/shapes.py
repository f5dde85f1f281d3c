"""What a pydantic model allows at a place: the names for "allowed" and "did you mean"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel


def missing_or_extra(kind: str) -> bool:
    """Whether the last step of such an error's location is a key that the file lacks, or has too many."""
    return kind in ("missing", "extra_forbidden")


def keys_at(model: type[BaseModel], loc: Sequence[str | int]) -> set[str]:
    """The keys that the model(s) at ``loc`` below ``model`` take; steps that are union tags are passed over."""
    here: list[Any] = [model]
    for step in loc:
        below = [kind for parent in here for kind in _below(parent, step)]
        if below:
            here = below
        else:
            here = [kind for kind in here if getattr(kind, "__name__", None) == step] or here
    return {name for kind in here if _is_model(kind) for name in _names(kind)}


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _names(model: type[BaseModel]) -> Iterator[str]:
    for name, info in model.model_fields.items():
        yield info.alias or name


def _below(kind: Any, step: str | int) -> Iterator[Any]:
    if _is_model(kind):
        for name, info in kind.model_fields.items():
            if step in (name, info.alias):
                yield from _flat(info.annotation)
        return
    origin, args = getattr(kind, "__origin__", None), get_args(kind)
    if isinstance(origin, type) and args:
        if issubclass(origin, list | tuple | Sequence) and isinstance(step, int):
            yield from _flat(args[0])
        elif len(args) == 2 and hasattr(origin, "keys"):
            yield from _flat(args[1])


def _flat(kind: Any) -> Iterator[Any]:
    """``kind`` without ``Annotated`` and unions around it."""
    if hasattr(kind, "__metadata__"):
        yield from _flat(kind.__origin__)
    elif isinstance(kind, UnionType) or get_origin(kind) is Union:
        for part in get_args(kind):
            yield from _flat(part)
    else:
        yield kind
