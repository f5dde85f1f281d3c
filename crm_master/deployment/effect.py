"""Whether two deployments mean the same."""

from __future__ import annotations

from typing import Any

from crm_master.deployment.compiler import Deployment
from crm_master.settings import SystemSettings

_WITHOUT_EFFECT = {"connection", "schedule", "join"}
"""Settings of a system that touch nothing that was read or decided."""


def same_effect(former: Deployment, now: Deployment) -> bool:
    """Whether everything that the systems of ``former`` showed means the same ``now``, and goes the same ways.

    Systems may have come; a new one changes nothing before it has joined. Files are compared as text.
    """
    known = former.settings.systems
    if not known.keys() <= now.settings.systems.keys():
        return False
    if [name for name in now.settings.rank if name in known] != former.settings.rank:
        return False
    if former.settings.processes != now.settings.processes:
        return False
    if any(_effective(of) != _effective(now.settings.systems[name]) for name, of in known.items()):
        return False
    return all(
        now.files.get(name) == text for name, text in former.files.items() if name != "hub.yaml"
    )


def _effective(system: SystemSettings) -> dict[str, Any]:
    content = system.model_dump(mode="json", exclude=_WITHOUT_EFFECT)
    for stream in content["streams"].values():
        del stream["schedule"]
    return content
