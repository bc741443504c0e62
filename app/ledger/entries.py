"""PURE  The rows of ledger entries, as they are written."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.ledger.lines import Candidate, MaildropId
from app.ledger.matching import SameAs
from app.ledger.models import EntryState
from app.mail.fingerprint import Fingerprint, shown

Row = dict[str, Any]

_MOST_HEAD = 32 * 1024


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Makes the rows of one maildrop at one moment. Every row has every column: they are written in bulk. ``was`` is
    none: the line that a message had under another unique-id.

    ``baseline_reason``: why messages are baseline, where it was decided.
    """

    maildrop: MaildropId
    now: datetime
    baseline_reason: str | None = None

    def row(self, candidate: Candidate, state: EntryState, **facts: Any) -> Row:
        """The line of a candidate in a state."""
        row: Row = {
            "mailbox_id": self.maildrop.mailbox_id,
            "generation": self.maildrop.generation,
            "unique_id": candidate.unique_id,
            "occurrence": candidate.occurrence,
            "was": None,
            "octets": candidate.octets,
            "state": state.value,
            "first_seen_at": self.now,
            "message_seq": None,
            "attempts": candidate.attempts,
            "next_attempt_at": None,
            "reason": None,
            "is_wanted": False,
            "headers_sha256": None,
            "content_sha256": None,
            "names_sha256": None,
            "head_octets": None,
            "body_sha256": None,
            "head": None,
            "is_whole": None,
            "doubt": None,
            "doubtful_sha256": None,
        }
        row |= facts
        return row

    def too_large(self, candidate: Candidate, *, head: bytes | None = None) -> Row:
        """A message over the limit: its headers are kept."""
        reason = "larger than the limit"
        if head is None:
            return self.row(candidate, EntryState.TOO_LARGE, reason=reason)
        if len(head) > _MOST_HEAD:
            reason += f"; of its headers the first {_MOST_HEAD} octets are kept"
        kept = {"head": head[:_MOST_HEAD], **_fingerprint_columns(shown(head))}
        return self.row(candidate, EntryState.TOO_LARGE, reason=reason, **kept)

    def baseline(self, candidate: Candidate, marks: Fingerprint | None) -> Row:
        """A message that is known and not wanted, and what its headers told where they were looked at."""
        kept = _fingerprint_columns(marks) if marks else {}
        return self.row(candidate, EntryState.BASELINE, reason=self.baseline_reason, **kept)

    def filtered(self, candidate: Candidate, reason: str | None, marks: Fingerprint | None) -> Row:
        """A message that the criteria do not want, and the rule that said so."""
        return self.row(
            candidate, EntryState.FILTERED, reason=reason, **(_fingerprint_columns(marks) if marks else {})
        )

    def stored(self, candidate: Candidate, marks: Fingerprint, message_seq: int) -> Row:
        """A message of its own that is stored now."""
        kept = {"content_sha256": marks.content, **_fingerprint_columns(marks)}
        return self.row(candidate, EntryState.STORED, message_seq=message_seq, **kept)

    def same(self, candidate: Candidate, same: SameAs) -> Row:
        """A suspect that proved to be a known message, under its own id or a new one, and what it looks like by now."""
        line, marks = same.line, same.marks
        is_renamed = candidate.unique_id != line.unique_id
        kept = {
            "headers_sha256": line.headers,
            "names_sha256": line.names,
            "head_octets": line.head_octets,
            "content_sha256": line.content,
            "body_sha256": line.body,
        }
        if marks is not None:
            kept |= _fingerprint_columns(marks)
            # A line that was never looked into stays so: its headers alone are no content.
            kept["content_sha256"] = (marks.content or line.content) if line.content else None
        return self.row(
            candidate,
            line.state,
            occurrence=candidate.occurrence if is_renamed else line.occurrence,
            was=line.entry_id if is_renamed else None,
            message_seq=line.message_seq,
            attempts=line.attempts,
            next_attempt_at=line.next_attempt_at,
            is_whole=line.is_whole,
            doubt=line.doubt,
            doubtful_sha256=line.doubtful,
            reason="recognised under a new unique-id" if is_renamed else None,
            **kept,
        )

    def copy(self, candidate: Candidate, *, of: int, message_seq: int | None, marks: Fingerprint) -> Row:
        """A second copy of a message under the same unique-id."""
        return self.row(
            candidate,
            EntryState.STORED,
            message_seq=message_seq,
            content_sha256=marks.content,
            reason=f"the same content as occurrence {of}",
            **_fingerprint_columns(marks),
        )


def _fingerprint_columns(marks: Fingerprint) -> Row:
    return {
        "headers_sha256": marks.headers,
        "names_sha256": marks.names,
        "head_octets": marks.head_octets,
    }
