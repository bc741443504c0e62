"""The mechanisms say what their RFCs show, and mistrust what a server must not say."""

import unicodedata
from base64 import b64decode, b64encode

import pytest

from app.pop3.auth import sasl
from app.pop3.errors import InvalidArgument, ProtocolError

NONCE = "rOprNGfwEbeRWgbNEkqO"  # RFC 7677 §3, the whole exchange
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def scram(username: str = "user", password: str = "pencil") -> sasl.ScramSha256:
    return sasl.ScramSha256(username, password, nonce=NONCE)


def test_scram_goes_as_in_rfc_7677() -> None:
    exchange = scram()
    assert exchange.initial_response() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert exchange.answer(SERVER_FIRST) == CLIENT_FINAL
    assert exchange.answer(SERVER_FINAL) == b""
    exchange.check_success()


def test_scram_gives_no_second_proof() -> None:
    exchange = scram()
    exchange.answer(SERVER_FIRST)
    exchange.answer(SERVER_FINAL)
    with pytest.raises(ProtocolError):
        exchange.answer(SERVER_FIRST)


@pytest.mark.parametrize(
    "server_final",
    [b"v=" + b64encode(bytes(32)), b"v=", b"", b"v=!!!!", b"\xff", SERVER_FINAL[:-1]],
)
def test_scram_believes_no_server_without_the_right_signature(server_final: bytes) -> None:
    exchange = scram()
    exchange.answer(SERVER_FIRST)
    with pytest.raises(ProtocolError):
        exchange.answer(server_final)
    with pytest.raises(ProtocolError):
        exchange.check_success()


def test_a_refusal_within_scram_is_answered_once_and_no_success_is_believed_behind_it() -> None:
    """RFC 5802 §7: the server says why, and then -ERR, which is what a wrong password is known by."""
    exchange = scram()
    exchange.answer(SERVER_FIRST)
    assert exchange.answer(b"e=invalid-proof") == b""
    with pytest.raises(ProtocolError):
        exchange.check_success()
    with pytest.raises(ProtocolError):
        exchange.answer(b"e=invalid-proof")


@pytest.mark.parametrize("challenges", [0, 1])
def test_scram_does_not_take_success_for_proof(challenges: int) -> None:
    exchange = scram()
    for challenge in [SERVER_FIRST][:challenges]:
        exchange.answer(challenge)
    with pytest.raises(ProtocolError, match="without proof"):
        exchange.check_success()


