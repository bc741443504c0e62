"""A transcript is bounded, readable, and holds neither a secret nor mail."""

import re
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import pop3
from app.pop3.wire.protocol import Challenge, Data, Event, Expect, Framer, NeedData, Status, command
from app.pop3.wire.redaction import WITHHELD, Redaction
from app.pop3.wire.transcript import Transcript
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults, multiline
from tests.unit.pop3.clients import all_of, endpoint, limits

# Characters that a transcript has no words of its own from: what is found of a secret came from outside.
secrets = st.text("éßø§µ¶#%&", min_size=4, max_size=60)
noise = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=60)


def forms(secret: str, before: str, behind: str) -> list[str]:
    """The secret as it may stand on a wire: alone, and within base64 at any place."""
    whole = f"{before}{secret}{behind}".encode()
    return [secret, b64encode(whole).decode(), urlsafe_b64encode(whole).decode()]


def shows(text: str, secret: str) -> bool:
    """Whether the secret can be got out of a text: as it is, or by decoding any run of base64 in it."""
    octets = secret.encode()
    if secret in text:
        return True
    for run in re.findall(r"[A-Za-z0-9+/_-]{4,}", text):
        for skipped in range(4):  # where a group of four begins cannot be known
            piece = run[skipped:].replace("-", "+").replace("_", "/")
            piece += "A" * (-len(piece) % 4)
            if octets in b64decode(piece):
                return True
    return False


def record(transcript: Transcript, octets: bytes, expected: Sequence[Expect], cuts: Sequence[int]) -> None:
    """Feed a server's octets, cut anywhere, as a dialogue does."""
    framer = Framer(piece_octets=64)
    for kind in expected:
        framer.expect(kind)
    ends = sorted(cut % (len(octets) + 1) for cut in cuts)
    for start, stop in zip([0, *ends], [*ends, len(octets)], strict=True):
        framer.receive(octets[start:stop])
        while not isinstance(event := _next(framer), NeedData):
            transcript.received(event)


def _next(framer: Framer) -> Event:
    return framer.next_event() if framer.is_owed else NeedData()


@given(secrets, noise, noise, st.lists(st.integers(0, 10_000), max_size=6), st.booleans())
def test_law_no_secret_comes_through_in_any_form_however_it_is_cut(
    secret: str, before: str, behind: str, cuts: list[int], is_known_late: bool
) -> None:
    transcript = Transcript()
    if not is_known_late:
        transcript.judge_by(Redaction(secret))
    transcript.sent(command("USER", "reader") + b"PASS " + secret.encode() + b"\r\n")
    transcript.sent(b"AUTH PLAIN " + b64encode(f"\0reader\0{secret}".encode()) + b"\r\n")
    transcript.sent(b64encode(secret.encode()) + b"\r\n")
    for form in forms(secret, before, behind):
        said = f"{before} {form} {behind}".encode()
        replies = b"-ERR " + said + b"\r\n" + multiline([said] * 5) * 3
        transcript.sent(b"NOOP\r\nUIDL\r\nCAPA\r\nRETR 1\r\n")
        record(transcript, replies, [Expect.STATUS, *[Expect.MULTILINE] * 3], cuts)
        transcript.received_amiss(said.decode())
        transcript.note(said.decode())
    if is_known_late:
        transcript.judge_by(Redaction(secret))
    assert not shows(transcript.text(), secret)


lines = st.binary(max_size=3_000).map(lambda octets: octets.replace(b"\r", b"").replace(b"\n", b""))
events = st.one_of(
    st.builds(Status, st.booleans(), noise), st.builds(Data, st.binary(max_size=3_000), st.booleans())
)


@given(
    st.lists(st.one_of(lines, events), max_size=200),
    st.integers(1_000, 5_000),
    st.sampled_from(["", "a", "ab"]),
)
def test_law_whatever_is_fed_the_text_is_bounded(
    fed: list[bytes | Status | Data], most_octets: int, secret: str
) -> None:
    transcript = Transcript(most_octets=most_octets)
    for one in fed:
        if isinstance(one, bytes):
            transcript.sent(one + b"\r\n")
        else:
            transcript.received(one)
    transcript.judge_by(Redaction(secret))
    assert len(transcript.text().encode()) <= most_octets


@given(st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=10))
def test_law_no_octet_of_a_message_is_recorded(parts: list[bytes]) -> None:
    transcript = Transcript()
    for word in ("RETR 1", "TOP 1 0"):
        transcript.sent(word.encode() + b"\r\n")
        transcript.received(Status(True, ""))
        for number, part in enumerate(parts, 1):
            transcript.received(Data(part, is_last=number == len(parts)))
    count = sum(map(len, parts))
    assert transcript.text() == (
        f"C: RETR 1\nS: +OK\n* {count} octets of the answer to RETR are not shown\n"
        f"C: TOP 1 0\nS: +OK\n* {count} octets of the answer to TOP are not shown\n"
    )


def test_the_middle_of_a_long_one_is_left_out_and_counted() -> None:
    transcript = Transcript(most_octets=1_000)
    for number in range(1, 1_001):
        transcript.sent(b"DELE %d\r\n" % number)
    lines = transcript.text().splitlines()
    (middle,) = [number for number, line in enumerate(lines) if line.startswith("*")]
    found = re.fullmatch(r"\* (\d+) lines \((\d+) octets\) are left out here", lines[middle])
    assert found
    out = int(found[1])
    kept = [int(line.split()[-1]) for number, line in enumerate(lines) if number != middle]
    assert kept == [*range(1, middle + 1), *range(middle + out + 1, 1_001)]
    assert int(found[2]) == sum(len(f"C: DELE {n}\n") for n in range(middle + 1, middle + out + 1))
    assert min(middle, len(kept) - middle) > 20, "both ends are there"
    assert len(transcript.text()) <= 1_000


