"""Alembic's environment: the connection is handed over by ``Database.migrate``."""

from alembic import context

from crm_master.store.schema import Json, metadata


def _render(kind: str, item: object, _context: object) -> str | bool:
    return "sa.Text()" if kind == "type" and isinstance(item, Json) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_item=_render,
)
with context.begin_transaction():
    context.run_migrations()
