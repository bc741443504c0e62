"""Sanitised HTML loads nothing, runs nothing, and takes bounded time."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail import defects
from app.mail.html import MAX_DEPTH, MAX_HTML, MAX_REFERENCES, MAX_TAGS, readable, sanitised, stripped


def test_scripts_styles_frames_and_forms_go_with_their_content() -> None:
    html = (
        "<title>t</title><style>p{}</style><script>alert(1)</script><STYLE>q{}</style >"
        "<iframe src=x>f</iframe><form action=x><p>kept</p></form><svg><script>s</script></svg>"
    )
    assert sanitised(html, []) == "<p>kept</p>"


def test_event_handlers_go_and_their_elements_stay() -> None:
    assert sanitised("<p onclick='x()' OnLoad=y align=left>hi</p>", []) == '<p align="left">hi</p>'


@pytest.mark.parametrize(
    "source",
    [
        "http://e.org/x.png",
        "https://e.org/x",
        "//e.org/x",
        "/x.png",
        "data:image/svg+xml,<svg>",
        "ht&#x74;p://e.org",
        "",
    ],
)
def test_images_from_elsewhere_lose_their_address(source: str) -> None:
    assert sanitised(f'<img alt="a" src="{source}">', []) == '<img alt="a">'


def test_images_that_are_parts_of_the_message_stay() -> None:
    assert sanitised('<img src="cid:logo@example.org">', []) == '<img src="cid:logo@example.org">'


@pytest.mark.parametrize("address", ["http://e.org/?a=1&amp;b=2", "https://e.org", "mailto:a@example.org"])
def test_links_stay_and_say_nothing_about_where_they_were_clicked(address: str) -> None:
    assert sanitised(f"<a href='{address}'>x</a>", []) == (
        f'<a href="{address}" rel="noopener noreferrer nofollow">x</a>'
    )


@pytest.mark.parametrize(
    "address",
    [
        "javascript:x()",
        " JaVa\tscript:x()",
        "&#106;avascript:x()",
        "//e.org",
        "/local",
        "data:text/html,x",
        "cid:x",
        "ftp://e.org",
    ],
)
def test_links_of_any_other_kind_lose_their_address(address: str) -> None:
    assert sanitised(f'<a href="{address}">x</a>', []) == '<a rel="noopener noreferrer nofollow">x</a>'


@pytest.mark.parametrize(
    "style",
    [
        "background:url(http://e.org/x)",
        "color:url(//e.org)",
        "list-style-type:\\75rl(x)",
        "width:expression(x())",
        "position:fixed",
        "background-image:image-set('x')",
        "color:red/**/url(x)",
        "@import 'x'",
    ],
)
def test_styles_that_load_run_or_cover_the_page_go(style: str) -> None:
    assert sanitised(f'<p style="{style};color:rgb(1,2,3)">x</p>', []) == '<p style="color:rgb(1,2,3)">x</p>'


def test_an_attribute_cannot_break_out_of_its_quotes() -> None:
    clean = sanitised("""<p title='"><script>x</script>' style="color:red">a</p><b title="<x-b>">b</b>""", [])
    assert "<script" not in clean
    assert clean.startswith('<p title="')
    assert clean.endswith('">b</b>')


def test_attributes_that_nobody_knows_do_not_use_up_the_room_of_those_that_stay() -> None:
    unknown = " ".join(f"x{number}=1" for number in range(50))
    assert sanitised(f'<p {unknown} align="left">x</p>', []) == '<p align="left">x</p>'


def test_angle_brackets_in_attributes_are_not_counted_as_tags() -> None:
    found: list[str] = []
    assert sanitised(f'<p title="{"<" * (MAX_TAGS + 1)}">x</p>', found).endswith(">x</p>")
    assert found == []


def test_formatting_elements_come_back_under_their_own_names() -> None:
    html = '<b>1</b><font color="red">2</font><strong>3</strong><i>4</i>'
    assert sanitised(html, []) == html


def test_downlevel_revealed_comments_of_outlook_show_what_they_enclose() -> None:
    html = "<!--[if mso]><p>hidden</p><![endif]--><!--[if !mso]><!--><p>shown</p><!--<![endif]-->"
    assert sanitised(html, []) == "<p>shown</p>"


def test_unclosed_fonts_do_not_multiply() -> None:
    html = "".join(f"<p><font color={number}>x" for number in range(2_000))  # 2,000,000 elements to a parser
    assert len(sanitised(html, [])) < 5 * len(html)


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * (MAX_TAGS + 1),
        "&" * (MAX_REFERENCES + 1),
        "<" * (MAX_REFERENCES + 1),
        "<div>" * (MAX_DEPTH + 1) + "</div>" * (MAX_DEPTH + 1),
        "<b><br>" * (MAX_DEPTH + 1),
    ],
)
def test_html_that_would_take_quadratic_time_comes_back_as_its_text(html: str) -> None:
    found: list[str] = []
    assert re.fullmatch(r"<pre>[^<>]*</pre>", sanitised("words" + html, found))
    assert found == [defects.HTML_TOO_COMPLEX]


@pytest.mark.parametrize(
    "html",
    [
        "<table>" + "<tr><td>x" * (3 * MAX_DEPTH) + "</table>",
        "<p>x" * (3 * MAX_DEPTH),
        "<ul>" + "<li><b>x</b><br>" * (2 * MAX_DEPTH) + "</ul>",
    ],
)
def test_long_html_is_not_taken_for_deep_html(html: str) -> None:
    found: list[str] = []
    assert sanitised(html, found).count("x") == html.count("x")
    assert found == []


@pytest.mark.parametrize(
    "pattern", ["<a ", '<a x="', "<a x='", "<a =", "<!--", "<script ", "</script x", "<a<", "<!", "< "]
)
def test_tokens_without_end_take_linear_time(pattern: str) -> None:
    # Quadratic time would be hours here: the test does not measure, it ends or it does not.
    html = "<p>words</p>" + pattern * (MAX_HTML // len(pattern))
    assert stripped(html).startswith("\nwords\n")
    assert "words" in sanitised(html, [])


def test_html_that_is_cut_says_so() -> None:
    found: list[str] = []
    sanitised("x" * (MAX_HTML + 1), found)
    assert found == [defects.TEXT_CUT]


def test_readable_text_keeps_lines_lists_and_tables_and_no_scripts() -> None:
    html = "<p>a<br>b &amp; c</p><script>no</script><ul><li>one<li>two</ul><table><tr><td>1<td>2</table>"
    assert readable(html, []) == "a\nb & c\n\n  * one\n  * two\n1  2"


def test_readable_text_of_nesting_too_deep_for_layout_is_still_there() -> None:
    assert readable("<div>" * 2_000 + "deep", []).strip() == "deep"


def test_stripped_text_has_neither_styles_nor_comments_and_breaks_at_blocks() -> None:
    html = "<style>p{}</style><p>a &lt; b</p><!-- c --><td>1</td><td>2</td>"
    assert stripped(html).split() == ["a", "<", "b", "1", "2"]


def test_a_lone_angle_bracket_is_text() -> None:
    assert stripped("1 < 2") == "1 < 2"
    assert sanitised("1 < 2", []) == "1 &lt; 2"


_PIECES = st.lists(
    st.sampled_from(
        ["<p ", "<img src=", "<a href=", "style=", '"', "'", ">", "</p>", "<script>", "</script>", "<!--", "-->",
         "<x-b ", "http:", "//e.org", "javascript:", "url(", "onerror=", "&quot;", "&#x3c;", "<svg>", "<math>",
         "<style>", "<table>", "<b ", "cid:", "=", "/", " ", "\n", "\0", "<", "x"]
    ),
    max_size=30,
).map("".join)  # fmt: skip
_TAG = re.compile(r'<[a-z][a-z0-9]*((?: [a-z]+="[^"<>]*")*)>|</[a-z][a-z0-9]*>|[^<>]+')


@given(_PIECES)
def test_whatever_comes_in_only_whole_quoted_harmless_tags_come_out(html: str) -> None:
    """And again when a browser has read it: to another tree it may come (a link around a table), to no other tag."""
    clean = sanitised(html, [])
    for read in (clean, sanitised(clean, [])):
        assert _TAG.sub("", read) == ""
        for tag in _TAG.finditer(read):
            for name, value in re.findall(r' ([a-z]+)="([^"]*)"', tag[1] or ""):
                assert not name.startswith("on")
                assert name != "src" or value.lower().strip().startswith("cid:")
                assert name != "href" or re.match(r"(?i)\s*(https?|mailto):", value)
                assert name != "style" or "url" not in value
