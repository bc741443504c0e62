"""What LIST announces, as what comes is compared with it."""

from app.ledger.lines import Candidate
from app.pop3 import RawListing, Stat
from app.sync.retrieved.astray import Announced


def test_of_each_size_the_one_message_is_known_and_several_are_none() -> None:
    sizes = b"1 100\r\n2 200\r\n3 200\r\n4 many\r\n5 0\r\n6 200\r\n"
    announced = Announced.of(RawListing(Stat(6, 0), b"", sizes), [Candidate(2, b"b", 1, 200)])
    assert announced.only == {100: 1, 200: None}
    assert announced.asked == {2}
