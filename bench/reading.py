"""Reads the API to its end through its manifest: ``python -m bench.reading URL``.

With a number behind it, so many pages at once, by their numbers.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime

from bench.child import answer
from bench.measure import measured
from bench.systems import ERP
from connectors.contract import Scan
from connectors.registry import load_manifest, open_system
from connectors.runtime.connection import Connection
from connectors.testing.api import TOKEN


def main(url: str, pages: str = "") -> None:
    profile = replace(ERP, paging="page", pages_at_once=int(pages)) if pages else ERP
    connection = Connection(url, "hub", TOKEN)
    system = open_system(load_manifest(profile.manifest()), connection, lambda: datetime.now(UTC))
    answer(
        measured(
            lambda: sum(len(page.records) for page in system.read("customers", None, Scan.FULL))
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
