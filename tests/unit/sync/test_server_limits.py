"""How many syncs at once a mail server gets."""

from hypothesis import given
from hypothesis import strategies as st

from app.sync.errors import SyncErrorCode
from app.sync.server_limits import ServerLimits

Ends = st.lists(
    st.tuples(st.sampled_from(["a:995", "b:995"]), st.sampled_from([None, *SyncErrorCode])), max_size=200
)


def test_a_server_that_does_not_answer_gets_half_and_half_again_down_to_one() -> None:
    limits = ServerLimits(32)
    shares = []
    for _ in range(7):
        limits.ended("a:995", SyncErrorCode.CONNECT_FAILED)
        shares.append(limits.lowered["a:995"])
    assert shares == [16, 8, 4, 2, 1, 1, 1]
    assert list(limits.lowered) == ["a:995"]


def test_a_server_that_answers_again_gets_one_more_each_time_until_it_is_forgotten() -> None:
    limits = ServerLimits(4)
    for _ in range(3):
        limits.ended("a:995", SyncErrorCode.TIMEOUT)
    shares = []
    for _ in range(3):
        limits.ended("a:995", None)
        shares.append(limits.lowered.get("a:995"))
    assert shares == [2, 3, None]


def test_whatever_else_goes_wrong_a_server_that_answers_is_there() -> None:
    limits = ServerLimits(4)
    limits.ended("a:995", SyncErrorCode.TIMEOUT)
    for code in set(SyncErrorCode) - {SyncErrorCode.TIMEOUT, SyncErrorCode.CONNECT_FAILED}:
        before = limits.lowered.get("a:995", 4)
        limits.ended("a:995", code)
        assert limits.lowered.get("a:995", 4) >= before


@given(most=st.integers(1, 40), ends=Ends)
def test_a_share_is_never_under_one_nor_over_the_most_and_is_the_server_s_own(
    most: int, ends: list[tuple[str, SyncErrorCode | None]]
) -> None:
    limits, alone = ServerLimits(most), ServerLimits(most)
    for server, code in ends:
        limits.ended(server, code)
        if server == "a:995":
            alone.ended(server, code)
        assert all(1 <= share < most for share in limits.lowered.values())
    assert limits.lowered.get("a:995") == alone.lowered.get("a:995")
