"""What Alembic runs to reach the database: the connection that ``upgrade`` handed it."""

from alembic import context

from atoll.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
