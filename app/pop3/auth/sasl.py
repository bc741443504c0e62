"""PURE  SASL mechanisms (RFC 4422) as the client plays them: an initial response, then answers to challenges.

All octets here are raw: base64 and lines are the profile's business (RFC 5034).
"""

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Collection, Set
from typing import Final, Protocol

from app.pop3.auth.saslprep import saslprep
from app.pop3.errors import InvalidArgument, MechanismUnusable, ProtocolError

LEAST_ITERATIONS: Final = 4096  # RFC 7677 §4; fewer would make the password cheap to guess
MOST_ITERATIONS: Final = 1_000_000  # about half a second of one core
_TOKEN_MECHANISMS: Final = ("OAUTHBEARER", "XOAUTH2")


class Mechanism(Protocol):
    """One exchange's state; used for one login."""

    name: str

    def initial_response(self) -> bytes | None:
        """What the client says first, None when the server speaks first."""

    def answer(self, challenge: bytes) -> bytes:
        """The answer to the next challenge. Raises ProtocolError: the exchange is then to be cancelled."""

    def check_success(self) -> None:
        """To be called when the server says that it worked. Raises ProtocolError when it has not proven itself."""


def ways_for_token(offered: Set[str], avoided: Collection[str] = ()) -> tuple[str, ...]:
    """The mechanisms to log in with by an OAuth2 access token, the best one first. ``avoided``: what did not work
    before, unless there is nothing else."""
    names = tuple(name for name in _TOKEN_MECHANISMS if name in offered)
    return tuple(name for name in names if name not in avoided) or names


def for_password(name: str, *, username: str, password: str, nonce: str) -> Mechanism:
    """One of those that ``ways`` names. ``nonce``: printable ASCII, no comma, never used before.

    Raises InvalidArgument for what no mechanism can carry.
    """
    _require_text(username, password)
    if name == "SCRAM-SHA-256":
        return ScramSha256(username, password, nonce=nonce)
    if name == "CRAM-MD5":
        return CramMd5(username, password)
    if name in {"PLAIN", "LOGIN"}:
        return Plain(username, password) if name == "PLAIN" else Login(username, password)
    raise InvalidArgument(f"there is no login by {name} with a password")


def for_token(name: str, *, username: str, token: str, host: str, port: int) -> "XOAuth2":
    """One of those that ``ways_for_token`` names. Raises InvalidArgument for what none can carry."""
    _require_text(username, token)
    if name == "OAUTHBEARER":
        return OAuthBearer(username, token, host=host, port=port)
    if name == "XOAUTH2":
        return XOAuth2(username, token)
    raise InvalidArgument(f"there is no login by {name} with a token")


class Plain:
    """PLAIN (RFC 4616)."""

    name = "PLAIN"

    def __init__(self, username: str, password: str) -> None:
        self._response = f"\0{username}\0{password}".encode()

    def initial_response(self) -> bytes | None:
        return self._response

    def answer(self, challenge: bytes) -> bytes:
        raise _unexpected(self.name)

    def check_success(self) -> None:
        """The server proves nothing."""


class Login:
    """LOGIN (draft-murchison-sasl-login): whatever the prompts say, first the name, then the password."""

    name = "LOGIN"

    def __init__(self, username: str, password: str) -> None:
        self._answers = [password.encode(), username.encode()]

    def initial_response(self) -> bytes | None:
        return None

    def answer(self, challenge: bytes) -> bytes:
        if not self._answers:
            raise _unexpected(self.name)
        return self._answers.pop()

    def check_success(self) -> None:
        """The server proves nothing."""


class CramMd5:
    """CRAM-MD5 (RFC 2195)."""

    name = "CRAM-MD5"

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password.encode()
        self._is_answered = False

    def initial_response(self) -> bytes | None:
        return None

    def answer(self, challenge: bytes) -> bytes:
        if self._is_answered:
            raise _unexpected(self.name)
        self._is_answered = True
        digest = hmac.new(self._password, challenge, "md5").hexdigest()
        return f"{self._username} {digest}".encode()

    def check_success(self) -> None:
        """The server proves nothing."""


