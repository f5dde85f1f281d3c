"""What a verb raises for a person to act on."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.errors import ConnectorError
from connectors.yamlfile import ConfigurationMistakes
from crm_master.engine import joining, linking, stewardship
from crm_master.engine.erasure import NotErasable
from crm_master.engine.explain import NotFound
from crm_master.engine.fuses import FuseBlown
from crm_master.engine.ledger import FAILED
from crm_master.engine.plan import NotConfigured
from crm_master.engine.rebuild import JournalIncomplete
from crm_master.store import (
    BadDatabaseUrl,
    DatabaseUnavailable,
    SchemaOutdated,
    SuppressionKeyWrong,
)


class RunFailed(Exception):
    """More records failed than policy allows. What could be done was done, and is committed."""

    def __init__(self, what: str, counts: Mapping[str, int]) -> None:
        self.counts = dict(counts)
        failed = ", ".join(f"{counts[name]} {name}" for name in FAILED if counts.get(name))
        super().__init__(
            f"{what}: {failed}. The others are done. `concord dlq list` and `concord conflicts` say which and why."
        )


class SyncFailed(Exception):
    """More than one part of a round failed; the text names each. The other parts are done."""


EXPECTED = (
    BadDatabaseUrl,
    ConfigurationMistakes,
    ConnectorError,
    DatabaseUnavailable,
    FuseBlown,
    JournalIncomplete,
    NotConfigured,
    NotErasable,
    NotFound,
    RunFailed,
    SchemaOutdated,
    SuppressionKeyWrong,
    SyncFailed,
    linking.NotLinkable,
    joining.NotReady,
    stewardship.Undecidable,
)
"""What a verb raises for a person to act on; ``said`` gives its text. All else is a fault, and shows its trace."""


def said(error: BaseException) -> str:
    """What is wrong, after where: a connector's error does not know which verb, system and stream it came from."""
    where = reversed(getattr(error, "__notes__", []))
    return ": ".join([*where, str(error)])
