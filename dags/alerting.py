"""Alerts through the notifiers of Airflow that `hub.yaml` names: each is told once when it comes, and once when it goes.

Most alerts are found by `maintain__alerts` in the figures of the hub. Of what no figure can show, that this very DAG fails
or that systems differ, the failed task tells itself.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
from collections.abc import Mapping
from functools import partial
from pkgutil import resolve_name
from typing import Any

from airflow.sdk import BaseNotifier, Variable, get_current_context

from crm_master.entrypoints import Channel, ConfigurationMistakes, Deployment, Watched
from dags import work

log = logging.getLogger(__name__)


class NotTold(Exception):
    """A notifier could not tell of an alert. It is tried again; the others have told theirs."""


def check_notifiers(deployment: Deployment) -> None:
    """Raise ``ConfigurationMistakes`` for notifiers that there are not, or that do not take their arguments."""
    settings = deployment.settings
    mistakes = []
    for number, chosen in enumerate(settings.alerts.notify):
        path = ("alerts", "notify", number)
        try:
            kind = resolve_name(chosen.notifier)
        except (ImportError, AttributeError):
            kind = None
        if not (isinstance(kind, type) and issubclass(kind, BaseNotifier)):
            allowed = "the class of a notifier, such as airflow.providers.smtp.notifications.smtp.SmtpNotifier"
            do = "Is its provider installed?"
            found = f"{chosen.notifier}, which is no notifier"
            mistakes.append(settings.origin.mistake((*path, "notifier"), found, allowed, do))
            continue
        try:
            inspect.signature(kind).bind(**chosen.arguments)
        except TypeError as error:
            found = f"{error} of {chosen.notifier}"
            allowed = str(inspect.signature(kind))
            mistakes.append(settings.origin.mistake((*path, "with"), found, allowed))
    if mistakes:
        raise ConfigurationMistakes(mistakes)


def channels(deployment: Deployment, context: Any) -> dict[str, Channel]:
    """The notifiers of ``hub.yaml`` by a name of their own: another class, severity or arguments make another."""
    found = {}
    for chosen in deployment.settings.alerts.notify:
        said = json.dumps([chosen.least, chosen.arguments], sort_keys=True).encode()
        name = f"{chosen.notifier}#{hashlib.sha256(said).hexdigest()[:8]}"
        tell = partial(_notify, deployment, context, chosen)
        found[name] = Channel(tell, chosen.least)
    return found


def _notify(deployment: Deployment, context: Any, chosen: Any, told: Mapping[str, str]) -> None:
    """Tell one notifier, made anew: it fills its own templates, and is used up then."""
    hub = deployment.settings.name
    ended = " (ended)" if told["state"] == "ended" else ""
    subject = f"Concord {hub}{ended}: {told['text']}"
    notifier = resolve_name(chosen.notifier)(**chosen.arguments)
    notifier({**context, "alert": {**told, "hub": hub, "subject": subject}})


def watch(deployment: Deployment) -> dict[str, Any]:
    """Look at the figures and tell of what came and went. Gives counts; raises ``NotTold``."""
    seen: Watched = work.watch(channels(deployment, get_current_context()))
    if seen.failed:
        which = ", ".join(f"{name} ({type(e).__name__})" for name, e in seen.failed.items())
        raise NotTold(f"Not told: {which}. See hub.yaml, under alerts, and the connection.")
    return {"standing": len(seen.standing), "sent": seen.sent}


def callbacks(deployment: Deployment, text: str) -> dict[str, Any]:
    """For a task that no figure shows: that it fails is told once, and once that it works again."""
    return {
        "on_failure_callback": partial(_turned, deployment, text, "raised"),
        "on_success_callback": partial(_turned, deployment, text, "ended"),
    }


def _turned(deployment: Deployment, text: str, state: str, context: Any) -> None:
    # not in the master, which may be what is away
    key = f"concord_told_{context['ti'].dag_id}"
    know = Variable.get(key, default=[], deserialize_json=True)
    told = {
        "state": state,
        "name": "dag_fails",
        "place": context["ti"].dag_id,
        "severity": "critical",
        "text": text,
        "means": "A DAG that watches over the hub does not do so.",
        "see": "docs/runbook.md#dag-fails",
        "since": str(context["dag_run"].start_date),
    }
    for name, channel in channels(deployment, context).items():
        # who does not know that it fails is told so; who knows, that it works again
        if (name in know) is (state == "raised"):
            continue
        try:
            channel.tell(told)
        except Exception as error:  # who is told next is told all the same
            log.error("Not told: %s (%s)", name, type(error).__name__)  # noqa: TRY400
            continue
        (know.append if state == "raised" else know.remove)(name)
        Variable.set(key, know, serialize_json=True)
