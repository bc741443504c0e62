"""PURE  What real servers say, word for word: sentences that hold no secret, whatever the secret is.

To add one: its words as the server sends them, without the response code in front and the full stop at the end.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final


class Meaning(StrEnum):
    """What a sentence says."""

    GREETING = "greeting"
    WRONG_CREDENTIALS = "wrong credentials"
    APP_PASSWORD = "an app password is needed"  # noqa: S105  words of servers
    WEB_LOGIN = "a login in the browser is needed"
    SWITCHED_OFF = "POP3 is switched off"
    CLEAR_TEXT = "no login in clear text"
    LOCKED_ACCOUNT = "the account is locked"
    IN_USE = "the maildrop is in use"
    TOO_SOON = "the last login was too short a time ago"
    TEMPORARY = "not now"
    TROUBLE = "the server is in trouble"
    NO_MESSAGE = "there is no such message"
    NOT_KNOWN = "the command is not known"
    SMTP = "a server for SMTP"
    IMAP = "a server for IMAP"
    HTTP = "a server for HTTP"
    SSH = "a server for SSH"


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a server."""

    phrase: str
    server: str
    meaning: Meaning


_CODE: Final = re.compile(r"\[(?:AUTH|IN-USE|LOGIN-DELAY|SYS/TEMP|SYS/PERM)\]\s*", re.IGNORECASE)
_BLANKS: Final = re.compile(r"\s+")

# What words mean that are no sentence of ours; the first one that is found counts.
_WORDS: Final = (
    (re.compile(r"220", re.IGNORECASE | re.DOTALL), Meaning.SMTP),
    (re.compile(r"\* ", re.IGNORECASE | re.DOTALL), Meaning.IMAP),
    (re.compile(r"HTTP/", re.IGNORECASE | re.DOTALL), Meaning.HTTP),
    (re.compile(r"SSH-", re.IGNORECASE | re.DOTALL), Meaning.SSH),
    (re.compile(r".*web login", re.IGNORECASE | re.DOTALL), Meaning.WEB_LOGIN),
    (re.compile(r".*(?:app password|application-specific)", re.IGNORECASE | re.DOTALL), Meaning.APP_PASSWORD),
    (re.compile(r".*lock", re.IGNORECASE | re.DOTALL), Meaning.LOCKED_ACCOUNT),
)
_WORDS_READ: Final = 1000  # characters


def _said(server: str, meaning: Meaning, *phrases: str) -> list[Sentence]:
    return [Sentence(phrase, server, meaning) for phrase in phrases]


