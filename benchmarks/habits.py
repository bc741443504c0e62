"""Habits of mail servers that cost whoever asks them."""

from functools import partial

from benchmarks.players import (
    Habit,
    Part,
    Play,
    always,
    drip,
    endless,
    half_closed,
    letter,
    listed,
    numbered,
    reset,
    silence,
    some_ids,
)

LONGEST = 200_000  # entries


def _new_each_time(many: int, *, filler: int = 0) -> Play:
    """Another maildrop at each session."""

    def play(session: int) -> Part:
        retr = numbered(lambda number: letter(b"%d-%b" % (session, number), filler=filler))
        ids = some_ids(many, prefix=b"s%d" % session)
        return Part(answers=listed(ids) | {b"RETR": retr, b"TOP": retr})

    return play


def _grows(session: int) -> Part:
    ids = some_ids(int(2_000 * 1.1 ** min(session, 40)))
    letters = numbered(letter)
    return Part(answers=listed(ids) | {b"RETR": letters, b"TOP": letters})


FROM_NOW = {"initial_sync": "from_now"}
_WANTS = {"criteria": {"all": [{"field": "subject", "op": "contains", "value": "invoice"}]}}
_TLS = {"security": "tls", "allow_cleartext_password": False}
_LARGE = 150 * 1024 * 1024
_MANY = b"".join(b"X-CAPABILITY-%d a b c\r\n" % number for number in range(9_000))
_BIG_HEADERS = letter(b"big", filler=3_900_000)
_WIDE = b"+OK\r\nSubject: " + b"=?utf-8?q?=41?= " * 60_000 + b"\r\n\r\nbody\r\n.\r\n"
_NESTED = b"".join(
    b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(4_000)
)
_DEEP = b"+OK\r\nSubject: deep\r\n" + _NESTED + b"\r\n.\r\n"
_ENDLESS_HEADER = endless(b"+OK\r\n", b"X-Filler: all work and no play\r\n")

HABITS = (
    Habit("silent from the start", always(Part(silence))),
    Habit("a greeting octet by octet", always(Part(drip(b"+OK ", b"x", 1.0)))),
    Habit("a greeting without end", always(Part(endless(b"+OK ", b"x")))),
    Habit("TLS that never ends", always(Part(drip(b"\x16\x03\x03\x40\x00", b"x", 1.0))), _TLS),
    Habit("a reset", always(Part(reset))),
    Habit("closed on one side", always(Part(half_closed))),
    Habit("a listing without end", always(Part(answers={b"UIDL": endless(b"+OK\r\n", b"1 a\r\n")}))),
    Habit(
        "a listing that drips",
        always(Part(answers=listed(some_ids(9)) | {b"UIDL": drip(b"+OK\r\n", b"1 a\r\n", 0.1)})),
    ),
    Habit(
        "sizes that are lies",
        always(
            Part(
                answers=listed(some_ids(500), 5_000_000_000)
                | {b"STAT": b"+OK %b 1\r\n" % (b"9" * 400), b"RETR": letter(b"lie"), b"TOP": letter(b"lie")}
            )
        ),
    ),
    Habit("unique-ids of 4 KiB", always(Part(answers=listed([b"%04096d" % n for n in range(2_500)]))), FROM_NOW),
    Habit("one unique-id 200,000 times", always(Part(answers=listed([b"same"] * LONGEST))), FROM_NOW),
    Habit(
        "9,000 capabilities", always(Part(answers=listed([]) | {b"CAPA": b"+OK\r\n" + _MANY + b".\r\n"}))
    ),
    Habit(
        "LOGIN-DELAY of years",
        always(Part(answers=listed([]) | {b"CAPA": b"+OK\r\nUIDL\r\nLOGIN-DELAY 999999999\r\n.\r\n"})),
    ),
    Habit("headers without end", always(Part(answers=listed(some_ids(50)) | {b"TOP": _ENDLESS_HEADER})), _WANTS),
    Habit(
        "headers of 3.9 MB",
        always(Part(answers=listed(some_ids(60), _LARGE) | {b"TOP": _BIG_HEADERS})),
    ),
    Habit("a message without end", always(Part(answers=listed(some_ids(50)) | {b"RETR": _ENDLESS_HEADER}))),
    Habit(
        "a message that drips",
        always(Part(answers=listed(some_ids(50)) | {b"RETR": drip(b"+OK\r\n", b"x" * 70, 1.0)})),
    ),
    Habit("1,000 new small messages at each poll", _new_each_time(1_000)),
    Habit("every message refused", always(Part(answers=listed(some_ids(1_000)) | {b"RETR": b"-ERR no\r\n"}))),
    Habit("5,000 unique-ids that change each time", _new_each_time(5_000), FROM_NOW),
    # Further ones, for whoever looks for more.
    Habit("letters of a million octets that cost", always(Part(answers=listed(some_ids(40)) | {b"RETR": _WIDE}))),
    Habit("letters of 4,000 nested parts", always(Part(answers=listed(some_ids(40)) | {b"RETR": _DEEP}))),
    Habit("a listing that grows by a tenth each time", _grows),
    Habit(
        "a session at just over 64 octets a second",
        always(Part(answers=listed(some_ids(50)) | {b"RETR": drip(b"+OK\r\n", b"x" * 700, 10.0)})),
    ),
    Habit(
        "capabilities of odd octets",
        always(
            Part(answers=listed([]) | {b"CAPA": b"+OK\r\n" + bytes(range(14, 256)) * 400 + b"\r\n.\r\n"})
        ),
    ),
    Habit("empty lines without end", always(Part(answers={b"CAPA": endless(b"+OK\r\n", b"\r\n")}))),
    Habit("status lines without being asked", always(Part(endless(b"+OK\r\n", b"+OK\r\n")))),
    Habit("no unique-ids, 1,000 headers of 30 KB", always(
        Part(answers=listed(some_ids(1_000)) | {
            b"CAPA": b"+OK\r\nTOP\r\nPIPELINING\r\n.\r\n", b"UIDL": b"-ERR unknown command\r\n",
            b"TOP": numbered(partial(letter, filler=30_000)), b"RETR": numbered(letter),
        })
    )),
    Habit("the login refused", always(Part(answers={b"PASS": b"-ERR [IN-USE] later\r\n"}))),
    Habit("a listing that hangs in its last line", always(
        Part(answers=listed(some_ids(10)) | {
            b"UIDL": drip(b"+OK\r\n" + b"".join(b"%d a-%d\r\n" % (n, n) for n in range(1, 190_000)), b"x", 1.0)
        })
    )),
)  # fmt: skip


def long_listing(session: int) -> Part:
    """200,000 entries, and at each session one more at the end and one less at the beginning."""
    first = 1 + session % SHIFTS
    shown = slice(first, first + LONGEST)
    return Part(
        answers={
            b"STAT": b"+OK %d 1\r\n" % LONGEST,
            b"UIDL": b"+OK\r\n" + b"".join(UIDL[shown]) + b".\r\n",
            b"LIST": b"+OK\r\n" + b"".join(SIZES[shown]) + b".\r\n",
            b"RETR": letter(b"%d" % session),
        }
    )


SHIFTS = 1_000
UIDL: list[bytes] = []
SIZES: list[bytes] = []
