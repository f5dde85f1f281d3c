"""What a column holds that neither database has a type for."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Text, TypeDecorator
from sqlalchemy.engine import Dialect


class Json(TypeDecorator[Any]):
    """JSON as text, through orjson: the same on both databases, and readable by their JSON functions."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        option = orjson.OPT_NON_STR_KEYS
        return None if value is None else orjson.dumps(value, option=option).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else orjson.loads(value)
