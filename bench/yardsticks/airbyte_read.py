"""airbyte-cdk reads the API through a manifest: ``python airbyte_read.py URL``. Prints a line of JSON."""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from pathlib import Path
from typing import Any

from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer, Type
from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
    ConcurrentDeclarativeSource,
)

PAGE = 500


def manifest(url: str) -> dict[str, Any]:
    """The API, as airbyte's manifests have it."""
    paginator = {
        "type": "DefaultPaginator",
        "page_token_option": {
            "type": "RequestOption",
            "inject_into": "request_parameter",
            "field_name": "after",
        },
        "page_size_option": {
            "type": "RequestOption",
            "inject_into": "request_parameter",
            "field_name": "size",
        },
        "pagination_strategy": {
            "type": "CursorPagination",
            "page_size": PAGE,
            "cursor_value": "{{ last_record['id'] }}",
            "stop_condition": "{{ last_page_size < " + str(PAGE) + " }}",
        },
    }
    stream = {
        "type": "DeclarativeStream",
        "name": "customers",
        "primary_key": "id",
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {
                "type": "HttpRequester",
                "url_base": url,
                "path": "/customers",
                "http_method": "GET",
            },
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": ["items"]},
            },
            "paginator": paginator,
        },
        "schema_loader": {
            "type": "InlineSchemaLoader",
            "schema": {"type": "object", "properties": {}},
        },
    }
    return {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["customers"]},
        "streams": [stream],
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
    }


def main(url: str) -> None:
    """Read all customers, and say how long it took."""
    catalog = ConfiguredAirbyteCatalogSerializer.load(
        {
            "streams": [
                {
                    "stream": {
                        "name": "customers",
                        "json_schema": {},
                        "supported_sync_modes": ["full_refresh"],
                    },
                    "sync_mode": "full_refresh",
                    "destination_sync_mode": "append",
                }
            ]
        }
    )
    source = ConcurrentDeclarativeSource(
        catalog=catalog, config={}, state=None, source_config=manifest(url)
    )
    began, busy, records = time.perf_counter(), time.process_time(), 0
    for message in source.read(
        logger=logging.getLogger("bench"), config={}, catalog=catalog, state=None
    ):
        records += message.type is Type.RECORD
    said = {
        "records": records,
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - busy,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    Path("/dev/stdout").write_text(json.dumps(said) + "\n", encoding="ascii")


if __name__ == "__main__":
    main(*sys.argv[1:])
