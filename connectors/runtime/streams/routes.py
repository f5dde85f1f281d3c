"""From one value to another by actions, such as from an order's state to the next. Pure functions."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from connectors.runtime.streams.writes import Action


def first_action(actions: Mapping[str, Action], present: str, wanted: str) -> str | None:
    """The value that the first action of the shortest way leads to; ``None`` where no way is."""
    behind = {present: ""}
    waiting = deque([present])
    while waiting:
        value = waiting.popleft()
        for result, action in actions.items():
            if value in action.from_ and result not in behind:
                behind[result] = value
                waiting.append(result)
    if wanted == present or wanted not in behind:
        return None
    while behind[wanted] != present:
        wanted = behind[wanted]
    return wanted


__all__ = ["first_action"]