class ScramSha256:
    """SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677): the server proves that it knows the password too.

    ``answer`` to the first challenge takes as long as the server's iteration count asks, within bounds.
    """

    name = "SCRAM-SHA-256"

    def __init__(self, username: str, password: str, *, nonce: str) -> None:
        self._password = saslprep(password).encode()
        self._nonce = nonce
        self._first_bare = f"n={_saslname(saslprep(username))},r={nonce}"
        self._signature: bytes | None = None
        self._is_proven = False
        self._is_refused = False

    def initial_response(self) -> bytes | None:
        return b"n,," + self._first_bare.encode()

    def answer(self, challenge: bytes) -> bytes:
        if self._is_proven:
            raise _unexpected(self.name)
        attributes = _attributes(challenge)
        if self._signature is None:
            return self._final(challenge.decode(), attributes)
        if "e" in attributes and not self._is_refused:  # §7: -ERR follows, and means a wrong password
            self._is_refused = True
            return b""
        if not hmac.compare_digest(_decoded(attributes.get("v", "")), self._signature):
            raise ProtocolError(
                "The server does not prove that it knows the password: it may be an impostor."
            )
        self._is_proven = True
        return b""

    def check_success(self) -> None:
        """Raises ProtocolError when the server's signature has not come."""
        if not self._is_proven:
            raise ProtocolError("The server accepts the login without proof that it knows the password.")

    def _final(self, server_first: str, attributes: dict[str, str]) -> bytes:
        nonce, salt = attributes.get("r", ""), _decoded(attributes.get("s", ""))
        if "m" in attributes or not salt:
            raise MechanismUnusable("The server's SCRAM challenge cannot be understood.")
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise ProtocolError("The server's SCRAM nonce does not continue ours.")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, _iterations(attributes.get("i", "")))
        without_proof = f"c=biws,r={nonce}"
        signed = f"{self._first_bare},{server_first},{without_proof}".encode()
        client_key = _hmac(salted, b"Client Key")
        client_signature = _hmac(hashlib.sha256(client_key).digest(), signed)
        self._signature = _hmac(_hmac(salted, b"Server Key"), signed)
        proof = bytes(a ^ b for a, b in zip(client_key, client_signature, strict=True))
        return f"{without_proof},p={b64encode(proof).decode()}".encode()


class XOAuth2:
    """XOAUTH2, Google's and Microsoft's own. A refusal comes as a challenge, to be answered by nothing."""

    name = "XOAUTH2"
    _answer_to_refusal = b""

    def __init__(self, username: str, token: str) -> None:
        self._response = f"user={username}\1auth=Bearer {token}\1\1".encode()
        self._is_refused = False
        self.is_servers_trouble = False

    def initial_response(self) -> bytes | None:
        return self._response

    def answer(self, challenge: bytes) -> bytes:
        """The challenge is JSON that says why (RFC 7628 §3.2.2). A status of 5xx, or a token server's own trouble, says
        nothing of the token."""
        if self._is_refused:
            raise _unexpected(self.name)
        self._is_refused = True
        status = _json_status(challenge)
        self.is_servers_trouble = status[:1] == "5" or status in {"temporarily_unavailable", "server_error"}
        return self._answer_to_refusal

    def check_success(self) -> None:
        """Raises ProtocolError when the server has refused the token before."""
        if self._is_refused:
            raise ProtocolError("The server refused the token, and accepts the login all the same.")


class OAuthBearer(XOAuth2):
    """OAUTHBEARER (RFC 7628). A refusal comes as a challenge, to be answered by one octet (§3.2.3)."""

    name = "OAUTHBEARER"
    _answer_to_refusal = b"\1"

    def __init__(self, username: str, token: str, *, host: str, port: int) -> None:
        super().__init__(username, token)
        place = f"host={host}\1port={port}"
        self._response = f"n,a={_saslname(username)},\1{place}\1auth=Bearer {token}\1\1".encode()


def _require_text(*arguments: str) -> None:
    for argument in arguments:
        if any(character in "\0\1\r\n" or "\ud800" <= character <= "\udfff" for character in argument):
            raise InvalidArgument("an argument of AUTH holds a control character, or is no text")


def _json_status(challenge: bytes) -> str:
    try:
        document = json.loads(challenge)
    except (ValueError, RecursionError):
        return ""
    return str(document.get("status", ""))[:40] if isinstance(document, dict) else ""


def _saslname(name: str) -> str:
    """RFC 5802 §5.1: comma and equals sign have a meaning of their own."""
    return name.replace("=", "=3D").replace(",", "=2C")


def _attributes(challenge: bytes) -> dict[str, str]:
    try:
        parts = [part.partition("=") for part in challenge.decode().split(",")]
    except UnicodeDecodeError as error:
        raise MechanismUnusable("The server's SCRAM challenge cannot be understood.") from error
    return {name: value for name, _, value in parts}


def _iterations(text: str) -> int:
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not LEAST_ITERATIONS <= count <= MOST_ITERATIONS:
        raise MechanismUnusable(
            f"The server's SCRAM iteration count is not between {LEAST_ITERATIONS} and {MOST_ITERATIONS}."
        )
    return count


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _unexpected(name: str) -> MechanismUnusable:
    return MechanismUnusable(f"The server asks for more than {name} has to tell.")
