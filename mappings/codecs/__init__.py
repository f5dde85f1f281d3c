"""The named codecs. Each module registers its own; the registry is ``CODECS``.

A codec is added by a class in one of these modules (or in a module of yours that is imported before mappings load),
derived from ``Codec`` and marked with ``register``.
"""

from __future__ import annotations

from mappings.codecs import choice, numbers, phone, places, references, text, times
from mappings.codecs.base import CODECS, Codec, Lenient, Options, default_codec, make, register

__all__ = [
    "CODECS",
    "Codec",
    "Lenient",
    "Options",
    "choice",
    "default_codec",
    "make",
    "numbers",
    "phone",
    "places",
    "references",
    "register",
    "text",
    "times",
]  # fmt: skip
