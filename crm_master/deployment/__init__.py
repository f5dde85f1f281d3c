"""A deployment: from the files of a folder to a compiled hub, or to every mistake in them."""

from __future__ import annotations

from crm_master.deployment.compiler import Deployment, compile_deployment
from crm_master.deployment.effect import same_effect
from crm_master.deployment.files import (
    EXAMPLE,
    FileReader,
    home_files,
    recorded_files,
    write_example,
)

__all__ = [
    "EXAMPLE",
    "Deployment",
    "FileReader",
    "compile_deployment",
    "home_files",
    "recorded_files",
    "same_effect",
    "write_example",
]
