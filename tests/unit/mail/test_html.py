"""Sanitised HTML loads nothing, runs nothing, and takes bounded time."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mail import defects
from app.mail.budget import Budget, Work
from app.mail.html import read_html, stripped
from app.mail.nesting import MAX_DEPTH

MAX_TAGS = Work.TAGS.units


def sanitised(html: str, found: list[str]) -> str:
    return read_html(html, Budget(found), found, text=False).markup


def readable(html: str, found: list[str]) -> str:
    return read_html(html, Budget(found), found, text=True).text


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


@pytest.mark.parametrize("unit", ["<div>x</div>", "<b>x", "<!-- -->x", "<br>x", "<unknown>x", "< x", "</p>x"])
def test_of_html_with_too_many_tags_the_beginning_is_given(unit: str) -> None:
    found: list[str] = []
    html = "words" + unit * (MAX_TAGS + 10)
    assert sanitised(html, found).startswith("words")
    assert defects.HTML_TOO_COMPLEX in found
    assert sanitised(html, []).count("x") <= MAX_TAGS


@pytest.mark.parametrize(
    ("opening", "closing"), [("<div>", "</div>"), ("<b>", "</b>"), ("<table><tr><td>", "</td></tr></table>")]
)
def test_of_html_that_is_nested_too_deep_all_text_is_given(opening: str, closing: str) -> None:
    found: list[str] = []
    html = f"{opening * 1_000}deep{closing * 1_000}<p>after</p>"
    clean = sanitised(html, found)
    assert found == [defects.HTML_TOO_DEEP]
    assert clean.startswith(opening.split(">", maxsplit=1)[0])
    assert clean.endswith("<p>after</p>")
    assert readable(html, []).split() == ["deep", "after"]


def test_several_pages_share_one_budget() -> None:
    found: list[str] = []
    budget = Budget(found)
    for _ in range(3):
        read_html("<i>x</i>" * (MAX_TAGS // 4), budget, found, text=False)
    assert found == [defects.HTML_TOO_COMPLEX]
    assert read_html("<i>x</i>", budget, found, text=True).text == ""


@pytest.mark.parametrize(
    ("html", "clean"),
    [
        ("<table>lost<tr><td>x</table>", "<td>lost</td>"),
        ("<table><tr>lost<td>x</table>", "<td>lost</td>"),
        ("<table><colgroup><col>lost</table>", "<td>lost</td>"),
        ("<table><tr><td>x</td></tr><b>lost</b></table>", "<td><b>lost</b>"),
        ("<td>no table</td>", "no table"),
        ("<div></span></p></td></div>x", "<div></div>x"),
        ("<table><tr><td></div>x</table>", "<td>x</td>"),
        ("<b><i>x</b>y</i>z", "<b><i>x</i></b>yz"),
        ("<p>one<p>two", "<p>one</p><p>two</p>"),
        ("<ul><li>one<div>x<li>two</ul>", "<ul><li>one<div>x</div></li><li>two</li></ul>"),
        ("<ul><li>one<ul><li>a</ul><li>two</ul>", "<ul><li>one<ul><li>a</li></ul></li><li>two</li></ul>"),
        ("<dl><dt>a<dd>b<dt>c</dl>", "<dl><dt>a</dt><dd>b</dd><dt>c</dt></dl>"),
    ],
)
def test_what_is_badly_nested_comes_out_well_nested_and_nothing_is_moved(html: str, clean: str) -> None:
    assert clean in sanitised(html, [])


def test_a_link_goes_on_in_the_block_that_ends_its_paragraph() -> None:
    clean = sanitised("<p><a href='http://e.org/'>one<div>two</div></a>three", [])
    assert re.sub(' rel="[^"]*"', "", clean) == (
        '<p><a href="http://e.org/">one</a></p><a href="http://e.org/"><div>two</div></a>three'
    )


@pytest.mark.parametrize(
    "reference", ["&#" + "9" * 5_000 + ";", "&#x" + "f" * 5_000 + ";", "&#xd800;", "&#0;"]
)
def test_references_to_no_character_are_replaced(reference: str) -> None:
    for text in (sanitised(f"a{reference}b", []), readable(f"a{reference}b", []), stripped(f"a{reference}b")):
        assert text == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    "html",
    [
        "<table>" + "<tr><td>x" * (30 * MAX_DEPTH) + "</table>",
        "<p>x" * (30 * MAX_DEPTH),
        "<ul>" + "<li><b>x</b><br>" * (20 * MAX_DEPTH) + "</ul>",
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
    html = "<p>words</p>" + pattern * (2_000_000 // len(pattern))
    assert stripped(html).startswith("\nwords\n")
    assert "words" in sanitised(html, [])


def test_no_more_is_written_than_may_be_written() -> None:
    found: list[str] = []
    clean = sanitised("\xa0" * 2_000_000, found)
    assert len(clean) <= Work.CHARACTERS.units
    assert found == [defects.TEXT_CUT]


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


@settings(deadline=None)
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
