"""PURE  Every code that a problem document or an ended sync's error may have: its meaning, its cause, what to do.

Tests hold it against the code, the documents and the OpenAPI document.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """What it means, what is likely behind it, what to do. ``retryable``: the same call may succeed later, without
    anything being changed.
    """

    meaning: str
    cause: str
    remedy: str
    retryable: bool = False


_CALLS: Final = {
    "bad_request": ErrorCode(
        "The request is not HTTP as RFC 9112 has it, or its body did not come whole.",
        "A program that writes HTTP by hand, a proxy that changes it, or a connection that broke off.",
        "Send it again. If a program makes requests by hand, let a library do it.",
    ),
    "malformed_json": ErrorCode(
        "The body is not JSON: the detail says at which line and column.",
        "Often quotes that a shell took away, a comma too many, or text that is not UTF-8.",
        "Let a JSON library write it, in UTF-8. In a shell, put the body into single quotes.",
    ),
    "invalid_cursor": ErrorCode(
        "The cursor is not one that this service gave.",
        "It was cut off, changed or made up on its way, or is not encoded for a URL.",
        "Pass next_cursor as it was answered, encoded as a query parameter.",
    ),
    "cursor_mismatch": ErrorCode(
        "The cursor was given for another list, order or filter.",
        "The parameters were changed between two pages, or one cursor is kept for two lists.",
        "Keep one cursor for each choice of parameters; after a change of filters begin with after=latest.",
    ),
    "unauthorized": ErrorCode(
        "The API key of the request is missing or not valid. It is never about a mail server's login.",
        "The header field is missing or misspelt, or the key was cut off, revoked or rotated.",
        "Send 'Authorization: Bearer <key>'. 'maildelta show-key' prints the first key.",
    ),
    "link_not_valid": ErrorCode(
        "The signed link was cut, is of something else, has run out, or the key in whose name it was made is gone "
        "or has another secret.",
        "Links last for minutes, and end with the key, or the secret, in whose name they were made.",
        "Ask for a new one by include=raw_url. MAILDELTA_LINK_SECONDS says how long links last.",
    ),
    "key_expired": ErrorCode(
        "The API key was valid until a moment that has passed.",
        "Whoever made the key gave it an end.",
        "Use another key, or have an admin change its expires_at: PATCH /api-keys/{id}.",
    ),
    "forbidden": ErrorCode(
        "The API key is valid and may not do this: it lacks a scope, or is bound to some mailboxes.",
        "The key was made for less than this.",
        "Use a key that may, as the detail says. GET /whoami tells what a key may.",
    ),
    "address_not_allowed": ErrorCode(
        "The API key is valid, and the request came from an address outside of its allowed_networks.",
        "The client moved, or a proxy stands between and is not known as one.",
        "Send it from an address that is allowed. Behind a proxy, MAILDELTA_TRUSTED_PROXIES must name the proxy.",
    ),
    "not_found": ErrorCode(
        "There is nothing with this id, or nothing at this address.",
        "It was deleted, is of another service, is out of the key's reach, or the address is misspelt.",
        "Look for it in the list that it is of.",
    ),
    "transcript_not_found": ErrorCode(
        "There is no transcript of this sync.",
        "The sync did not fail, nothing was said in it, later failures took its place, or none are kept.",
        "Set MAILDELTA_TRANSCRIPTS=true, and sync again.",
    ),
    "method_not_allowed": ErrorCode(
        "The address exists, and does not know this method.",
        "The operation is at another address, or goes by another method.",
        "The header field Allow names those that it knows.",
    ),
    "request_timeout": ErrorCode(
        "The request did not come in time.",
        "The network is slow or broken, or the client stopped sending.",
        "Send it again, over a connection that is not as slow.",
        retryable=True,
    ),
    "conflict": ErrorCode(
        "The state of the resource does not allow it.",
        "Somebody else changed it, or something is under way that does not go with this.",
        "Read it, and decide anew.",
    ),
    "mailbox_exists": ErrorCode(
        "Another mailbox has the same host, port and username: mailbox_id and Location name it.",
        "It was registered before, perhaps by a request whose answer was lost.",
        "PATCH that one. If its mail is wanted twice, say allow_duplicate: true.",
    ),
    "external_id_exists": ErrorCode(
        "Another mailbox has this external_id: mailbox_id and Location name it.",
        "It was registered before by the same id, perhaps by a request whose answer was lost.",
        "PATCH that one, or PUT it at /mailboxes/by-external-id/{external_id}.",
    ),
    "idempotency_in_progress": ErrorCode(
        "The request with this Idempotency-Key is still worked on.",
        "The client gave up waiting for the first one, or sent it twice at once.",
        "Send it again, as it is, once Retry-After has passed.",
        retryable=True,
    ),
    "idempotency_key_reused": ErrorCode(
        "Another request was sent with this Idempotency-Key within the last 24 hours.",
        "The client does not make a new key for each request, or changed the body between two tries.",
        "Give each request a key of its own, such as a UUID, and only the very same request the same key.",
    ),
    "mailbox_paused": ErrorCode(
        "The mailbox is paused.", "Somebody paused it.", "PATCH it with paused: false."
    ),
    "mailbox_auth_failed": ErrorCode(
        "The mail server refused the mailbox's login; it is not asked again, for that gets accounts locked.",
        "The password is wrong or has changed, or the provider wants another way to log in.",
        "PATCH the mailbox with the right credentials.",
    ),
    "login_refused_wait": ErrorCode(
        "The mail server refused the login. It is tried again by itself in growing intervals, for repeated refusals "
        "get accounts locked.",
        "The password is wrong or has changed, or the server refuses all logins for a while.",
        "Wait as Retry-After says, PATCH the login, or ask with force=true, at most three times an hour.",
        retryable=True,
    ),
    "mailbox_needs_review": ErrorCode(
        "All unique-ids changed, and nothing can tell old mail from new.",
        "The server was moved or restored, or another account stands behind the login.",
        "Decide by POST /mailboxes/{id}/rebaseline, with dry_run=true first.",
    ),
    "without_secrets": ErrorCode(
        "The service was started without its secret key: it serves what is stored, and syncs nothing.",
        "It was started with --without-secrets, so that a copy of the data polls nobody's maildrop.",
        "Start it with the secret key.",
    ),
    "not_retrievable": ErrorCode(
        "The message is stored already, or is not on the server now.",
        "It was retrieved meanwhile, or deleted on the server.",
        "Read the ledger entry's state.",
    ),
    "sync_under_way": ErrorCode(
        "A sync of the mailbox runs, or ran while the request was worked on.",
        "Its poll came due, or somebody else asked for it.",
        "Ask again.",
        retryable=True,
    ),
    "maildrop_changed": ErrorCode(
        "Another account stands behind the mailbox than when the request began.",
        "Somebody changed the mailbox's host, port or username meanwhile.",
        "Ask again.",
        retryable=True,
    ),
    "cursor_gone": ErrorCode(
        "The cursor is of another feed, or of a place beyond this one's end: the database is another one.",
        "The service was set up anew, or the reader was pointed at another one.",
        "Begin anew with the cursor 'earliest' (what you have comes again) or 'latest' of the answer; where a list has "
        "none, without 'after'.",
    ),
    "message_expired": ErrorCode(
        "The message was here, and its contents were removed, as local_retention of its mailbox says. In the feed it "
        "has expired: true, so that nobody misses it without a word.",
        "Contents are kept only for as long as the mailbox, or the service, says.",
        "Read it earlier, or let the mailbox keep its messages longer. It may still be on the mail server.",
    ),
    "precondition_failed": ErrorCode(
        "It was changed since it was read: its ETag is not among those of If-Match.",
        "Somebody else changed it since, or the ETag is an old one.",
        "Read it again, and repeat the change if it is still wanted.",
    ),
    "body_too_large": ErrorCode(
        "The body has more octets than is allowed.",
        "A file, or a batch, that is larger than the service takes at once.",
        "Send less at once. MAILDELTA_MAX_BODY_OCTETS, of imports MAILDELTA_MAX_IMPORT_OCTETS and "
        "MAILDELTA_MAX_ARCHIVE_OCTETS, set the limits.",
    ),
    "uri_too_long": ErrorCode(
        "The URL has more octets than is allowed.",
        "Many filters in one request.",
        "Ask with fewer parameters.",
    ),
    "range_not_satisfiable": ErrorCode(
        "Range asks for octets behind the end.",
        "The place is of another file, or the whole was had already.",
        "Content-Range of the answer has after its '*/' how many there are.",
    ),
    "unsupported_media_type": ErrorCode(
        "The body is of another media type than the operation takes.",
        "Content-Type is missing, as by curl -d alone, or the body is compressed.",
        "Send Content-Type: application/json.",
    ),
    "invalid_request": ErrorCode(
        "Something in the request is not valid: errors says where, and what would be.",
        "A member or parameter is misspelt, missing, or has a value that does not go with the others.",
        "Correct what errors names.",
    ),
    "too_many_requests": ErrorCode(
        "Too many requests, waiting requests or wrong API keys came from this key or address.",
        "A program that asks without pause, several that share a key, or one with an old key.",
        "Wait for the seconds of Retry-After.",
        retryable=True,
    ),
    "headers_too_large": ErrorCode(
        "The header fields are too many, or have too many octets.",
        "Often cookies of other services on the same host.",
        "Send fewer; cookies are not needed here.",
    ),
    "internal_error": ErrorCode(
        "An error of ours; nothing of what was committed is lost.",
        "Something that nobody expected.",
        "The service's log has it, by the X-Request-Id of the answer. Please report it.",
    ),
    "storage_failed": ErrorCode(
        "The database cannot do its work at the moment.",
        "The disk is full, or the database is stopped, locked or too busy.",
        "Wait for the seconds of Retry-After. If it stays so: is there room on the disk, does the database run?",
        retryable=True,
    ),
    "busy": ErrorCode(
        "Answers to others take all the memory, or time, that there is for answers.",
        "Many large letters are read at the same time.",
        "Wait for the seconds of Retry-After.",
        retryable=True,
    ),
    "too_many_connections": ErrorCode(
        "There are too many connections, and all of them serve somebody.",
        "Clients that open a connection for each request, or keep many of them.",
        "Keep one connection and use it again.",
        retryable=True,
    ),
    "stopping": ErrorCode(
        "The service was stopped while it worked on the request, or waited for something to tell.",
        "An upgrade, a restart, or a shutdown of the machine.",
        "Send it again, and with an Idempotency-Key what makes something: the service starts anew, or another answers.",
        retryable=True,
    ),
    "http_version_not_supported": ErrorCode(
        "The server speaks HTTP/1.1.",
        "The client speaks HTTP/2 without TLS, or something that is not HTTP.",
        "Let the client speak it.",
    ),
}
SYNC_CODES: Final = {
    "connect_failed": ErrorCode(
        "No connection with the mail server came about.",
        "The name or the port is wrong, the server is down, or a firewall is between.",
        "Is the host's name right, does it run, does a firewall let it through?",
        retryable=True,
    ),
    "tls_failed": ErrorCode(
        "The connection with the mail server could not be protected.",
        "Security does not go with the port, or the certificate has expired or is another name's.",
        "Is security right for the port, is the certificate valid for the host? See POST /mailboxes/{id}/test.",
    ),
    "timeout": ErrorCode(
        "The mail server did not answer in time.",
        "The server is busy, or something between drops what is sent.",
        "It is tried again. If it stays so, see its load.",
        retryable=True,
    ),
    "auth_failed": ErrorCode(
        "The mail server refused the login.",
        "The password is wrong or has changed, or the provider wants another way to log in.",
        "PATCH the mailbox with the right credentials; some providers want a password for applications, or OAuth2.",
    ),
    "maildrop_in_use": ErrorCode(
        "Another session holds the maildrop's lock.",
        "A mail program, or another service, is logged in to the same maildrop.",
        "Does another client fetch it often? It is tried again.",
        retryable=True,
    ),
    "login_delay": ErrorCode(
        "The mail server wants more time between two logins.",
        "It was polled more often than the server allows.",
        "It is tried again when the time is over.",
        retryable=True,
    ),
    "server_temporary": ErrorCode(
        "The mail server, or the token server, says that it cannot at the moment.",
        "The server is being looked after, or has too much to do.",
        "It is tried again.",
        retryable=True,
    ),
    "server_permanent": ErrorCode(
        "The mail server, or the token server, refuses what is asked, and will again.",
        "POP3 is switched off for the account, or the server knows a command not at all.",
        "See the server's own words.",
    ),
    "protocol_error": ErrorCode(
        "What the server answered is not POP3, or not what was due.",
        "The port is that of another service, or something between changes what is sent.",
        "Is it a POP3 server, on this port? MAILDELTA_TRANSCRIPTS shows what was said.",
    ),
    "limit_exceeded": ErrorCode(
        "What the server sent is more than a limit allows.",
        "A maildrop that is larger than is expected, or a server that does not end.",
        "See the limits in docs/settings.md.",
    ),
    "address_refused": ErrorCode(
        "The host has an address or port that is not connected to.",
        "The host is private, or not a mail server's, or its name was pointed there.",
        "MAILDELTA_ALLOWED_PRIVATE_NETWORKS and MAILDELTA_ALLOWED_PORTS say which may be.",
    ),
    "needs_review": ErrorCode(
        "All unique-ids changed, and nothing can tell old mail from new.",
        "The server was moved or restored, or another account stands behind the login.",
        "Decide by POST /mailboxes/{id}/rebaseline, with dry_run=true first.",
    ),
    "quota_exceeded": ErrorCode(
        "As much is stored as may be, of the mailbox or of all together. Nothing was retrieved, nor deleted on the "
        "mail server.",
        "More mail came than was planned for.",
        "Raise the quota of the mailbox, or MAILDELTA_QUOTA_OCTETS and the like; or let contents expire "
        "(local_retention), or delete some. The next sync goes on.",
        retryable=True,
    ),
    "credentials_unreadable": ErrorCode(
        "No secret key of the service opens the stored credentials.",
        "MAILDELTA_SECRET_KEY was changed or lost, or the database is a copy without its key.",
        "Start it with the key that they were stored with, or send them again.",
    ),
}
CODES: Final = _CALLS | SYNC_CODES
