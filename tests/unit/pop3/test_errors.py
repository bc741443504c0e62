"""What a server's words mean: texts of real servers, and what the caller is to do next."""

import pytest

from app.pop3.errors import (
    AuthFailed,
    LoginDelay,
    MaildropInUse,
    Pop3Error,
    ServerPermanent,
    ServerTemporary,
    command_error,
    greeting_error,
    is_meant_for_all,
    login_error,
    response_code,
)

BY_CODE = [
    ("[AUTH] Authentication failed.", AuthFailed),  # Dovecot
    ("[AUTH] Username and password not accepted.", AuthFailed),  # Gmail
    ("[AUTH] Application-specific password required", AuthFailed),  # Gmail
    ("[AUTH] (#AUTH005) Please try again later or use an app password", AuthFailed),  # Yahoo: the code wins
    ("[IN-USE] Unable to lock maildrop: Mailbox is locked by POP server", MaildropInUse),  # Cyrus, qpopper
    ("[IN-USE] Couldn't get the lock", MaildropInUse),
    ("[LOGIN-DELAY] minimum time between mail checks violation", LoginDelay),  # qpopper
    ("[SYS/TEMP] Server error - Please try again later", ServerTemporary),  # Yahoo
    ("[SYS/TEMP] Temporary authentication failure. [mail1:2026-01-01]", ServerTemporary),  # Dovecot
    ("[sys/temp] mixed case", ServerTemporary),
    ("[SYS/TEMP/QUOTA] a code that grew", ServerTemporary),
    ("[SYS/PERM] Your account is not enabled for POP access.", ServerPermanent),  # Gmail
]
WRONG_PASSWORD = [
    "Authentication failed.",  # Dovecot without codes
    "Login failed.",  # Courier
    "Logon failure: unknown user name or bad password.",  # Exchange
    "Invalid login",  # Cyrus
    "authorization failed",  # qmail-pop3d
    "authentication failed",  # popa3d
    'Password supplied for "wait@example.org" is incorrect.',  # qpopper; the name is ours
    "Invalid user name or password.",  # hMailServer
    "Bad login",
    "Unable to log on",  # Exchange
    "Wrong password, please try again",
    "Username or password incorrect. Please retry.",
    "your credentials are not accurate",  # no "rate" in it
    "the password you separated is not corporate",
    "",
    "nope",
    "Permission denied",
    "mailbox does not exist",
    "Invalid password: the clock of blocks is unlocked",  # "lock" inside words
    # Its first sentence judges this attempt, and what there were too many of is wrong passwords. Trying again is
    # what turns that into a ban; a person has to look.
    "Authentication failed. Too many invalid logins",
]
LATER = [
    ("Unable to lock maildrop", MaildropInUse),
    ("Maildrop already locked", MaildropInUse),
    ("mailbox in use", MaildropInUse),
    ("Unable to obtain a lock: maildrop is locked by another session", MaildropInUse),
    ("Can't get lock. Mailbox in use", MaildropInUse),  # qpopper
    ("Login failed: mailbox is already open", MaildropInUse),
    ("user is already logged in", MaildropInUse),
    ("login failed unable to lock maildrop", MaildropInUse),
    ("the mailbox of user reader is locked", MaildropInUse),
    ("Too many connections from your address", ServerTemporary),
    ("Maximum number of connections exceeded", ServerTemporary),  # Courier
    ("Temporary problem, please try again later", ServerTemporary),  # Courier
    ("Login failed. Please try again later.", ServerTemporary),
    ("Authentication failed: service temporarily unavailable", ServerTemporary),
    ("this user has no $HOME/Maildir: system error", ServerTemporary),  # qmail
    ("Internal error occurred. Refer to server log for more information.", ServerTemporary),  # Dovecot
    ("Account locked after too many failed attempts", ServerTemporary),
    ("server overloaded", ServerTemporary),
    ("Please wait", ServerTemporary),
    ("rate limit", ServerTemporary),
    ("Try again in 15 minutes", ServerTemporary),
    (
        "Exceeded the login limit for a 15 minute period. Reduce the frequency of requests.",
        LoginDelay,
    ),  # Hotmail
    ("Login allowed only every 15 minutes", LoginDelay),
    ("Abruf nur alle 15 Minuten", LoginDelay),  # web.de, GMX
    ("you log in too often", LoginDelay),
]


