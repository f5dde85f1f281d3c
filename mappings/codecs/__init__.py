"""The named codecs. Each module registers its own; the registry is ``CODECS``.

A codec is added by a class in a module of this folder, derived from ``Codec`` and marked with ``register``: all modules
that are here are imported. A module of yours elsewhere has to be imported before mappings load.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from mappings.codecs.base import CODECS, Codec, Lenient, Options, default_codec, make, register

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)

__all__ = ["CODECS", "Codec", "Lenient", "Options", "default_codec", "make", "register"]
