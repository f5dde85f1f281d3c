"""How people are forgotten, and kept out (RULES 25)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from crm_master.domain.erasure import Traces
from crm_master.domain.ids import EntityId, RecordId
from crm_master.ports.rows import (
    Receipt,
    Suppression,
)


class Erasures(Protocol):
    """Receipts of erasures, and the one way in which rows of the journal are ever deleted (RULES 25)."""

    def forget(
        self,
        customers: Collection[EntityId],
        records: Collection[RecordId],
        letters: Collection[tuple[str, str, str]] = (),
    ) -> None:
        """Delete all rows of these customers and source records, and the dead rows of that system, stream and key.

        Waits for deliveries that are just being intended or settled. Lock customers and records before.
        """

    def ever_linked(self, customers: Collection[EntityId]) -> list[EntityId]:
        """The customers, and all others that records of theirs have ever belonged to, however many steps away."""

    def begin_anew(self, customers: Collection[EntityId], pos: int) -> None:
        """Have the journal of these customers begin at ``pos`` with what they are now: all that was before goes.

        Observations that wait stay. Lock customers and records before.
        """

    def baseline(self, pos: int) -> list[dict[str, Any]]:
        """What customers began anew with at this position, for ``restore``."""

    def restore(self, baseline: Sequence[Mapping[str, Any]]) -> None: ...

    def scrub(self, traces: Traces, receipt: str) -> None:
        """Take out of all other rows what names or shows the person: tasks, decisions, evidence, dead rows, errors."""

    def save(self, receipt: Receipt) -> None: ...

    def get(self, receipt: str, *, lock: bool = False) -> Receipt | None: ...

    def of_customer(self, id_: EntityId) -> Receipt | None:
        """The receipt of an erased customer, by any of the ids that it had."""

    def list(self, state: str = "") -> list[Receipt]: ...


class Suppressions(Protocol):
    """What must not come back, as keyed hashes. Raises ``store.SuppressionKeyWrong`` where the key is not at hand."""

    def watched(self, entity: str) -> frozenset[tuple[str, ...]]:
        """The combinations of identity keys that somebody is kept out by; the empty one: external ids. None: nobody is."""

    def digest(self, texts: Collection[str]) -> dict[str, str]:
        """The keyed hash of each text."""

    def add(self, entries: Sequence[Suppression], receipt: str) -> None:
        """Keep these out. The first one makes the key, where the environment gives none."""

    def standing(self, hashes: Collection[str]) -> dict[str, list[Mapping[str, list[str]]]]:
        """Of some hashes, those that are kept out, with the hashes of what would show that it is another person."""

    def receipts(self, hashes: Collection[str]) -> dict[str, str]:
        """The receipt behind each of these hashes."""

    def lift(self, receipt: str, *, records: bool) -> int:
        """Let identities in again, with ``records`` external ids too. Gives how many."""