@pytest.mark.parametrize(
    ("server_first", "what"),
    [
        (SERVER_FIRST.replace(b"r=rOpr", b"r=xOpr"), "nonce"),
        (b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
        (SERVER_FIRST.replace(b"i=4096", b"i=4095"), "iteration"),
        (SERVER_FIRST.replace(b"i=4096", b"i=1000001"), "iteration"),
        (SERVER_FIRST.replace(b"i=4096", b"i=99999999999999999999"), "iteration"),
        (SERVER_FIRST.replace(b"i=4096", b"i=-5000"), "iteration"),
        (SERVER_FIRST.replace(b",i=4096", b""), "iteration"),
        (SERVER_FIRST.replace(b"s=W22ZaJ0SNY7soEsUEjb6gQ==", b"s="), "understood"),
        (SERVER_FIRST.replace(b"s=W22Z", b"s=!22Z"), "understood"),
        (b"m=ext," + SERVER_FIRST, "understood"),
        (b"\xff\xfe", "understood"),
        (b"", "understood"),
    ],
)
def test_scram_refuses_a_first_message_that_is_not_sound(server_first: bytes, what: str) -> None:
    with pytest.raises(ProtocolError, match=what):
        scram().answer(server_first)


def test_scram_escapes_what_has_a_meaning_in_a_name() -> None:
    assert scram("a=b,c").initial_response() == b"n,,n=a=3Db=2Cc,r=rOprNGfwEbeRWgbNEkqO"


def test_scram_takes_two_spellings_of_a_password_for_one() -> None:
    composed, decomposed = "p\N{LATIN SMALL LETTER A WITH DIAERESIS}ss", unicodedata.normalize("NFD", "päss")
    assert composed != decomposed
    assert scram(password=composed).answer(SERVER_FIRST) == scram(password=decomposed).answer(SERVER_FIRST)


def test_cram_md5_goes_as_in_rfc_2195() -> None:
    exchange = sasl.CramMd5("tim", "tanstaaftanstaaf")
    assert exchange.initial_response() is None
    challenge = b64decode("PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+")
    assert b64encode(exchange.answer(challenge)) == b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"


def test_plain_goes_as_in_rfc_4616() -> None:
    assert sasl.Plain("tim", "tanstaaftanstaaf").initial_response() == b"\0tim\0tanstaaftanstaaf"


def test_login_tells_the_name_and_then_the_password_whatever_is_asked() -> None:
    exchange = sasl.Login("tim", "pass wörd")
    assert exchange.initial_response() is None
    assert [exchange.answer(b"Password:"), exchange.answer(b"")] == [b"tim", "pass wörd".encode()]


def test_oauthbearer_goes_as_in_rfc_7628() -> None:
    token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
    exchange = sasl.OAuthBearer("user@example.com", token, host="server.example.com", port=143)
    assert b64encode(exchange.initial_response() or b"") == (
        b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxb"
        b"VRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )
    assert b64encode(exchange.answer(b'{"status":"invalid_token"}')) == b"AQ=="


def test_xoauth2_goes_as_google_writes_it() -> None:
    exchange = sasl.XOAuth2("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")
    assert b64encode(exchange.initial_response() or b"") == (
        b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRX"
        b"VZMjl0Q2cBAQ=="
    )
    assert exchange.answer(b'{"status":"401"}') == b""


@pytest.mark.parametrize(
    ("exchange", "due"),
    [
        (sasl.Plain("u", "p"), 0),
        (sasl.Login("u", "p"), 2),
        (sasl.CramMd5("u", "p"), 1),
        (sasl.XOAuth2("u", "t"), 1),
        (sasl.OAuthBearer("u", "t", host="h", port=995), 1),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_server_that_asks_on_and_on_gets_no_answer(exchange: sasl.Mechanism, due: int) -> None:
    for _ in range(due):
        exchange.answer(b"go on")
    with pytest.raises(ProtocolError, match="asks for more"):
        exchange.answer(b"go on")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ({"XOAUTH2", "OAUTHBEARER"}, ("OAUTHBEARER", "XOAUTH2")),
        ({"XOAUTH2", "PLAIN"}, ("XOAUTH2",)),
        ({"PLAIN"}, ()),
    ],
)
def test_a_token_goes_by_the_standard_where_it_can(offered: set[str], chosen: tuple[str, ...]) -> None:
    assert sasl.ways_for_token(offered) == chosen


def test_no_mechanism_shows_its_secret() -> None:
    made = [
        sasl.for_password(name, username="u", password="hunter22", nonce=NONCE)
        for name in ("SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN")
    ]
    made += [
        sasl.for_token(name, username="u", token="hunter22", host="h", port=995)
        for name in ("OAUTHBEARER", "XOAUTH2")
    ]
    assert "hunter22" not in repr(made)
    assert [mechanism.name for mechanism in made] == [
        "SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2",
    ]  # fmt: skip


@pytest.mark.parametrize("character", ["\0", "\1", "\r", "\n", "\ud812"])
def test_what_would_end_a_field_is_refused_without_being_shown(character: str) -> None:
    for username, secret in ((f"u{character}", "hunter22"), ("u", f"hunter22{character}")):
        for name in ("PLAIN", "SCRAM-SHA-256"):
            with pytest.raises(InvalidArgument) as refusal:
                sasl.for_password(name, username=username, password=secret, nonce=NONCE)
            assert "hunter22" not in repr(refusal.value)
        with pytest.raises(InvalidArgument):
            sasl.for_token("XOAUTH2", username=username, token=secret, host="h", port=995)
