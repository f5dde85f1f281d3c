"""The master database: one SQLAlchemy store for SQLite and PostgreSQL."""

from crm_master.store.database import Database

__all__ = ["Database"]
