"""Turns: whoever asks little is served as if he were nearly alone, however much others ask."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from app.reading.shares import Owner, Shares


def served(shares: Shares[str], cost: dict[str, float], rounds: int) -> list[str]:
    """Whose turn it was, in so many rounds, one thing at a time."""
    order: list[str] = []
    for _ in range(rounds):
        turn = shares.take()
        if turn is None:
            break
        owner, work = turn
        shares.done(owner, cost=cost[work])
        order.append(work)
    return order


def waiting(**counts: int) -> Shares[str]:
    shares: Shares[str] = Shares()
    for owner, count in counts.items():
        for _ in range(count):
            shares.add((owner,), owner)
    return shares


def test_equal_owners_alternate_however_much_each_has_waiting() -> None:
    assert served(waiting(a=100, b=3), {"a": 1.0, "b": 1.0}, 7) == ["a", "b", "a", "b", "a", "b", "a"]


def test_who_is_dear_waits_until_others_have_cost_as_much() -> None:
    order = served(waiting(dear=9, cheap=100), {"dear": 1.0, "cheap": 0.1}, 100)
    assert Counter(order[:23])["dear"] in {2, 3}


def test_who_comes_late_is_next_and_has_no_claim_to_what_he_missed() -> None:
    shares = waiting(old=50)
    served(shares, {"old": 1.0}, 20)
    for _ in range(10):
        shares.add(("late",), "late")
    assert served(shares, {"old": 1.0, "late": 1.0}, 6).count("late") in {3, 4}


def test_having_been_served_alone_is_not_held_against_the_old_one() -> None:
    shares = waiting(old=50)
    served(shares, {"old": 1.0}, 20)
    for _ in range(50):
        shares.add(("late",), "late")
    assert "old" in served(shares, {"old": 1.0, "late": 1.0}, 4)


def test_outer_owners_share_before_inner_ones() -> None:
    shares: Shares[str] = Shares()
    for mailbox in range(9):
        for _ in range(10):
            shares.add(("many", mailbox), "many")
    for _ in range(10):
        shares.add(("one", 1), "one")
    assert Counter(served(shares, {"many": 1.0, "one": 1.0}, 10)) == {"many": 5, "one": 5}


def test_inner_owners_share_what_the_outer_one_gets() -> None:
    shares: Shares[str] = Shares()
    for name, count in (("dear", 100), ("cheap", 5)):
        for _ in range(count):
            shares.add(("reader", name), name)
    assert Counter(served(shares, {"dear": 1.0, "cheap": 1.0}, 10)) == {"dear": 5, "cheap": 5}


def test_who_has_nothing_under_way_comes_first() -> None:
    shares = waiting(a=3, b=1)
    assert [shares.take(), shares.take()] == [(("a",), "a"), (("b",), "b")]


_OWNERS = st.tuples(st.sampled_from("ab"), st.integers(0, 2))


@given(
    st.lists(
        st.tuples(st.just("add"), _OWNERS) | st.tuples(st.sampled_from(["take", "done", "remove"]), _OWNERS),
        max_size=60,
    )
)
def test_nothing_is_lost_doubled_or_remembered(steps: list[tuple[str, Owner]]) -> None:
    shares: Shares[int] = Shares()
    here: dict[int, Owner] = {}
    under_way: list[Owner] = []
    for number, (step, owner) in enumerate(steps):
        match step:
            case "add":
                shares.add(owner, number)
                here[number] = owner
            case "take":
                turn = shares.take()
                assert (turn is None) == (not here)
                if turn is not None:
                    assert here.pop(turn[1]) == turn[0]
                    under_way.append(turn[0])
            case "done" if under_way:
                shares.done(under_way.pop(), cost=1.0)
            case "remove":
                mine = [work for work, whose in here.items() if whose == owner]
                assert shares.remove(owner, mine[0] if mine else -1) == bool(mine)
                if mine:
                    del here[mine[0]]
        assert len(shares) == len(here)
    while turn := shares.take():
        under_way.append(turn[0])
    for owner in under_way:
        shares.done(owner, cost=1.0)
    assert list(shares._accounts) == [()]
