"""A folder of files as the tests fill it and read it."""

import gzip
import json
import os
from datetime import UTC, datetime, timedelta

from connectors.contract import Scan
from connectors.registry import load_manifest, open_system
from connectors.runtime.connection import Connection

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
CALLS = {"read": {"files": "calls-*.csv"}}


def manifest_of(**stream):
    stream = {"key": ["id"], **stream}
    text = {"system": "office", "kind": "files", "title": "Office", "streams": {"calls": stream}}
    return load_manifest(json.dumps(text))


def opened(folder, **stream):
    return open_system(manifest_of(**stream), Connection(f"file://{folder}"), lambda: NOW)


def put(folder, name, content, age=timedelta(hours=1)):
    path = folder / name
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    moment = (NOW - age).timestamp()
    os.utime(path, (moment, moment))
    return path


def read(system, cursor=None, scan=Scan.DELTA):
    pages = list(system.read("calls", cursor, scan))
    assert pages[-1].complete
    found = {record.key: record.document for page in pages for record in page.records}
    return found, pages[-1].cursor, {page.scan for page in pages}
