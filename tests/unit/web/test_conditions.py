"""Lists of entity tags, as clients write them."""

import pytest

from app.web.requests.conditions import is_among


@pytest.mark.parametrize("header", ['"a"', '"x","a"', '"x" ,\t"a" , "y"', ',"a",', "*", " * ", '"x,","a"'])
def test_a_tag_is_found_in_a_list(header: str) -> None:
    assert is_among('"a"', header, weakly=False)
    assert is_among('"a"', header, weakly=True)


@pytest.mark.parametrize(
    "header", ["", '"A"', "a", "'a'", '"x,a"', '"a', 'w/"a"', '"a""a"', '"x"a"', '"*"', '*, "x"']
)
def test_what_is_no_such_tag_is_not(header: str) -> None:
    assert not is_among('"a"', header, weakly=False)
    assert not is_among('"a"', header, weakly=True)


def test_a_weak_tag_counts_where_weak_ones_do() -> None:
    assert is_among('"a"', 'W/"a"', weakly=True)
    assert is_among('W/"a"', '"a"', weakly=True)
    assert not is_among('"a"', 'W/"a"', weakly=False)
