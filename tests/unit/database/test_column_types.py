"""Times are stored as SQLAlchemy stores them, and come back in UTC."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeDecorator

from app.database import UtcDateTime

DIALECT = sqlite.dialect()
OURS: Any = UtcDateTime().dialect_impl(DIALECT)
MOMENTS = st.datetimes(
    min_value=datetime(1, 1, 3),  # noqa: DTZ001  hypothesis adds the zone
    max_value=datetime(9999, 12, 28),  # noqa: DTZ001  the same
    timezones=st.sampled_from(
        [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=12))]
    ),
)


@given(MOMENTS)
def test_sqlite_gets_the_text_of_sqlalchemy_and_gives_the_moment_back(moment: datetime) -> None:
    usual: Any = TypeDecorator.bind_processor(OURS, DIALECT)
    ours = OURS.bind_processor(DIALECT)
    read = OURS.result_processor(DIALECT, None)
    assert ours(moment) == usual(moment)
    assert read(ours(moment)) == moment
    assert read(ours(moment)).utcoffset() == timedelta(0)


def test_what_sqlite_itself_says_is_read_and_nothing_stays_nothing() -> None:
    bind, read = OURS.bind_processor(DIALECT), OURS.result_processor(DIALECT, None)
    assert read("2026-11-23 03:00:00") == datetime(2026, 11, 23, 3, tzinfo=UTC)
    assert (bind(None), read(None)) == (None, None)


def test_a_time_without_a_zone_is_refused() -> None:
    bind = OURS.bind_processor(DIALECT)
    with pytest.raises(ValueError, match="without a zone"):
        bind(datetime(2026, 11, 23))  # noqa: DTZ001  that is the point
