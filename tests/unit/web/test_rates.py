"""Counting by name, with memory that ends."""

from app.web.requests.rates import Rate


def test_so_many_at_once_and_then_one_after_another() -> None:
    rate = Rate(6)
    assert [rate.spend("a", now=100.0) for _ in range(6)] == [0.0] * 6
    assert rate.spend("a", now=100.0) == 10.0
    assert rate.spend("a", now=109.0) == 1.0
    assert rate.spend("a", now=110.0) == 0.0
    assert rate.spend("a", now=110.0) == 10.0
    assert rate.spend("b", now=110.0) == 0.0


def test_what_is_refused_is_not_counted() -> None:
    rate = Rate(1)
    assert rate.spend("a", now=0.0) == 0.0
    assert [rate.spend("a", now=30.0) for _ in range(100)] == [30.0] * 100
    assert rate.spend("a", now=60.0) == 0.0


def test_zero_is_no_limit() -> None:
    assert [Rate(0).spend("a", now=0.0) for _ in range(1000)] == [0.0] * 1000


def test_only_so_many_names_are_remembered() -> None:
    rate = Rate(1, names=2)
    for name in ("a", "b", "c"):
        assert rate.spend(name, now=0.0) == 0.0
    assert rate.spend("c", now=0.0) > 0
    assert rate.spend("a", now=0.0) == 0.0
