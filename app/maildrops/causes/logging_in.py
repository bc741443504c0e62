"""PURE  Why a server, or a token server before it, refuses a login."""

from app import pop3
from app.maildrops.causes.steps import IN_USE, Diagnosis, FailedStep
from app.maildrops.errors import SyncErrorCode, SyncFailed


def auth(error: Exception, at: FailedStep) -> Diagnosis | None:
    """What a refused login is about, or why none was tried."""
    meaning = error.meaning if isinstance(error, pop3.Pop3Error) else None
    match error:
        case pop3.AuthFailed():
            return _provider(meaning, at) or _refused(error, at)
        case pop3.ConnectionLost():
            return _provider(meaning, at) or Diagnosis(
                "The server ended the connection at the login: some answer a wrong password so, or block an address.",
                _right_login(at),
            )
        case pop3.ServerPermanent() if error.reply is None:
            return Diagnosis(
                error.detail, "Use a shorter password, such as an app password, or another way to log in."
            )
        case pop3.ServerTemporary() if error.blame is not None:
            return _refused(error, at)
        case pop3.ServerPermanent() if error.blame is not pop3.Blame.SERVER:
            return _refused(error, at)
        case pop3.CleartextRefused():
            return Diagnosis(
                "With security 'none' the password would cross the network in clear text, and that was not allowed.",
                "Use security 'tls' or 'starttls', or set allow_cleartext_password if the network between is trusted.",
            )
        case pop3.InvalidArgument():
            return Diagnosis(
                "The user name or the password cannot be sent: POP3 has room for 255 octets in a line.",
                "Use a shorter password, such as an app password.",
            )
        case SyncFailed(code=SyncErrorCode.CREDENTIALS_UNREADABLE):
            return Diagnosis(
                "The stored credentials were sealed by another secret key than this service has.",
                "Start the service with the key of then in MAILDELTA_SECRET_KEY, or send the credentials again.",
            )
        case SyncFailed(code=SyncErrorCode.AUTH_FAILED) if error.server_reply:
            return Diagnosis(
                "The token server refuses the refresh token or the client: revoked, expired, or of another client.",
                "Ask the account's owner for consent again, and send the new oauth2.",
            )
        case SyncFailed(code=SyncErrorCode.AUTH_FAILED):
            return Diagnosis("There are no credentials to log in with.", "Send the password, or oauth2.")
        case SyncFailed():
            return Diagnosis(
                "The token server gave no access token.",
                "See token_url, scope and the client's rights there.",
            )
    return None


def _refused(error: pop3.Pop3Error, at: FailedStep) -> Diagnosis:
    """What a refused login is about, by its words."""
    match error.verdict:
        case pop3.Verdict.SERVER:
            return Diagnosis(
                "The server cannot open the maildrop, or has trouble of its own. The password is not the trouble.",
                "Try again later; if it stays so, tell the provider. Its words are in detail.",
            )
        case pop3.Verdict.ACCOUNT:
            return Diagnosis(
                "The account is not open for this: disabled, suspended, or POP3 is not switched on in it.",
                "Switch POP3 on in the settings of the account, or ask the provider. Its words are in detail.",
            )
        case pop3.Verdict.POLICY:
            return Diagnosis(
                "The server takes no login in this way: not without TLS, not by this mechanism, not from this "
                "address, or not with the account's own password.",
                "Its words are in detail. Use security 'tls', another mechanism, an app password or oauth2.",
            )
        case pop3.Verdict.LOCKED_ACCOUNT:
            return Diagnosis(
                "The account is locked, mostly after many wrong logins.",
                "Unlock it at the provider, or wait until it is open again. Try less often meanwhile.",
            )
        case pop3.Verdict.LOCK:
            return IN_USE
        case pop3.Verdict.DOUBTFUL | pop3.Verdict.PASSING | pop3.Verdict.DELAY:
            return Diagnosis(
                "The server refuses the login for now: its own trouble, too many logins, or a wrong password.",
                f"Try again later, and not often. {_right_login(at)}",
            )
        case pop3.Verdict.CREDENTIALS | pop3.Verdict.LOGIN:
            return Diagnosis("User name or password is wrong.", _right_login(at))
    if error.blame is pop3.Blame.CODE:
        return Diagnosis("User name or password is wrong.", _right_login(at))
    return Diagnosis(
        "The server refuses the login and does not tell why: user name or password wrong, or its own trouble.",
        _right_login(at),
    )


def _provider(meaning: pop3.Meaning | None, at: FailedStep) -> Diagnosis | None:
    """What these answer to the right password of the account, too."""
    if _is_at(at.host, "gmail.com", "googlemail.com") or meaning is pop3.Meaning.WEB_LOGIN:
        return Diagnosis(
            "Google takes no account password from programs. Or user name and password are wrong.",
            "Switch POP on in Gmail's settings, and log in with an app password (which needs 2-step verification) or "
            "with oauth2, provider 'google'.",
        )
    if _is_at(at.host, "office365.com", "outlook.com", "hotmail.com"):
        return Diagnosis(
            "Microsoft 365 and Outlook take no passwords by POP3. Or the account is throttled, which they answer so.",
            "Log in with oauth2, provider 'microsoft', and see that POP is switched on for the account.",
        )
    if _is_at(at.host, "yahoo.com", "aol.com") or meaning is pop3.Meaning.APP_PASSWORD:
        return Diagnosis(
            "The provider takes no account password from programs. Or user name and password are wrong.",
            "Make an app password at the provider, and log in with that.",
        )
    if _is_at(at.host, "gmx.net", "gmx.com", "gmx.de", "web.de"):
        return Diagnosis(
            "User name or password is wrong, or POP3 is not switched on in the account.",
            f"Switch POP3 on in the settings of the account. {_right_login(at)}",
        )
    return None


def _right_login(at: FailedStep) -> str:
    whole = "" if "@" in at.username else " Many servers want the whole mail address as user name."
    return (
        "Check both where a person logs in. With two-factor login an app password is needed."
        + whole
        + " Do not try "
        "wrong ones again and again: accounts get locked."
    )


def _is_at(host: str, *domains: str) -> bool:
    name = host.lower().rstrip(".")
    return any(name == domain or name.endswith(f".{domain}") for domain in domains)
