"""PURE. Who runs in which round: the clients in turn, and those that are slow at a work less often."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.clients import Client


@dataclass(frozen=True)
class Turns:
    """The clients of one work. Those named in `slow` take part in the first `slow_rounds` of the `rounds` only."""

    clients: Sequence[Client]
    rounds: int
    slow: frozenset[str] = frozenset()
    slow_rounds: int = 0

    def __iter__(self) -> Iterator[list[Client]]:
        """The clients of each round. Each begins with another one: none always comes behind the same."""
        for number in range(self.rounds):
            now = [client for client in self.clients if number < self._rounds_of(client)]
            turn = number % max(len(now), 1)
            yield [*now[turn:], *now[:turn]]

    @property
    def taking_part(self) -> list[Client]:
        """Who has at least one round."""
        return [client for client in self.clients if self._rounds_of(client)]

    @property
    def remark(self) -> str | None:
        """What the reader of the results must know."""
        fewer = [client.name for client in self.clients if self._rounds_of(client) < self.rounds]
        if not fewer:
            return None
        how_often = (
            "left out" if self.slow_rounds == 0 else f"in {self.slow_rounds} of {self.rounds} rounds only"
        )
        return f"Slow here and therefore {how_often}: {', '.join(fewer)}."

    def _rounds_of(self, client: Client) -> int:
        return min(self.rounds, self.slow_rounds) if client.name in self.slow else self.rounds
