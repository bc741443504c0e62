"""The table of what was learnt."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Text
from sqlmodel import Field, SQLModel

from app.database import Json, Octets, UtcDateTime


class Learnt(SQLModel, table=True):
    """What was learnt about a server, or about one mailbox at it (``learnt``); forgotten when it is old."""

    __tablename__ = "learnt"

    subject: str = Field(sa_column=Column(Octets, primary_key=True))
    name: str = Field(sa_column=Column(Text, primary_key=True))
    facts: dict[str, Any] = Field(sa_column=Column(Json, nullable=False))
    learnt_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