SENTENCES: Final[tuple[Sentence, ...]] = (
    *_said("Dovecot", Meaning.GREETING, "Dovecot ready", "Dovecot (Debian) ready", "Dovecot (Ubuntu) ready"),
    *_said("Dovecot", Meaning.WRONG_CREDENTIALS, "Authentication failed", "Invalid username or password"),
    *_said(
        "Dovecot",
        Meaning.TEMPORARY,
        "Temporary authentication failure",
        "Authentication temporarily unavailable",
        "Internal error occurred. Refer to server log for more information",
        "Disconnected: Auth process broken",
        "Disconnected for inactivity",
        "Mail storage is temporarily unavailable",
    ),
    *_said(
        "Dovecot",
        Meaning.CLEAR_TEXT,
        "Plaintext authentication disallowed on non-secure (SSL/TLS) connections",
        "Cleartext authentication disallowed on non-secure (SSL/TLS) connections",
    ),
    *_said(
        "Dovecot", Meaning.IN_USE, "Mailbox is locked by another POP3 session", "Mailbox is already locked"
    ),
    *_said("Dovecot", Meaning.SWITCHED_OFF, "Account is disabled", "User is disabled"),
    *_said(
        "Dovecot",
        Meaning.NO_MESSAGE,
        "There's no message 1",
        "Message is deleted",
        "Message not found",
        "Invalid message number",
    ),
    *_said("Dovecot", Meaning.NOT_KNOWN, "Unknown command", "Too many invalid bad commands"),
    *_said("Cyrus", Meaning.WRONG_CREDENTIALS, "Invalid login", "authentication failure"),
    *_said(
        "Cyrus", Meaning.CLEAR_TEXT, "USER command only available under a layer", "Must give USER command"
    ),
    *_said(
        "Cyrus",
        Meaning.TROUBLE,
        "Unable to locate maildrop",
        "Unable to open maildrop",
        "System error",
    ),
    *_said(
        "Cyrus",
        Meaning.IN_USE,
        "Unable to lock maildrop",
        "Maildrop lock busy",
        "Maildrop locked by another session",
        "Unable to lock maildrop: Mailbox is locked",
    ),
    *_said(
        "Cyrus", Meaning.NOT_KNOWN, "Unrecognized command", "Unexpected extra argument", "Missing argument"
    ),
    *_said("Courier", Meaning.GREETING, "Hello there", "Password required", "logged in"),
    *_said("Courier", Meaning.WRONG_CREDENTIALS, "Login failed", "authentication error"),
    *_said("Cyrus", Meaning.WRONG_CREDENTIALS, "Invalid user"),
    *_said("Cyrus", Meaning.CLEAR_TEXT, "APOP command only available under a layer"),
    *_said("Dovecot", Meaning.TROUBLE, "Mailbox is in inconsistent state, please relogin"),
    *_said("Dovecot", Meaning.TEMPORARY, "Internal login failure. Refer to server log for more information"),
    *_said("James", Meaning.TROUBLE, "Unexpected error accessing mailbox"),
    *_said("James", Meaning.WRONG_CREDENTIALS, "Authentication failed"),
    *_said("nginx", Meaning.TEMPORARY, "Internal server error"),
    *_said("Gmail", Meaning.TOO_SOON, "Account exceeded pop command or bandwidth limits"),
    *_said(
        "Courier",
        Meaning.TEMPORARY,
        "Temporary problem, please try again later",
        "Maximum connection limit reached",
    ),
    *_said("Courier", Meaning.NOT_KNOWN, "Invalid command", "Invalid command, must be USER or CAPA"),
    *_said("GNU Mailutils", Meaning.GREETING, "POP3 Ready"),
    *_said(
        "GNU Mailutils", Meaning.WRONG_CREDENTIALS, "Bad login", "User authentication failed", "Bad arguments"
    ),
    *_said("GNU Mailutils", Meaning.TOO_SOON, "minimum time between mail checks violation"),
    *_said("GNU Mailutils", Meaning.IN_USE, "mailbox in use", "mailbox is locked by another process"),
    *_said("GNU Mailutils", Meaning.NO_MESSAGE, "No such message"),
    *_said("popa3d", Meaning.WRONG_CREDENTIALS, "Authentication failed (bad password?)"),
    *_said("popa3d", Meaning.TEMPORARY, "Server failure (try again later)", "Try again later"),
    *_said("popa3d", Meaning.NOT_KNOWN, "Bad command"),
    *_said("Qpopper", Meaning.WRONG_CREDENTIALS, "Password supplied is incorrect", "access denied"),
    *_said(
        "Qpopper", Meaning.IN_USE, "POP3 maildrop lock busy! Is another session active?", "maildrop lock busy"
    ),
    *_said("teapop", Meaning.WRONG_CREDENTIALS, "Bad username or password"),
    *_said("qmail-pop3d", Meaning.WRONG_CREDENTIALS, "authorization failed"),
    *_said("qmail-pop3d", Meaning.TROUBLE, "aack, child crashed"),
    *_said(
        "qmail-pop3d", Meaning.NOT_KNOWN, "authorization first", "USER first", "unimplemented", "syntax error"
    ),
    *_said("qmail-pop3d", Meaning.TROUBLE, "unable to scan $HOME/Maildir", "this user has no $HOME/Maildir"),
    *_said(
        "qmail-pop3d",
        Meaning.NO_MESSAGE,
        "not that many messages",
        "already deleted",
        "unable to open that message",
    ),
    *_said("Exchange", Meaning.GREETING, "The Microsoft Exchange POP3 service is ready"),
    *_said(
        "Exchange",
        Meaning.WRONG_CREDENTIALS,
        "Logon failure: unknown user name or bad password",
        "Logon failure",
        "Authentication failure: unknown user name or bad password",
    ),
    *_said(
        "Exchange",
        Meaning.CLEAR_TEXT,
        "Command is not valid in this state",
        "Logon is not allowed on an unencrypted connection",
    ),
    *_said(
        "Exchange",
        Meaning.TEMPORARY,
        "Server Unavailable",
        "Server Unavailable. 21",
        "Server Unavailable. 15",
        "Connection is closed. 10",
        "Connection is closed. 14",
    ),
    *_said(
        "Exchange",
        Meaning.SWITCHED_OFF,
        "User account is disabled for POP3",
        "Protocol is disabled for the user",
    ),
    *_said("Gmail", Meaning.WRONG_CREDENTIALS, "Username and password not accepted", "Invalid credentials"),
    *_said(
        "Gmail",
        Meaning.APP_PASSWORD,
        "Application-specific password required",
        "Application-specific password required: https://support.google.com/accounts/answer/185833",
    ),
    *_said(
        "Gmail",
        Meaning.WEB_LOGIN,
        "Web login required",
        "Web login required: https://support.google.com/mail/answer/78754",
        "Please log in via your web browser",
    ),
    *_said(
        "Gmail",
        Meaning.SWITCHED_OFF,
        "Your account is not enabled for POP access. Please visit your Gmail settings page and enable your account "
        "for POP access",
    ),
    *_said(
        "Gmail",
        Meaning.TEMPORARY,
        "Temporary system problem. Please try again later",
        "System error. Please try again later",
    ),
    *_said("Yahoo", Meaning.GREETING, "hello from popgate", "password required"),
    *_said(
        "Yahoo",
        Meaning.WRONG_CREDENTIALS,
        "invalid user/password",
        "Error logging in. Please visit http://mail.yahoo.com",
    ),
    *_said("Yahoo", Meaning.TEMPORARY, "Server error - Please try again later"),
    *_said("Yahoo", Meaning.APP_PASSWORD, "App password required", "Please generate an app password"),
    *_said("hMailServer", Meaning.GREETING, "POP3"),
    *_said(
        "hMailServer",
        Meaning.WRONG_CREDENTIALS,
        "Invalid user name or password",
        "Invalid user name or password. Please use full email address as user name",
    ),
    *_said("hMailServer", Meaning.LOCKED_ACCOUNT, "Too many invalid logon attempts"),
    *_said("hMailServer", Meaning.IN_USE, "Your mailbox is already locked"),
    *_said(
        "Zimbra", Meaning.WRONG_CREDENTIALS, "invalid username/password", "authentication failed for user"
    ),
    *_said("Zimbra", Meaning.IN_USE, "unable to lock mailbox"),
    *_said("Zimbra", Meaning.CLEAR_TEXT, "only valid after entering TLS mode", "cleartext logins disabled"),
    *_said(
        "Zimbra",
        Meaning.SWITCHED_OFF,
        "pop access disabled for account",
        "account is not active",
    ),
    *_said("Zimbra", Meaning.TEMPORARY, "maintenance mode"),
    *_said("Zimbra", Meaning.NOT_KNOWN, "command not enabled"),
    *_said("MDaemon", Meaning.WRONG_CREDENTIALS, "Access denied", "Unknown user or incorrect password"),
    *_said("Kerio Connect", Meaning.WRONG_CREDENTIALS, "Wrong password", "Unknown user"),
    *_said(
        "web.de and GMX",
        Meaning.WRONG_CREDENTIALS,
        "Authentication credentials invalid",
        "incorrect password or account name",
    ),
    *_said("web.de and GMX", Meaning.SWITCHED_OFF, "POP3 access is not activated for this account"),
    *_said(
        "others",
        Meaning.WRONG_CREDENTIALS,
        "incorrect password",
        "invalid password",
        "bad password",
        "wrong password",
        "wrong user name or password",
        "invalid username or password",
        "invalid user or password",
        "incorrect username or password",
        "invalid login or password",
        "invalid credentials",
        "login incorrect",
        "permission denied",
        "password incorrect",
        "unknown user",
        "no such user",
    ),
    *_said(
        "others",
        Meaning.IN_USE,
        "maildrop already locked",
        "maildrop in use",
        "mailbox locked",
        "unable to lock mailbox",
    ),
    *_said("others", Meaning.TOO_SOON, "login too frequent", "too many logins"),
    *_said(
        "others",
        Meaning.TEMPORARY,
        "temporary failure",
        "internal server error",
        "server error",
        "try again later",
    ),
    *_said(
        "others", Meaning.LOCKED_ACCOUNT, "account locked", "your account is locked", "too many failed logins"
    ),
    *_said(
        "others", Meaning.NO_MESSAGE, "no such message", "message does not exist", "message has been deleted"
    ),
    *_said(
        "others", Meaning.NOT_KNOWN, "unknown command", "command not permitted", "command not implemented"
    ),
)


def is_known(text: str) -> bool:
    """Whether it is one of these sentences: case, blanks, a response code and a full stop do not matter."""
    return _plain(text) in _meanings()


def meaning_of_sentence(text: str) -> Meaning | None:
    """What one of these sentences says."""
    return _meanings().get(_plain(text))


def meaning_of(text: str) -> Meaning | None:
    """What a server's words say, as far as we can tell."""
    if (meaning := meaning_of_sentence(text)) is not None:
        return meaning
    words = text[:_WORDS_READ]
    return next((meaning for pattern, meaning in _WORDS if pattern.match(words)), None)


@cache
def _meanings() -> Mapping[str, Meaning]:
    return {_plain(sentence.phrase): sentence.meaning for sentence in SENTENCES}


def _plain(text: str) -> str:
    words = _BLANKS.sub(" ", text[:400]).strip()
    if found := _CODE.match(words):
        words = words[found.end() :]
    return words.casefold().rstrip(".! ")