def test_listings_are_shown_in_part_and_capabilities_whole() -> None:
    transcript = Transcript()
    transcript.sent(b"CAPA\r\nUIDL\r\n")
    record(transcript, multiline(["TOP", "UIDL"]) + multiline(f"{n} id{n}" for n in range(1, 10)),
           [Expect.MULTILINE] * 2, [])  # fmt: skip
    assert transcript.text() == (
        "C: CAPA\nC: UIDL\nS: +OK\nS: TOP\nS: UIDL\nS: +OK\nS: 1 id1\nS: 2 id2\nS: 3 id3\n"
        "* 42 octets of the answer to UIDL are not shown\n"
    )


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"PASS x y", "PASS ***"),
        (b"pass", "PASS ***"),
        (b"AUTH", "AUTH"),
        (b"AUTH PLAIN", "AUTH PLAIN"),
        (b"AUTH PLAIN AHgAeQ==", "AUTH PLAIN ***"),
        (b"APOP reader c4c9334bac560ecc979e58001b3e22fb", "APOP reader ***"),
        (b"AHgAeQ==", "***"),
        (b"", None),
        (b"=", "***"),
        (b"XTND x", "***"),
        (b"USER a b", "USER a b"),
        (b"TOP 1 0", "TOP 1 0"),
    ],
)
def test_what_may_be_secret_is_not_recorded_though_nobody_named_the_secret(
    sent: bytes, shown: str | None
) -> None:
    transcript = Transcript()
    transcript.sent(sent + b"\r\n")
    assert transcript.text() == (f"C: {shown}\n" if shown else "")


def test_a_long_line_that_holds_a_secret_is_withheld_whole() -> None:
    transcript = Transcript()
    transcript.judge_by(Redaction("correct horse"))
    transcript.received(Status(False, "x" * 490 + "correct horse" + "y" * 100))
    assert transcript.text() == f"S: -ERR {WITHHELD}\n"


def test_a_long_line_is_cut_and_a_secret_at_the_cut_is_seen() -> None:
    transcript = Transcript()
    transcript.judge_by(Redaction("correct horse"))
    transcript.received(Status(False, "x" * 1_000))
    transcript.received(Status(False, "x" * 489 + "correct horse"))
    assert transcript.text() == "S: -ERR " + "x" * 492 + f"\nS: -ERR {WITHHELD}\n"


def test_lines_that_grow_by_being_withheld_stay_within_the_bound() -> None:
    transcript = Transcript(most_octets=2_000)
    transcript.judge_by(Redaction("correct horse"))
    for _ in range(1_000):
        transcript.received(Status(False, "horse"))
    assert len(transcript.text()) <= 2_000


def test_what_a_terminal_would_obey_is_not_in_it() -> None:
    transcript = Transcript()
    transcript.received_amiss("\x1b[2Jfine\rC: DELE 1\u2028\u202e")
    assert transcript.text() == "S: \ufffd[2Jfine\ufffdC: DELE 1\ufffd\ufffd\n"


async def test_a_dialogue_tells_its_transcript_everything_up_to_what_went_wrong() -> None:
    drop = FakeMaildrop(password="correct horse")
    drop.deliver(b"Subject: secret plans\r\n\r\n", "id-1")
    drop.deliver(b"Subject: more\r\n\r\n", "id-2")
    faults = Faults(instead={"NOOP": b"+OK PASS correct horse to you too", "RETR 2": b"oops, correct horse"})
    transcript = Transcript()
    async with FakePop3Server(drop, faults=faults, capabilities=["UIDL"]) as server:
        session = await pop3.connect(
            endpoint(server), limits=limits(), allow_cleartext_password=True, transcript=transcript
        )
        async with session:
            await session.login(drop.username, drop.password)
            await session.noop()
            with pytest.raises(pop3.ProtocolError):
                await all_of(session, 2)
    assert transcript.text() == (
        "S: +OK fake server ready\nC: CAPA\nS: +OK\nS: UIDL\nC: USER reader\nS: +OK send PASS\nC: PASS ***\n"
        f"S: +OK logged in\nC: CAPA\nS: +OK\nS: UIDL\nC: NOOP\nS: +OK {WITHHELD}\nC: RETR 1\nS: +OK\n"
        f"* 25 octets of the answer to RETR are not shown\nC: RETR 2\nS: {WITHHELD}\n"
    )


def test_an_answer_to_a_challenge_is_hidden_even_when_it_looks_like_a_command() -> None:
    transcript = Transcript()
    transcript.sent(command("AUTH", "LOGIN"))
    transcript.received(Challenge(b"UGFzc3dvcmQ6"))
    transcript.answered()
    transcript.received(Status(False, "no"))
    assert transcript.text() == "C: AUTH LOGIN\nS: + ***\nC: ***\nS: -ERR no\n"


def test_a_secret_that_is_cut_up_over_lines_or_answers_is_withheld_from_all_of_them() -> None:
    transcript = Transcript()
    transcript.judge_by(Redaction("v37-q8l2x"))
    for words in ("no v37", "-q8", "l2x"):
        transcript.received(Status(False, words))
    assert transcript.text() == f"S: -ERR {WITHHELD}\n" * 3
    other = Transcript()
    other.judge_by(Redaction("password"))
    for words in ("incorrect pass", "word expected"):
        other.received(Status(False, words))
    assert WITHHELD in other.text()
    known = Transcript()
    known.judge_by(Redaction("password"))
    known.received(Status(False, "incorrect password"))
    known.received(Status(False, "incorrect password"))
    assert known.text() == "S: -ERR incorrect password\n" * 2
