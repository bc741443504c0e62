"""PostgreSQL: the queue of background jobs, in a schema of its own, as its engine makes it.

Revision: 0017, after 0016
"""

from alembic import op
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
from sqlalchemy import inspect

from app.jobs.engine import SETTINGS

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    builder = QueryBuilderEnvironment(SETTINGS)
    # Where somebody else made it for us we may have no right to, and CREATE SCHEMA would ask for it all the same.
    is_there = inspect(connection).has_schema(SETTINGS.db_schema)
    driver = connection.connection.driver_connection
    # Many statements at once, which only the driver takes.
    driver.execute(builder.build_install_query(create_schema=not is_there))
    driver.execute(builder.build_optimize_autovacuum_query())
