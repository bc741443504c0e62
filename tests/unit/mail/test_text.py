"""What a person reads in HTML."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mail import defects
from app.mail.budget import Budget, Work
from app.mail.markup.html import read_html


def readable(html: str, found: list[str] | None = None) -> str:
    found = [] if found is None else found
    return read_html(html, Budget(found), found, text=True).text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a<br>b &amp; c", "a\nb & c"),
        ("<p>a</p>\n<p>b</p>", "a\n\nb"),
        ("<div>a</div>\n<div>b</div>", "a\nb"),
        ("<div><div><div>a</div></div></div><div>b</div>", "a\nb"),
        ("a<br><br><br>b<div><br></div>c", "a\n\nb\n\nc"),
        ("  a \n <b> b</b>c ", "a bc"),
        ("<p>a<script>no</script><style>no</style><!-- no --></p>", "a"),
        ("<h1>Title</h1>text<hr>more", "Title\n\ntext\n---\nmore"),
        ("<a href='https://e.org'>a link</a>", "a link"),
        ("<img src='cid:x' alt='A picture'><img src='http://e.org' alt=''>", "[A picture]"),
        ("1&nbsp;\u20ac", "1\xa0\u20ac"),
    ],
)
def test_blocks_are_lines_and_paragraphs_stand_apart(html: str, text: str) -> None:
    assert readable(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<ul><li>one<li>two</ul>", "* one\n* two"),
        ("a<ol><li>one<li>two</ol>b", "a\n\n1. one\n2. two\n\nb"),
        ("<ol start=9><li>x<li>y</ol>", "9. x\n10. y"),
        ("<ol start=99999999999999999999><li>x</ol>", "1. x"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul>", "* a\n  * b\n* c"),
        ("<ul><li><p>a</p><li><p>b</p></ul>", "* a\n\n* b"),
        ("<ul><li>a<br>b</ul>", "* a\n  b"),
        ("<ul><li><li>a</ul>", "* a"),
        ("<dl><dt>term<dd>meaning</dl>", "term\nmeaning"),
    ],
)
def test_lists_have_bullets_and_numbers(html: str, text: str) -> None:
    assert readable(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<table><tr><td>1<td>2<tr><td>3<td>4</table>", "1 | 2\n3 | 4"),
        ("a<table><tr><td>1</table>b", "a\n1\nb"),
        ("<p>a<table><tr><td>1</table>", "a\n\n1"),
        ("<table><tr><td>&#32;<td>1<td><td>2<td> </table>", "1 |  | 2"),
        ("<table><tr><td><img src=x><td>&nbsp;</table>x", "x"),
        ("<table><tr><td><table><tr><td>1<td>2</table><td>3</table>", "1 | 2 | 3"),
        ("<table><tr><td>left<br>below<td>right</table>", "left\nbelow\nright"),
        ("<table><tr><td>1<td>2<tr><td>a<br>b<td>c<td>d<tr><td>3</table>", "1 | 2\n\na\nb\nc | d\n\n3"),
        ("<table><caption>T</caption><thead><tr><th>A<th>B<tbody><tr><td>1<td>2</table>", "T\nA | B\n1 | 2"),
        ("<ul><li><table><tr><td>1<td>2</table></ul>", "* 1 | 2"),
        ("<table><tr><td><ul><li>a</ul><td>b</table>", "* a | b"),
    ],
)
def test_rows_are_lines_and_cells_are_told_apart(html: str, text: str) -> None:
    assert readable(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<blockquote>a<br>b</blockquote>c", "> a\n> b\n\nc"),
        ("x<blockquote>a<blockquote>b</blockquote>c</blockquote>", "x\n\n> a\n>\n> > b\n>\n> c"),
        ("<blockquote><ul><li>a<br>b</ul></blockquote>", "> * a\n>   b"),
        ("<blockquote><pre>a\n  b</pre></blockquote>", "> a\n>   b"),
    ],
)
def test_quotes_are_marked(html: str, text: str) -> None:
    assert readable(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<pre>a\n  b  c  \nd</pre>", "a\n  b  c\nd"),
        ("<pre>a\n\n\n\nb</pre>", "a\n\nb"),
        ("<pre>\na\n</pre>b", "a\n\nb"),
        ("<pre>a <b>b\nc</b>\n</pre>", "a b\nc"),
        ("<table><tr><td><pre>a\nb\nc</pre><td>d</table>", "a\nb\nc\nd"),
    ],
)
def test_preformatted_text_keeps_its_lines(html: str, text: str) -> None:
    assert readable(html) == text


@pytest.mark.parametrize(
    "style",
    ["padding:9999em", "margin-left:9999px", "width:99999px", "text-indent:9999em", "white-space:pre"],
)
@pytest.mark.parametrize("element", ["div", "p", "td", "table", "ul", "li", "span", "blockquote"])
def test_no_style_reaches_the_text(element: str, style: str) -> None:
    plain = f"<table><tr><td><{element}>a<br>b</{element}>"
    styled = plain.replace(
        f"<{element}>", f'<{element} style="{style}" width=99999 colspan=9999 cellpadding=9999>'
    )
    assert readable(styled) == readable(plain)


@pytest.mark.parametrize("unit", ["<blockquote>x<br>", "<ul><li>x<br>", "<ol><li>x<table><tr><td>y<td>z<br>"])
def test_what_is_written_before_a_line_does_not_grow_with_the_depth(unit: str) -> None:
    lines = readable(unit * 200).splitlines()
    assert max(map(len, lines)) < 60


def test_text_ends_where_the_budget_does() -> None:
    found: list[str] = []
    text = readable("<blockquote>" * 10 + "x<br>" * 49_000 + "<pre>" + "\nx" * 800_000, found)
    assert len(text) <= Work.CHARACTERS.units
    assert defects.TEXT_CUT in found


_PIECES = st.lists(
    st.sampled_from(
        ["<table>", "</table>", "<tr>", "<td>", "<th>", "</td>", "<tbody>", "<caption>", "<colgroup>", "<ul>", "<ol>",
         "<li>", "</li>", "</ul>", "<blockquote>", "</blockquote>", "<pre>", "</pre>", "<p>", "</p>", "<div>", "</div>",
         "<br>", "<hr>", "<a href=x>", "</a>", "<b>", "</b>", "\n", " ", "&nbsp;", "<h1>", "<dd>", "<img alt=y>"]
    ) | st.integers(0, 99).map(lambda number: f"w{number}."),
    max_size=60,
)  # fmt: skip


@settings(deadline=None)
@given(_PIECES)
def test_no_word_is_lost_or_moved(pieces: list[str]) -> None:
    text = readable("".join(pieces))
    assert re.findall(r"w\d+\.", text) == [piece for piece in pieces if piece.startswith("w")]
    assert not any(line != line.rstrip() for line in text.splitlines())
    assert "\n\n\n" not in text
    assert text == text.strip("\n")
