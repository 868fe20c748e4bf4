"""What was let out of containers and what was not."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.String().with_variant(postgresql.VARCHAR(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "egress_decisions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("container_id", _ID, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("port", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("bytes_sent", sa.BigInteger, nullable=False),
        sa.Column("bytes_received", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_egress_decisions"),
        sa.ForeignKeyConstraint(
            ["container_id"], ["containers.id"], name="fk_egress_decisions_container_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_egress_decisions_container_id_id", "egress_decisions", ["container_id", "id"])
