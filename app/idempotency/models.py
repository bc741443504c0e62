"""The table of requests that may come again."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Integer, LargeBinary, Text
from sqlmodel import Field, SQLModel

from app.database import Json, UtcDateTime


class RepeatableRequest(SQLModel, table=True):
    """A request with a key of its client, and once it has ended well, its answer.

    ``caller``: the API key's name. ``fingerprint``: an HMAC of what was sent, by a key that is not stored.
    ``begun_at``: whose turn it is, for one that died is begun anew. ``status``: null while it is worked on.
    """

    __tablename__ = "repeatable_requests"

    caller: str = Field(sa_column=Column(Text, primary_key=True))
    route: str = Field(sa_column=Column(Text, primary_key=True))
    key: str = Field(sa_column=Column(Text, primary_key=True))
    fingerprint: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    begun_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))
    status: int | None = Field(default=None, sa_column=Column(Integer))
    headers: dict[str, Any] | None = Field(default=None, sa_column=Column(Json))
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
