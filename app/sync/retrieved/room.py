"""Whether there is room for more mail: quotas, and the disk. Asked before a sync retrieves anything, and before each
batch that it stores.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import Session

from app.mailboxes.keeping.quotas import Limit
from app.mailboxes.models import Mailbox, MailboxId
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.messages import sums


def free_octets(folder: Path) -> int:
    """What may still be written to the file system of a folder."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, kw_only=True)
class Room:
    """``overall``: of all mailboxes; ``each``: of one that says nothing itself. ``folder``: where the database lies, if
    that can be known; on its file system ``least_free`` octets are left to others.
    """

    overall: Limit = field(default_factory=Limit)
    each: Limit = field(default_factory=Limit)
    folder: Path | None = None
    least_free: int = 0
    free: Callable[[Path], int] = free_octets

    def refuse_full_disk(self) -> None:
        """Raises SyncFailed where the disk is nearly full: before the database stops, which then could not be read."""
        if self.folder is None or not self.least_free:
            return
        try:
            free = self.free(self.folder)
        except OSError:  # then the database will say so
            return
        if free < self.least_free:
            raise SyncFailed(
                SyncErrorCode.STORAGE_FAILED,
                f"There are {free} octets free where the database lies: nothing is stored until {self.least_free} are.",
                cause="The disk of the database is nearly full. Syncs stop before the database has to.",
                remedy="Make room; let contents expire (local_retention) or delete some, and run 'maildelta storage "
                "vacuum' if the file does not shrink; or set MAILDELTA_LEAST_FREE_OCTETS lower. Syncs go on by "
                "themselves.",
            )

    def is_limited(self, mailbox: Mailbox) -> bool:
        """Whether a quota counts for the mailbox."""
        return Limit() != Limit.of(mailbox.quota, self.each) or self.overall != Limit()

    def refuse_full(self, db: Session, mailbox: Mailbox) -> None:
        """Raises SyncFailed where a quota is reached, or the disk is nearly full."""
        self.refuse_full_disk()
        limit = Limit.of(mailbox.quota, self.each)
        if limit != Limit():
            mailbox_id = MailboxId(mailbox.id or 0)
            mine = sums.of(db, [mailbox_id]).get(mailbox_id, sums.Stored())
            if told := limit.reached_by(octets=mine.octets, messages=mine.messages):
                _refuse(f"The quota of the mailbox is reached: {told}.")
        if self.overall != Limit():
            every = sums.overall(db)
            if self.overall.reached_by(octets=every.octets, messages=every.messages):
                _refuse("The quota of the service, over all mailboxes, is reached.")


def _refuse(detail: str) -> None:
    raise SyncFailed(SyncErrorCode.QUOTA_EXCEEDED, detail)
