"""The tables, with an index behind every filter and every order that a query uses."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql

# Ids are compared byte by byte everywhere, so that a page's order is the ids' own and no locale's.
Id = String().with_variant(postgresql.VARCHAR(collation="C"), "postgresql")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One row: which database this is, so that a data folder can tell whether it belongs to it.
identity = Table("identity", metadata, Column("id", Id, primary_key=True))

projects = Table(
    "projects",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("name"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, ForeignKey("projects.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    UniqueConstraint("secret_sha256"),
)

containers = Table(
    "containers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, ForeignKey("projects.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("last_active_at", BigInteger, nullable=False),
    Column("expires_after_minutes", BigInteger, nullable=False),
    # Kept beside the two columns it follows from, because only a column can be indexed the same way everywhere.
    Column("expires_at", BigInteger, nullable=False),
    Column("memory_limit", Text, nullable=False),
    Column("network_policy", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("sandbox_id", Id),
    Index(None, "project_id", "id"),
    Index(None, "project_id", "name", "id"),
    Index(None, "project_id", "status"),
    Index(None, "status", "expires_at"),
    UniqueConstraint("sandbox_id"),
)

container_files = Table(
    "container_files",
    metadata,
    Column("id", Id, primary_key=True),
    Column("container_id", Id, ForeignKey("containers.id", ondelete="CASCADE"), nullable=False),
    Column("path", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    UniqueConstraint("container_id", "path"),
    Index(None, "container_id", "id"),
)

egress_decisions = Table(
    "egress_decisions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("container_id", Id, ForeignKey("containers.id", ondelete="CASCADE"), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("port", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("bytes_sent", BigInteger, nullable=False),
    Column("bytes_received", BigInteger, nullable=False),
    Index(None, "container_id", "id"),
)

files = Table(
    "files",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, ForeignKey("projects.id"), nullable=False),
    Column("filename", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Index(None, "project_id", "id"),
    Index(None, "project_id", "purpose", "id"),
    Index(None, "expires_at"),
)
