"""PURE  Ledger lines as they are written."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.mail.fingerprint import headers_digest
from app.mailboxes.models import MailboxId
from app.sync.models import EntryState
from app.sync.plan import Candidate, Known

Row = dict[str, Any]

_MOST_HEAD = 32 * 1024


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Makes the rows of one mailbox at one moment. Every row has every column: they are written in bulk."""

    mailbox_id: MailboxId
    now: datetime

    def row(self, candidate: Candidate, state: EntryState, **facts: Any) -> Row:
        """The line of a candidate in a state."""
        blank = {
            "message_seq": None,
            "attempts": candidate.attempts,
            "next_attempt_at": None,
            "reason": None,
            "is_wanted": False,
            "headers_sha256": None,
            "content_sha256": None,
            "head": None,
            "is_whole": None,
            "doubt": None,
            "doubtful_sha256": None,
        }
        return blank | {
            "mailbox_id": self.mailbox_id,
            "unique_id": candidate.unique_id,
            "occurrence": candidate.occurrence,
            "octets": candidate.octets,
            "state": state.value,
            "first_seen_at": self.now,
            **facts,
        }

    def too_large(self, candidate: Candidate, *, head: bytes | None = None) -> Row:
        """A message over the limit: its headers are kept."""
        reason = "larger than the limit"
        if head is None:
            return self.row(candidate, EntryState.TOO_LARGE, reason=reason)
        marks = {"head": head[:_MOST_HEAD], "headers_sha256": headers_digest(head)}
        return self.row(candidate, EntryState.TOO_LARGE, reason=reason, **marks)

    def filtered(self, candidate: Candidate, reason: str | None, headers: bytes | None) -> Row:
        """A message that the criteria do not want, and the rule that said so."""
        return self.row(candidate, EntryState.FILTERED, reason=reason, headers_sha256=headers)

    def same(self, candidate: Candidate, line: Known) -> Row:
        """A suspect that proved to be the message of ``line``: known under its own id, or under a new one."""
        is_renamed = candidate.unique_id != line.unique_id
        return self.row(
            candidate,
            line.state,
            occurrence=candidate.occurrence if is_renamed else line.occurrence,
            message_seq=line.message_seq,
            attempts=line.attempts,
            next_attempt_at=line.next_attempt_at,
            headers_sha256=line.headers,
            content_sha256=line.content,
            is_whole=line.is_whole,
            doubt=line.doubt,
            doubtful_sha256=line.doubtful,
            reason="recognised under a new unique-id" if is_renamed else None,
        )

    def copy(self, candidate: Candidate, *, of: int, message_seq: int | None, content: bytes) -> Row:
        """A second copy of a message under the same unique-id."""
        return self.row(
            candidate,
            EntryState.STORED,
            message_seq=message_seq,
            content_sha256=content,
            reason=f"the same content as occurrence {of}",
        )
