"""No DELE for a message whose stored copy is not confirmed whole: every way in which a body can be short or dirty, with
every size that LIST can say and all that can come behind it."""

from datetime import timedelta
from itertools import product

from app.pop3 import Ending
from tests.simulator.bench import Bench
from tests.simulator.maildrop import Mail, letter

SLACK = 256  # octets that LIST may say too much, beside the dots and the end mark
SIZE = 2_000
HEAD = b"Subject: %s\r\nMessage-ID: <%s@simulated>\r\n"

BODIES = [
    "whole",
    "longer",
    "dotted",
    "short within the slack",
    "short",
    "half",
    "header block",
    "half a header",
    "nothing",
]
SIZES = ["honest", "as LF", "a little more", "more", "less", "of the headers", "zero", "above the total"]


def sent(body: str, content: bytes) -> bytes:
    head = content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    match body:
        case "longer":
            return content + b"more\r\n" * 50
        case "dotted":
            return (
                content[:-302] + b".\r\n" * 100 + b"\r\n"
            )  # of each dot that was stuffed LIST may count two
        case "short within the slack":
            return content[:-200]
        case "short":
            return content[: -SLACK - 50]
        case "half":
            return content[: SIZE // 2]
        case "header block":
            return head
        case "half a header":
            return content[:20]
        case "nothing":
            return b""
    return content


def listed(size: str, content: bytes) -> int:
    head = len(content.partition(b"\r\n\r\n")[0]) + 2
    return {
        "honest": len(content), "as LF": len(content.replace(b"\r\n", b"\n")), "a little more": len(content) + 100,
        "more": len(content) + 1_000, "less": len(content) - 500, "of the headers": head, "zero": 0,
        "above the total": 1 << 32,
    }[size]  # fmt: skip


def may_go(octets: bytes, said: int, ending: Ending) -> bool:
    """The rule in the words of the documents, without a look at the code."""
    head = octets.partition(b"\r\n\r\n")[0]
    head_octets = len(head) + (2 if b"\r\n\r\n" in octets else 0)
    ways = {len(octets), len(octets.replace(b"\r\n", b"\n"))}
    if ending is Ending.NONSENSE or (ending is Ending.LOST and said not in ways):
        return False
    if said <= head_octets or said == 1 << 32:
        return False
    dots = octets.count(b"\n.")
    return said in ways or len(octets) + dots + len(".\r\n") + SLACK >= said


async def test_no_dele_for_what_is_not_confirmed_whole_whichever_way(bench: Bench) -> None:
    expected: dict[str, bool] = {}
    for number, (body, size, ending) in enumerate(product(BODIES, SIZES, Ending)):
        name = f"{number} {body}, {size}, {ending.name}"
        content = letter(name, size=SIZE)
        octets, said = sent(body, content), listed(size, content)
        bench.maildrop.mails.append(
            Mail(b"%d-" % number, content, listed_octets=said, sent=octets, ending=ending)
        )
        expected[name] = may_go(octets, said, ending)
    for number in range(len(expected)):  # the server does not overstate most of its sizes
        bench.maildrop.mails.append(Mail(b"sound-%d" % number, letter(f"sound {number}")))
    await bench.change(server_retention={"mode": "delete_after_retrieve"})
    for _ in range(6):
        await bench.try_sync()
        bench.now += timedelta(days=2)
    deleted = {mail.subject for mail in bench.maildrop.deleted}
    wrong = {name: is_due for name, is_due in expected.items() if (name in deleted) is not is_due}
    assert wrong == {}
    assert 0 < sum(expected.values()) < len(expected)
    assert not [mail for mail in bench.maildrop.mails if mail.unique_id.startswith(b"sound")]
    assert len(await bench.subjects()) == len(expected) + len(expected), "all are stored all the same"
