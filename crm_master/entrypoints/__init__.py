"""The verbs. Each is one use case over an ``App``, gives plain JSON-able results, and holds no rules.

``setting_up`` a deployment, ``running`` the rounds, letting systems in (``joining``), ``repairing`` what needs a person,
``linking`` records to customers by hand, ``erasing`` a customer; ``looking`` at what is there, and at ``runs`` and what
they did; ``mapping`` a record to see what becomes of it, ``proving`` that everything is right.
"""

from __future__ import annotations

from connectors.yamlfile import ConfigurationMistakes
from crm_master.bootstrap import HOME_VARIABLE, App, open_app, opened
from crm_master.deployment import Deployment, write_example
from crm_master.engine.fuses import FuseBlown
from crm_master.entrypoints.applying import apply, approve_run, as_proposed, changed, is_run, plan
from crm_master.entrypoints.erasing import erase, erase_preview, lift, receipts
from crm_master.entrypoints.errors import EXPECTED, RunFailed, SyncFailed, said
from crm_master.entrypoints.exporting import (
    alerting_rules,
    figures,
    metrics,
    push_metrics,
    serving_metrics,
    write_metrics,
)
from crm_master.entrypoints.joining import approve, let_in, preview, rejoin, waiting_to_join
from crm_master.entrypoints.linking import (
    link,
    link_log,
    link_preview,
    merging,
    moving,
    pinning,
    splitting,
)
from crm_master.entrypoints.looking import letter, raw, show, status, tasks, waiting, watermark
from crm_master.entrypoints.mapping import map_customer, map_preview, map_record
from crm_master.entrypoints.otlp import sending_spans
from crm_master.entrypoints.proving import rebuild, verify
from crm_master.entrypoints.repairing import decide, replay, stop
from crm_master.entrypoints.running import Ran, deliver, ingest, reconcile, sync
from crm_master.entrypoints.runs import (
    replay_preview,
    replay_run,
    run_list,
    run_show,
    undo_preview,
    undo_run,
)
from crm_master.entrypoints.setting_up import check_systems, init, read_hub, schemas, unapplied
from crm_master.entrypoints.watching import Channel, Watched, watch
from crm_master.logs import LOGGER
from crm_master.store import BadDatabaseUrl, DatabaseUnavailable, SchemaOutdated

__all__ = [
    "EXPECTED",
    "HOME_VARIABLE",
    "LOGGER",
    "App",
    "BadDatabaseUrl",
    "Channel",
    "ConfigurationMistakes",
    "DatabaseUnavailable",
    "Deployment",
    "FuseBlown",
    "Ran",
    "RunFailed",
    "SchemaOutdated",
    "SyncFailed",
    "Watched",
    "alerting_rules",
    "apply",
    "approve",
    "approve_run",
    "as_proposed",
    "changed",
    "check_systems",
    "decide",
    "deliver",
    "erase",
    "erase_preview",
    "figures",
    "ingest",
    "init",
    "is_run",
    "let_in",
    "letter",
    "lift",
    "link",
    "link_log",
    "link_preview",
    "map_customer",
    "map_preview",
    "map_record",
    "merging",
    "metrics",
    "moving",
    "open_app",
    "opened",
    "pinning",
    "plan",
    "preview",
    "push_metrics",
    "raw",
    "read_hub",
    "rebuild",
    "receipts",
    "reconcile",
    "rejoin",
    "replay",
    "replay_preview",
    "replay_run",
    "run_list",
    "run_show",
    "said",
    "schemas",
    "sending_spans",
    "serving_metrics",
    "show",
    "splitting",
    "status",
    "stop",
    "sync",
    "tasks",
    "unapplied",
    "undo_preview",
    "undo_run",
    "verify",
    "waiting",
    "waiting_to_join",
    "watch",
    "watermark",
    "write_example",
    "write_metrics",
]
