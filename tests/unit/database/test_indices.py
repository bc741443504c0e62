"""Indices of some rows only."""

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, make_url
from sqlalchemy.schema import CreateIndex

from app.database.indices import partial_index


@pytest.mark.parametrize("url", ["sqlite://", "postgresql+psycopg://"])
def test_a_partial_index_has_the_same_rows_on_both_databases(url: str) -> None:
    index = partial_index("uq_things_open", "owner", unique=True, where="status IN ('queued', 'running')")
    Table("things", MetaData(), Column("owner", Integer), index)
    made = str(CreateIndex(index).compile(dialect=make_url(url).get_dialect()()))
    assert made == (
        "CREATE UNIQUE INDEX uq_things_open ON things (owner) WHERE status IN ('queued', 'running')"
    )
