"""PURE  How many syncs at once a mail server gets: fewer while it does not answer, more again once it does."""

from collections.abc import Mapping

from app.sync.errors import SyncErrorCode

# With these a server says nothing at all. Any other end means that it is there and answers.
_NO_ANSWER = {SyncErrorCode.CONNECT_FAILED, SyncErrorCode.TIMEOUT}


class ServerLimits:
    """Halves a server's share when it fails to answer, down to one; each sync that it answers adds one.

    So a server that is down holds one place of a worker instead of ``most``, and one that allows fewer connections
    than that finds its measure. Known are only servers that get less than ``most``.
    """

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError("a mail server needs room for at least one sync")
        self.most = most
        self._lowered: dict[str, int] = {}

    @property
    def lowered(self) -> Mapping[str, int]:
        """The servers that get less than ``most`` now, and how much."""
        return self._lowered

    def ended(self, server: str, code: SyncErrorCode | None) -> None:
        """A sync with this server ended with ``code`` (None: in order)."""
        share = self._lowered.get(server, self.most)
        share = max(1, share // 2) if code in _NO_ANSWER else share + 1
        if share < self.most:
            self._lowered[server] = share
        else:
            self._lowered.pop(server, None)
