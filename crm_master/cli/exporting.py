"""``metrics``: the figures of the hub for others."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from crm_master import entrypoints
from crm_master.cli.printing import err, printed
from crm_master.cli.session import Json, opened


def metrics(
    file: Annotated[
        Path | None,
        typer.Option(help="Write them there, as node_exporter's textfile collector reads."),
    ] = None,
    listen: Annotated[
        str, typer.Option(help="Serve them until interrupted: a port, or HOST:PORT.")
    ] = "",
    push: Annotated[
        bool, typer.Option("--push", help="Send them where the OTEL_ variables say.")
    ] = False,
    rules: Annotated[bool, typer.Option("--rules", help="Alerting rules for Prometheus.")] = False,
    as_json: Json = False,
) -> None:
    """The figures of the hub in Prometheus' text format, on standard output if nothing else is asked for."""
    if sum((file is not None, bool(listen), push, rules, as_json)) > 1:
        raise typer.BadParameter("give one of --file, --listen, --push, --rules and --json")
    if rules:
        sys.stdout.write(entrypoints.alerting_rules())
        return
    host, _, port = listen.rpartition(":")
    if listen and not port.isdecimal():
        raise typer.BadParameter(
            f"{listen!r} is no port; give one, or HOST:PORT", param_hint="--listen"
        )
    with opened() as app:
        if file is not None:
            entrypoints.write_metrics(app, file)
        elif listen:
            with entrypoints.serving_metrics(app, host or "127.0.0.1", int(port)) as (at, thread):
                err.print(f"Metrics at http://{host or '127.0.0.1'}:{at}/metrics")
                # a shell that starts us in the background has had us ignore it
                signal.signal(signal.SIGINT, signal.default_int_handler)
                with suppress(KeyboardInterrupt):
                    thread.join()
        elif push:
            _told(entrypoints.push_metrics(app))
        elif not printed([asdict(of) for of in entrypoints.figures(app)], as_json):
            sys.stdout.write(entrypoints.metrics(app))


def _told(sent: bool | None) -> None:
    if sent is None:
        err.print("Nothing sent: set OTEL_EXPORTER_OTLP_ENDPOINT to the address of a collector.")
    elif not sent:
        err.print("error: the collector that OTEL_EXPORTER_OTLP_ENDPOINT names did not take them.")
        raise typer.Exit(1)
