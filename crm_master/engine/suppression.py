"""Keeping the erased out (RULES 25): which of the records that a system shows must not be landed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from connectors.contract import Page, RawRecord
from crm_master.domain.erasure import (
    EXTERNAL_ID,
    differs,
    distinctions,
    external_id,
    identities,
)
from crm_master.domain.fields import Mapped, Presence
from crm_master.domain.identity import MatchRules, Profile, profile
from crm_master.domain.ids import ExternalRef, record_id
from crm_master.engine.matching import BLOCK_CAP, block_hashes
from crm_master.engine.plan import StreamPlan
from crm_master.ports import UnitOfWork

T = TypeVar("T")


class Suppression:
    """Tells who was erased, in one transaction. True if anybody of the entity was. Two statements for a batch."""

    def __init__(self, entity: str, uow: UnitOfWork) -> None:
        """Raises ``store.SuppressionKeyWrong``."""
        self._entity = entity
        self._uow = uow
        self._watched = uow.suppressions.watched(entity)

    def __bool__(self) -> bool:
        return bool(self._watched)

    def records(self, refs: Iterable[ExternalRef]) -> set[ExternalRef]:
        """Those of the records that belonged to somebody who was erased."""
        if EXTERNAL_ID not in self._watched:
            return set()
        texts = {external_id(ref): ref for ref in refs}
        hashes = self._uow.suppressions.digest(texts.keys())
        kept_out = self._uow.suppressions.standing(hashes.values())
        return {ref for text, ref in texts.items() if hashes[text] in kept_out}

    def people(self, profiles: Mapping[T, Profile], rules: MatchRules) -> set[T]:
        """Those of the profiles that are of somebody who was erased, as far as their identity values tell."""
        texts = {
            who: [text for _, text in identities(self._entity, of, self._watched)]
            for who, of in profiles.items()
        }
        hashes = self._uow.suppressions.digest({text for some in texts.values() for text in some})
        standing = self._uow.suppressions.standing(hashes.values()) if hashes else {}
        found: set[T] = set()
        for who, some in texts.items():
            hits = [
                unless
                for text in some
                if text in hashes
                for unless in standing.get(hashes[text], ())
            ]
            if hits:
                shown = self._distinctions(profiles[who], rules)
                if any(not differs(unless, shown) for unless in hits):
                    found.add(who)
        return found

    def _distinctions(self, of: Profile, rules: MatchRules) -> dict[str, list[str]]:
        texts = distinctions(self._entity, of, rules.differ)
        hashes = self._uow.suppressions.digest([text for some in texts.values() for text in some])
        return {name: [hashes[text] for text in some] for name, some in texts.items()}


def admitted(plan: StreamPlan, rules: MatchRules | None, page: Page, uow: UnitOfWork) -> Page:
    """A page without the rows of customers who were erased; without ``rules`` they are known by their records only.

    A record that has its customer is known not to be theirs, and so is one that agrees with a customer who is there.
    """
    suppression = Suppression(plan.entity, uow)
    if not suppression:
        return page
    keys = {row.key for row in page.records} | {bad.key for bad in page.rejects if bad.key}
    refs = {key: ExternalRef(plan.system, plan.stream, key) for key in keys}
    out = {ref.key for ref in suppression.records(refs.values())}
    if rules is not None:
        ids = {key: record_id(ref) for key, ref in refs.items()}
        linked = uow.records.linked(ids.values())
        profiles = {
            record.key: _shown(plan, record, rules)
            for record in page.records
            if record.key not in out and not record.deleted and ids[record.key] not in linked
        }
        erased = suppression.people(profiles, rules)
        out |= erased - _known(plan.entity, {key: profiles[key] for key in erased}, rules, uow)
    return replace(
        page,
        records=tuple(record for record in page.records if record.key not in out),
        rejects=tuple(bad for bad in page.rejects if bad.key not in out),
    )


def _shown(plan: StreamPlan, record: RawRecord, rules: MatchRules) -> Profile:
    """The identity values of a record that was not landed yet; none if it cannot be translated."""
    try:
        mapped = plan.mapping.apply(record.document, full_payload=plan.full_payload)
    except (
        Exception
    ):  # it is landed, and poison for the next step: nothing is said of it here (RULES 22)
        return {}
    if not isinstance(mapped, Mapped):
        return {}
    readings = mapped.readings.items()
    values = {name: now.value for name, now in readings if now.presence is Presence.VALUE}
    return profile(values, rules)


def _known(
    entity: str, profiles: Mapping[str, Profile], rules: MatchRules, uow: UnitOfWork
) -> set[str]:
    """Those who agree with a record of a customer who is there: policy will link them, or ask."""
    if not profiles:
        return set()
    blocks = {key: block_hashes(entity, of, rules) for key, of in profiles.items()}
    stored = uow.records.by_blocks({hash_ for some in blocks.values() for hash_ in some}, BLOCK_CAP)
    linked = uow.records.linked({rec_id for ids in stored.values() for rec_id in ids})
    return {
        key
        for key, some in blocks.items()
        if any(linked & set(stored.get(hash_, ())) for hash_ in some)
    }
