"""A POP3 client (RFC 1939, 2449, 2595, 8314): pipelined, exact to the octet, bounded. Standard library only."""

from app.pop3.connect import connect
from app.pop3.endpoint import Endpoint, Security
from app.pop3.errors import (
    ArgumentIgnored,
    AuthFailed,
    BodyRunsOn,
    CleartextRefused,
    ConnectFailed,
    ConnectionLost,
    InvalidArgument,
    LimitExceeded,
    LoginDelay,
    MaildropInUse,
    NotAdmitted,
    OutOfTime,
    Pop3Error,
    ProtocolError,
    Renumbered,
    ServerPermanent,
    ServerTemporary,
    Sign,
    SpoolFailed,
    Timeout,
    TlsFailed,
    TooSlow,
    UidlUnavailable,
    WayRefused,
    login_error,
)
from app.pop3.limits import Limits
from app.pop3.lines import Line, Lines, Listing, RawListing, Stat
from app.pop3.session import Pop3Session
from app.pop3.transaction.answers import Ending, Refusal, Retrieved
from app.pop3.transaction.listing import (
    Sliced,
    in_one_go,
    lacks_ids,
    line_slices,
    parse_listing,
    parsing,
    sizes_by_number,
    with_ids,
    without_ids,
)
from app.pop3.transaction.sizes import Meter, Size
from app.pop3.wire.capabilities import Capabilities
from app.pop3.wire.dialogue import Took, nobody_counts
from app.pop3.wire.milestones import Announced, Connected, Greeted, Milestone, Protected, Reached, unwatched
from app.pop3.wire.progress import Progress
from app.pop3.wire.redaction import Redaction
from app.pop3.wire.stream import client_tls_context
from app.pop3.wire.transcript import Transcript
from app.pop3.words.refusals import Meaning, meaning_of
from app.pop3.words.verdicts import Blame, Verdict

__all__ = [
    "Announced", "ArgumentIgnored", "AuthFailed", "Blame", "BodyRunsOn", "Capabilities", "CleartextRefused",
    "ConnectFailed", "Connected", "ConnectionLost", "Ending", "Endpoint", "Greeted", "InvalidArgument",
    "LimitExceeded", "Limits", "Line", "Lines", "Listing", "LoginDelay", "MaildropInUse", "Meaning", "Meter",
    "Milestone", "NotAdmitted", "OutOfTime", "Pop3Error", "Pop3Session", "Progress", "Protected",
    "ProtocolError", "RawListing", "Reached", "Redaction", "Refusal", "Renumbered", "Retrieved", "Security",
    "ServerPermanent", "ServerTemporary", "Sign", "Size", "Sliced", "SpoolFailed", "Stat", "Timeout",
    "TlsFailed", "TooSlow", "Took", "Transcript", "UidlUnavailable", "Verdict", "WayRefused",
    "client_tls_context", "connect", "in_one_go", "lacks_ids", "line_slices", "login_error", "meaning_of",
    "nobody_counts", "parse_listing", "parsing", "sizes_by_number", "unwatched", "with_ids", "without_ids",
]  # fmt: skip
