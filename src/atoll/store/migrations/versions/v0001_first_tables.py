"""The first tables: projects, keys, containers, their files, and uploaded files.

Written out in full and not taken from ``atoll.store.tables``: a step says for ever what it did, the tables say what
holds now.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.String().with_variant(postgresql.VARCHAR(collation="C"), "postgresql")


def upgrade() -> None:
    """Make everything."""
    _identity()
    _projects_and_keys()
    _containers()
    _files()


def _identity() -> None:
    op.create_table("identity", sa.Column("id", _ID, nullable=False), sa.PrimaryKeyConstraint("id", name="pk_identity"))


def _projects_and_keys() -> None:
    op.create_table(
        "projects",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.UniqueConstraint("name", name="uq_projects_name"),
    )
    op.create_table(
        "keys",
        sa.Column("id", _ID, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_keys_project_id"),
        sa.UniqueConstraint("secret_sha256", name="uq_keys_secret_sha256"),
    )


def _containers() -> None:
    op.create_table(
        "containers",
        sa.Column("id", _ID, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_active_at", sa.BigInteger, nullable=False),
        sa.Column("expires_after_minutes", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("memory_limit", sa.Text, nullable=False),
        sa.Column("network_policy", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("sandbox_id", _ID),
        sa.PrimaryKeyConstraint("id", name="pk_containers"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_containers_project_id"),
        sa.UniqueConstraint("sandbox_id", name="uq_containers_sandbox_id"),
    )
    op.create_index("ix_containers_project_id_id", "containers", ["project_id", "id"])
    op.create_index("ix_containers_project_id_name_id", "containers", ["project_id", "name", "id"])
    op.create_index("ix_containers_project_id_status", "containers", ["project_id", "status"])
    op.create_index("ix_containers_status_expires_at", "containers", ["status", "expires_at"])
    op.create_table(
        "container_files",
        sa.Column("id", _ID, nullable=False),
        sa.Column("container_id", _ID, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_container_files"),
        sa.ForeignKeyConstraint(
            ["container_id"], ["containers.id"], name="fk_container_files_container_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("container_id", "path", name="uq_container_files_container_id_path"),
    )
    op.create_index("ix_container_files_container_id_id", "container_files", ["container_id", "id"])


def _files() -> None:
    op.create_table(
        "files",
        sa.Column("id", _ID, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_files_project_id"),
    )
    op.create_index("ix_files_project_id_id", "files", ["project_id", "id"])
    op.create_index("ix_files_project_id_purpose_id", "files", ["project_id", "purpose", "id"])
    op.create_index("ix_files_expires_at", "files", ["expires_at"])
