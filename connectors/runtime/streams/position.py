"""The cursor of a REST stream: where a scan stands, and from when the next one asks."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.contract import Scan
from connectors.errors import BadConfiguration

_VERSION = 1
_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
"""Some systems write the year 1 where they know no time; nothing is before that, in any zone."""


@dataclass(frozen=True, slots=True)
class Position:
    """``base`` is the system's time up to which all is known; it moves when a scan is complete.

    ``seen`` is the greatest change time of the running scan, and ``begun`` the system's clock at
    its start: a record passed by before it was changed is later than ``begun``, so the next scan
    asks from whichever is earlier.
    """

    base: datetime | None = None
    scan: Scan | None = None
    paging: dict[str, Any] | None = None
    seen: datetime | None = None
    begun: datetime | None = None

    @classmethod
    def parse(cls, cursor: str | None) -> Position:
        """Raises ``BadConfiguration`` for a cursor that this connector did not write."""
        if cursor is None:
            return cls()
        try:
            data = json.loads(cursor)
            if data["v"] != _VERSION:
                raise ValueError(data["v"])
            scan = data.get("scan")
            return cls(
                _time(data.get("base")),
                Scan(scan) if scan else None,
                data.get("paging"),
                _time(data.get("seen")),
                _time(data.get("begun")),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            raise BadConfiguration(
                "The stored cursor is not one of this connector; read the stream anew."
            ) from None

    def text(self) -> str:
        """The cursor. Equal positions give equal texts."""
        data = {
            "v": _VERSION,
            "base": _text(self.base),
            "scan": self.scan.value if self.scan else None,
            "paging": self.paging,
            "seen": _text(self.seen),
            "begun": _text(self.begun),
        }
        return json.dumps(
            {name: value for name, value in data.items() if value is not None}, sort_keys=True
        )

    def begin(self, scan: Scan, has_delta: bool) -> Position:
        """The position to read on from: a scan that was cut off goes on, else a new one begins.

        A delta read goes on with an unfinished full scan; a full read drops an unfinished delta.
        """
        wanted = scan if has_delta and self.base is not None else Scan.FULL
        if self.scan is Scan.FULL or (self.scan is Scan.DELTA and wanted is Scan.DELTA):
            return self
        return Position(base=self.base, scan=wanted)

    def after(
        self, paging: dict[str, Any] | None, seen: datetime | None, begun: datetime | None
    ) -> Position:
        """The position behind a page; ``paging`` is ``None`` behind the last."""
        times = [time for time in (self.seen, seen) if time is not None]
        return replace(
            self,
            paging=paging,
            seen=max(times) if times else None,
            begun=self.begun or begun,
        )

    def finished(self, ordered: bool) -> Position:
        """The scan is complete: the base of the next one."""
        reached = self.seen
        if reached is not None and not ordered and self.begun is not None:
            reached = min(reached, self.begun)
        known = [time for time in (self.base, reached) if time is not None]
        return Position(base=max(known) if known else None)

    def since(self, overlap: timedelta) -> datetime:
        """The time from which a delta scan asks, inclusive."""
        assert self.base is not None  # ``begin`` makes a delta scan only with a base
        return max(self.base, _EARLIEST + overlap) - overlap


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _text(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat() if time else None
