"""Alembic's environment: the connection is handed over by ``Database.migrate``."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from crm_master.store.columns import Json
from crm_master.store.schema import metadata


def _render(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    return "sa.Text()" if kind == "type" and isinstance(item, Json) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_item=_render,
)
with context.begin_transaction():
    context.run_migrations()
