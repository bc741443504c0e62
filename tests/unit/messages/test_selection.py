"""What a request wants of each message."""

import pytest

from app.errors import AppError
from app.messages.pages.selection import PARSED, PLAIN, WHOLE, Include, Selection, selected


def test_nothing_asked_for_is_what_lists_answer_anyhow() -> None:
    assert selected(None, None, None) == Selection()
    assert selected(None, None, None).is_plain
    assert selected(None, None, None, unless_asked=PARSED) == WHOLE
    assert PLAIN & set(Include) == set()
    assert {"id", "from", "subject", "warnings"} <= PLAIN


def test_names_come_with_commas_or_repeated_and_in_any_order() -> None:
    one = selected(["text,html"], None, None)
    assert one == selected(["html", " text ", ""], None, None)
    assert one.include == {Include.TEXT, Include.HTML}
    assert one.is_read


def test_fields_leave_out_all_others_and_include_what_they_name() -> None:
    chosen = selected(["html"], ["id,text", "subject"], None, unless_asked=PARSED)
    assert chosen.include == {Include.TEXT, Include.HTML}
    assert chosen.fields == frozenset({"id", "subject"})


@pytest.mark.parametrize(
    ("include", "fields", "pointer", "near"),
    [
        (["txt"], None, "/query/include", "did you mean 'text'?"),
        (["body"], None, "/query/include", "did you mean 'text'?"),
        (["subject"], None, "/query/include", "known are: attachments, headers, html"),
        (None, ["subjekt"], "/query/fields", "did you mean 'subject'?"),
        (None, ["id,size"], "/query/fields", "did you mean 'octets'?"),
        (None, ["from_"], "/query/fields", "did you mean 'from'?"),
        (None, [""], "/query/fields", "names no member"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest(
    include: list[str] | None, fields: list[str] | None, pointer: str, near: str
) -> None:
    with pytest.raises(AppError) as refused:
        selected(include, fields, None)
    assert refused.value.status == 422
    (fault,) = refused.value.faults
    assert fault.pointer == pointer
    assert near in fault.detail


def test_many_bad_names_are_told_within_bounds() -> None:
    with pytest.raises(AppError) as refused:
        selected([",".join(f"{n}{'x' * 400}" for n in range(300))], None, None)
    assert len(refused.value.faults) == 20
    assert all(len(fault.detail) < 300 for fault in refused.value.faults)


def test_other_selections_have_other_words() -> None:
    chosen = [
        WHOLE,
        selected(["text"], None, None),
        selected(["text"], None, 5),
        selected(["text"], ["id"], None),
        selected(["text,html"], ["id"], None),
    ]
    assert len({one.words for one in chosen}) == len(chosen)
    assert WHOLE.words == ""
