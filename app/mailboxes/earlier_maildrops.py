"""PURE  Which maildrops stood behind a mailbox before: whose login it has again, that one is back.

A mistyped username is put right, or somebody tries another account: what is known of the first one counts then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

LoginKey = tuple[str, int, str]
"""Host, port and username, the same for the same account (``duplicates.login_key``)."""

_MOST: Final = 50  # are remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierMaildrop:
    """One of them: its login, its generation, what had been found out about its listings, and how many of its messages
    were there when it was left."""

    login: LoginKey
    generation: int
    listed_at: datetime | None
    ids_changed: bool = False
    ids_are_numbers: bool = False
    present: int = 0

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Self:
        """From how it is kept."""
        host, port, username = kept["login"]
        listed_at = kept["listed_at"] and datetime.fromisoformat(kept["listed_at"])
        return cls(**{**kept, "login": (host, port, username), "listed_at": listed_at})

    @property
    def kept(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "login": list(self.login),
            "generation": self.generation,
            "listed_at": self.listed_at.isoformat() if self.listed_at else None,
            "ids_changed": self.ids_changed,
            "ids_are_numbers": self.ids_are_numbers,
            "present": self.present,
        }


def with_left(earlier: Sequence[EarlierMaildrop], left: EarlierMaildrop) -> list[EarlierMaildrop]:
    """Those that are remembered once this one is left; of each login the last."""
    return [*without(earlier, left.login), left][-_MOST:]


def without(earlier: Sequence[EarlierMaildrop], login: LoginKey) -> list[EarlierMaildrop]:
    """All but that of a login."""
    return [one for one in earlier if one.login != login]


def found(earlier: Sequence[EarlierMaildrop], login: LoginKey) -> EarlierMaildrop | None:
    """That of a login."""
    return next((one for one in earlier if one.login == login), None)
