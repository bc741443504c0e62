"""How many of something are under way at once."""

from contextlib import ExitStack, suppress

import pytest

from app.errors import AppError
from app.web.requests.places import Places


def test_one_key_has_a_few_places_and_all_together_some_more_until_they_leave() -> None:
    places = Places(2, 3, "Too many.")
    with ExitStack() as staying:
        for key in ("a", "a", "b"):
            staying.enter_context(places.taken(key))
        for key in ("a", "b", "c"):
            with pytest.raises(AppError) as refused, places.taken(key):
                pass
            assert (refused.value.status, refused.value.detail) == (429, "Too many.")
            assert int((refused.value.headers or {})["Retry-After"]) > 0
    assert places.are_free, "those who were refused have none either"
    with suppress(LookupError), places.taken("a"):
        raise LookupError
    assert places.are_free
