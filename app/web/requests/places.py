"""How many of something that costs much are under way at the same time: of each key, and of all."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.errors import AppError

_TRY_AGAIN_AFTER = "5"  # seconds


@dataclass
class Places:
    """``of_one``: how many one key may have. ``told``: to whom there is none for."""

    of_one: int
    overall: int
    told: str
    _taken: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def taken(self, key: str) -> Iterator[None]:
        """A place for a while. Raises AppError: 429."""
        if self._taken[key] >= self.of_one or self._taken.total() >= self.overall:
            raise AppError(429, "too_many_requests", self.told, headers={"Retry-After": _TRY_AGAIN_AFTER})
        self._taken[key] += 1
        try:
            yield
        finally:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]

    @property
    def are_free(self) -> bool:
        """Whether nobody has one."""
        return not self._taken
