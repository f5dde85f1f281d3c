"""Which failed tasks Airflow tries again, and when: what helps against the error decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.definitions.retry_policy import RetryDecision

from connectors.errors import (
    BadAnswer,
    BadConfiguration,
    BadCredentials,
    RateLimited,
    RetryLater,
    Unreachable,
)
from crm_master.entrypoints import (
    BadDatabaseUrl,
    ConfigurationMistakes,
    DatabaseUnavailable,
    FuseBlown,
    RunFailed,
    SchemaOutdated,
)

RETRIES = 3
DELAY = timedelta(minutes=1)
LONGEST = timedelta(minutes=30)


class NotConverged(Exception):
    """A system does not hold what it should. It may be that an edit is on its way: look again before anybody is woken."""


_HELP = {
    "the system is busy or away; it may answer later": (RateLimited, Unreachable, RetryLater),
    "the master database may be back later": (DatabaseUnavailable,),
    "edits may be on their way": (NotConverged,),
}
_HOPELESS = {
    "somebody has to mend the Airflow connection": (BadCredentials,),
    "somebody has to mend the manifest or hub.yaml": (BadConfiguration, ConfigurationMistakes),
    "the system answers otherwise than its manifest says": (BadAnswer,),
    "the good records are done, the bad ones need a person": (RunFailed,),
    "a fuse has stopped it; somebody has to approve the run, or to mend the cause": (FuseBlown,),
    "somebody has to mend CONCORD_DATABASE_URL": (BadDatabaseUrl,),
    "the master needs `concord init`": (SchemaOutdated,),
}
_DELAYS = {RateLimited: timedelta(minutes=2), NotConverged: timedelta(minutes=10)}


class WhatHelps(ExceptionRetryPolicy):
    """Retry what time heals, and not before the system said; fail at once what only a person can mend."""

    def evaluate(self, exception: BaseException, *args: Any, **kwargs: Any) -> RetryDecision:
        decision = super().evaluate(exception, *args, **kwargs)
        asked = getattr(exception, "retry_after", None)
        if asked and decision.retry_delay is not None:
            decision = replace(decision, retry_delay=min(max(asked, decision.retry_delay), LONGEST))
        return decision


def policy() -> ExceptionRetryPolicy:
    """The retry policy of every task that works. An error it does not know is retried as the task says."""
    retry = [
        RetryRule(kind, RetryAction.RETRY, _DELAYS.get(kind, DELAY), reason)
        for reason, kinds in _HELP.items()
        for kind in kinds
    ]
    fail = [
        RetryRule(kind, RetryAction.FAIL, reason=reason)
        for reason, kinds in _HOPELESS.items()
        for kind in kinds
    ]
    return WhatHelps([*retry, *fail])