@pytest.mark.parametrize(("text", "kind"), BY_CODE)
def test_a_response_code_decides_whatever_the_words_say(text: str, kind: type[Pop3Error]) -> None:
    assert type(login_error(text)) is kind


@pytest.mark.parametrize("text", WRONG_PASSWORD)
def test_a_refusal_without_a_sign_of_a_passing_cause_is_a_wrong_password(text: str) -> None:
    assert type(login_error(text, echoes=("wait@example.org", "secret"))) is AuthFailed


@pytest.mark.parametrize(("text", "kind"), LATER)
def test_words_of_a_passing_cause_are_no_wrong_password(text: str, kind: type[Pop3Error]) -> None:
    assert type(login_error(text)) is kind


def test_words_that_we_sent_ourselves_tell_nothing_about_the_server() -> None:
    text = "login of busy@later.example refused, password lock"
    assert type(login_error(text)) is not AuthFailed
    assert type(login_error(text, echoes=("busy@later.example", "lock"))) is AuthFailed


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("too many connections", ServerTemporary),
        ("[AUTH] your address is not welcome", ServerTemporary),
        ("[SYS/PERM] this service has moved", ServerPermanent),
        ("[LOGIN-DELAY] too early", LoginDelay),
        ("go away", ServerTemporary),
        ("", ServerTemporary),
    ],
)
def test_a_greeting_is_never_about_a_password(text: str, kind: type[Pop3Error]) -> None:
    assert type(greeting_error(text)) is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[IN-USE] locked", MaildropInUse),
        ("maildrop is locked", MaildropInUse),
        ("[SYS/PERM] gone", ServerPermanent),
        ("[AUTH] strange here", ServerTemporary),
        ("cannot read it", ServerTemporary),
    ],
)
def test_a_refused_command_is_tried_later_unless_it_is_said_otherwise(
    text: str, kind: type[Pop3Error]
) -> None:
    error = command_error("UIDL", text)
    assert type(error) is kind
    assert "UIDL" in error.detail


def test_an_error_carries_the_words_and_the_code() -> None:
    error = login_error(" [in-use] somebody is in ")
    assert (error.reply, error.response_code) == ("[in-use] somebody is in", "IN-USE")
    assert "somebody is in" in str(error)


def test_endless_words_are_cut() -> None:
    error = login_error("x" * 8000)
    assert len(error.detail) <= 600
    assert len(error.reply or "") <= 500


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[AUTH] x", "AUTH"),
        (" [sys/temp]", "SYS/TEMP"),
        ("x [AUTH]", None),
        ("[]", None),
        ("[A B]", None),
        ("", None),
    ],
)
def test_a_response_code_stands_at_the_beginning(text: str, code: str | None) -> None:
    assert response_code(text) == code


@pytest.mark.parametrize(
    ("words", "is_for_all"),
    [
        ("[SYS/TEMP] no", True),
        ("Account exceeded command or bandwidth limits", True),
        ("too many requests", True),
        ("daily download quota reached", True),
        ("max messages per session reached", True),
        ("session expired", True),
        ("not authenticated", True),
        ("database error", True),
        ("[UNAVAILABLE] backend gone", True),
        ("daily message limit exceeded", True),
        ("[SYS/PERM] cannot read it", False),
        ("message exceeds size limit", False),
        ("cannot open message 3", False),
        ("message 3 is corrupt", False),
        ("no such message", False),
        ("Nachricht kann nicht gelesen werden", False),
        ("no", False),
    ],
)
def test_a_refusal_of_a_message_may_be_meant_for_all(words: str, is_for_all: bool) -> None:
    assert is_meant_for_all(words) is is_for_all
