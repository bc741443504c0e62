"""Alembic's environment: the same revisions run on SQLite and PostgreSQL, on the service's own connection."""

from typing import Any

from alembic import context
from sqlmodel import SQLModel

import app.access.models
import app.idempotency.models
import app.ledger.models
import app.mailboxes.models
import app.maildrops.models
import app.messages.models
import app.runs.models  # noqa: F401  these imports make the tables known


def include_object(_object: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:  # noqa: FBT001  alembic's order
    """Tables that are not ours (the job engine's, full text) are left alone."""
    return not (kind == "table" and reflected and compare_to is None and name not in SQLModel.metadata.tables)


def run() -> None:
    """Run on the connection that ``app.database.schema.upgrade`` hands over, in its transaction."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=SQLModel.metadata,
        render_as_batch=True,
        include_object=include_object,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
