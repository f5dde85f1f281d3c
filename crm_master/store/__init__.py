"""The master database: one SQLAlchemy store for SQLite and PostgreSQL."""

from crm_master.store.database import Database, SchemaOutdated
from crm_master.store.outage import BadDatabaseUrl, DatabaseUnavailable
from crm_master.store.suppressions import SuppressionKeyWrong

__all__ = [
    "BadDatabaseUrl",
    "Database",
    "DatabaseUnavailable",
    "SchemaOutdated",
    "SuppressionKeyWrong",
]
