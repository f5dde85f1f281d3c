"""Whether the places are there for which ``hub.yaml`` sets limits of alerts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connectors.yamlfile import Mistake, did_you_mean
from crm_master.domain.alerts import RULES, Rule
from crm_master.domain.figures import METRICS
from crm_master.engine.ledger import places
from crm_master.engine.plan import Hub
from crm_master.settings import HubSettings


def wrong_places(settings: HubSettings, hub: Hub) -> Iterator[Mistake]:
    """A mistake for each place with a limit of its own that no figure of its alert can have."""
    for name, limit in settings.alerts.limits.items():
        known = _places(RULES[name], hub)
        for place in limit if isinstance(limit, Mapping) else ():
            if place not in known:
                path = ("alerts", "limits", name, place)
                allowed = ", ".join(known) or "one limit: this alert has no places"
                do = did_you_mean(place, known)
                yield settings.origin.mistake(path, f"the place {place!r}", allowed, do)


def _places(rule: Rule, hub: Hub) -> list[str]:
    of = places(hub)
    match METRICS[rule.metric].labels:
        case ("verb", *_):
            return [f"{verb} {place}" for verb, those in of.items() for place in those]
        case ("system", "stream"):
            return of["ingest"]
        case ("system",):
            return of["deliver"]
        case ("entity",):
            return of["reconcile"]
        case ("kind",):
            return sorted((rule.only or {})["kind"])
        case _:
            return []
