"""Sanitised HTML loads nothing, runs nothing, and takes bounded time."""

import re
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mail import defects
from app.mail.budget import Budget, Work
from app.mail.markup.html import first_words, preformatted, read_html
from app.mail.markup.nesting import MAX_DEPTH
from app.mail.markup.styles import style_of
from tests.fuzz.work import assert_linear

MAX_TAGS = Work.TAGS.units


def sanitised(html: str, found: list[str]) -> str:
    return read_html(html, Budget(found), found, text=False).markup


def readable(html: str, found: list[str]) -> str:
    return read_html(html, Budget(found), found, text=True).text


def words_of(html: str) -> str:
    """What the snippet is made of."""
    return first_words(html, Budget([]), characters=200)


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


@pytest.mark.parametrize(
    "address",
    [
        "http://e.org/?a=1&amp;b=2", "https://e.org", "HTTPS://E.org/", "mailto:a@example.org", "tel:+49-30-123456",
        "#chapter-1", "#",
    ],
)  # fmt: skip
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
        "https:evil",
        "https:/evil",
        "https:\\evil",
        "ht&#10;tps:evil",
        "https:///evil",
        "local",
        "sms:+49",
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
        "margin:-9999px",
        "margin-left: -50px",
        "margin:0 0 0 -1em",
        "margin:-.5em",
        "margin-top:calc(-1 * 9px)",
        "text-indent:-999em",
        "letter-spacing:-9px",
    ],
)
def test_styles_that_load_run_or_cover_the_page_go(style: str) -> None:
    kept = "text-align:left;color:rgb(1,2,3);background-color:#fff"
    assert sanitised(f'<p style="{style};{kept}">x</p>', []) == f'<p style="{kept}">x</p>'


@pytest.mark.parametrize(
    ("html", "seen"),
    [
        ("<embed>seen", "seen"),
        ("<embed src=x>seen</embed>too", "seentoo"),
        ("<svg/>seen", "seen"),
        ("<svg width='1'/>seen", "seen"),
        ("<math/>seen", "seen"),
        ("<svg><path d=x></svg>seen", "seen"),
        ("<svg><path d=x>seen", "seen"),
        ("<svg><text>seen</text></svg>", "seen"),
        ("<svg><style/><text>seen</text></svg>", "seen"),
        ("<svg><title/></svg>seen", "seen"),
        ("<svg><script/></svg>seen", "seen"),
        ("<svg><defs/></svg>seen", "seen"),
        ("<svg><p>seen<style/>not</style>", "seen"),
        ("<svg><title>not</title></svg>seen", "seen"),
        ("<svg><desc>not</desc><defs><g>not</defs>seen</svg>", "seen"),
        ("<math><mi>se</mi><mo>en</mo></math>", "seen"),
        ("<object>seen", "seen"),
        ("<object data=x><param name=y>seen</object>", "seen"),
        ("<object><object>seen</object>", "seen"),
        ("<applet>seen", "seen"),
        ("<video src=x>seen", "seen"),
        ("<audio>seen</audio>", "seen"),
        ("<canvas>seen", "seen"),
        ("<noscript>seen</noscript>", "seen"),
        ("<noscript>seen", "seen"),
        ("<select><option>seen", "seen"),
        ("<button>seen", "seen"),
        ("<label>seen<input>", "seen"),
        ("<textarea>se<b>en</textarea>", "se<b>en"),
        ("<xmp><b></xmp>seen", "<b>seen"),
        ("<frameset><frame src=x></frameset>seen", "seen"),
        ("<iframe src=x>not</iframe>seen", "seen"),
        ("<iframe src=x/>not</iframe>seen", "seen"),
        ("<style/>not</style>seen", "seen"),
        ("<noembed>not</noembed>seen", "seen"),
        ("<template>not<b>not</b></template>seen", "seen"),
        ("<template><template>not</template>not</template>seen", "seen"),
        ("<datalist><option>not</datalist>seen", "seen"),
        ("<table><template>not</template><tr><td>seen</table>", "seen"),
        ("<base href=x>seen", "seen"),
        ("<link rel=x><meta x>seen", "seen"),
        ("<o:p>seen</o:p>", "seen"),
        ("<!--[if !mso]><!-->seen<!--<![endif]-->", "seen"),
        ("<![if !mso]>seen<![endif]>", "seen"),
    ],
)
def test_nothing_visible_is_lost_with_elements_that_go(html: str, seen: str) -> None:
    text = re.sub("<[^>]*>", "", sanitised(html, [])).replace("&lt;", "<").replace("&gt;", ">")
    assert "".join(text.split()) == seen
    assert "".join(readable(html, []).split()) == seen


HIDDEN = [
    "hidden", "hidden=''", "HIDDEN", 'hidden="until-found"',
    'style="display:none"', "style='display : NONE !important'",
    'style="color:#fff;display:none;x:y"', 'style="display:/**/none"', 'style="display:block;display:none"',
    'style="visibility:hidden"', 'style="visibility:collapse"', 'style="font-size:0"', 'style="font-size:0px"',
    'style="font-size:0.0em !important"', 'style="font-size:.0%"', 'style="font:0/0 a"', 'style="font:bold 0px Arial"',
    'style="opacity:0"', 'style="opacity:0.00"', 'style="opacity:0%"', 'style="max-height:0"', 'style="max-height:0px"',
    'style="max-height:0;overflow:hidden"', 'style="height:0;overflow:hidden"', 'style="width:0px;overflow:hidden"',
    'style="max-width:0;overflow:hidden"', 'style="mso-hide:all"', 'style="position:absolute;left:-9999px"',
    'style="display:none;display:"', 'style="display:none;display:nonsense"',
    'style="display:none!important;display:block"',
    'style="d\\69splay:n\\6fne"', 'style="opacity:-1"', 'style="opacity:0e0"', 'style="visibility:hidden;visibility:x"',
    'style="visibility:visible;visibility:hidden"', 'style="--x:1;display:none"', 'style="max-height:-0px"',
    'style="position:fixed;top:-999em"', "style=display:none", 'style="display:&#110;one"', 'style="display:none;',
]  # fmt: skip


@pytest.mark.parametrize("how", HIDDEN)
@pytest.mark.parametrize("element", ["div", "p", "span", "td", "a", "b"])
def test_what_is_hidden_goes_with_all_that_is_in_it(how: str, element: str) -> None:
    around = ("<table><tr>", "</tr></table>") if element == "td" else ("", "")
    closing = '">' if how.endswith(";") else ">"
    html = f"before{around[0]}<{element} {how}{closing}not<b>not<img alt=x><i>not</i></b></{element}>{around[1]}after"
    for text in (sanitised(html, []), readable(html, []), words_of(html)):
        assert "not" not in text
        assert text.startswith("before")
        assert text.endswith("after")


@pytest.mark.parametrize(
    "how",
    [
        'style="display:block"', 'style="display:none;display:block"', 'style="font-size:1px"',
        'style="font-size:0.5em"', 'style="font-size:10px"', 'style="font:700 14px/0 Arial"', 'style="opacity:0.1"',
        'style="opacity:1"',
        'style="max-height:10px"', 'style="max-height:none"', 'style="height:0"', 'style="width:0;overflow:visible"',
        'style="line-height:0"', 'style="visibility:visible"', 'style="mso-hide:none"', 'style="left:-9999px"',
        'style="display:none;display:inherit"', 'style="display:none\\9"', 'style="opacity:1e-9"',
        "style='\"display:none'",
        'style="display;none"', 'style="visibility:hidden;visibility:initial"', 'style="{display:none}"',
        'style="position:absolute;left:-10px"', 'style="x-display:none"', 'style="display:inline"', "title=hidden",
        'class="hidden"', "aria-hidden=true", "data-hidden",
    ],
)  # fmt: skip
def test_what_is_not_hidden_stays(how: str) -> None:
    html = f"<div {how}>seen</div>"
    for text in (sanitised(html, []), readable(html, []), words_of(html)):
        assert "seen" in text


@pytest.mark.parametrize(
    ("html", "seen"),
    [
        ('<table><td style="font-size:0"><div style="font-size:13px">seen</div>not</table>', "seen"),
        ('<p style="font-size:0">not<span style="font-size:1em">not</span></p>seen', "seen"),
        ('<p style="font-size:0"><span style="font:12px Arial">seen</span></p>', "seen"),
        ('<p style="font-size:0"><span style="font-size:medium">seen<b>too</b></span></p>', "seentoo"),
        ('<p style="visibility:hidden">not<b style="visibility:visible">seen</b></p>', "seen"),
        ('<p style="display:none"><b style="display:block">not</b></p>seen', "seen"),
        ('<img style="display:none" alt="not">seen', "seen"),
        ('<p style="visibility:hidden"><img alt="not"></p>seen', "seen"),
        ('<p style="font-size:0px"><img alt="seen"></p>', "[seen]"),
        ("<p hidden>not<p>seen", "seen"),
        ("<ul><li hidden>not<li>seen</ul>", "*seen"),
        ("<table><tr hidden><td>not<tr><td>seen</table>", "seen"),
        ("<table hidden><tr><td>not</table>seen", "seen"),
        ("<a hidden href=http://e.org>not</a>seen", "seen"),
        ("<div hidden>not</div></div>seen", "seen"),
        ("<b hidden>not<i>not</b>seen</i>", "seen"),
        ('<section style="display:none">not<p>not</section>seen', "seen"),
        ("<main hidden>not<main hidden>not</main>not</main>seen", "seen"),
        ('<form style="font-size:0">not<b style="font-size:9px">seen</b>not</form>', "seen"),
        ("<p>seen<section hidden>not<p>not</section>", "seen"),
        ("<table><form hidden><tr><td>seen</form></table>", "seen"),
        ('<body style="display:none">not</body>', ""),
        ("<o:p hidden>not</o:p>seen", "seen"),
        ("<textarea hidden>not</textarea>seen", "seen"),
        ('<input style="display:none">seen<embed hidden><meta hidden>', "seen"),
        ('<svg><g style="display:none"/>se<g style="display:none">not</g>en</svg>', "seen"),
        ('<svg style="display:none"><text>not</svg>seen', "seen"),
        ('<object style="display:none"><object>not</object></object>seen', "seen"),
        ('<p style="font-size:0"><font size="2">seen</font>not</p>', "seen"),
        ('<p style="visibility:hidden">not<b style="visibility:inherit">not</b></p>seen', "seen"),
        ("<div hidden>" * 300 + "not" + "</div>" * 300 + "seen", "seen"),
        ("<x-y hidden>" * 300 + "not" + "</x-y>" * 300 + "seen", "seen"),
    ],
)
def test_what_in_it_shows_itself_again_is_seen(html: str, seen: str) -> None:
    assert "not" not in sanitised(html, [])
    assert "".join(readable(html, []).split()) == seen
    assert "not" not in words_of(html)


@pytest.mark.parametrize(
    ("html", "styles"),
    [
        ('<p style="background:#036;color:#fff">x</p>', ["color:#fff;background-color:#036"]),
        ('<p style="color:#fff;background:#036 url(http://e.org/x) top">x</p>', ["color:#fff;background-color:#036"]),
        ('<p style="color:#fff;background:linear-gradient(#036,#069)">x</p>', []),
        ('<p style="color:#fff;background:url(http://e.org/x)">x</p>', []),
        ('<p style="color:#fff;background-image:url(x)">x</p>', []),
        ('<p style="color:#fff;background:none">x</p>', []),
        ('<p style="color:#fff;background:transparent">x</p>', []),
        ('<p style="color:#fff;background:rgba(0,0,0,0)">x</p>', []),
        ('<p style="color:#fff">x</p>', []),
        ('<p style="background-color:#036">x</p>', []),
        ('<p bgcolor="#036">x</p>', []),
        ('<font color="white">x</font>', []),
        ('<font color="red" style="background:YELLOW !important">x</font>', ["color:red;background-color:yellow"]),
        ('<p style="color:#fff;background:#FFFFFF">x</p>', []),
        ('<p style="color:white;background:rgb(255,255,255)">x</p>', []),
        ('<p style="color:inherit;background:red">x</p>', []),
        ('<p style="color:#fff;background:nonsense">x</p>', []),
        ('<p style="color:#fff;background-color:#036;background-color:buttonface">x</p>', []),
        ('<p style="color:#fff;color:nonsense;background:#036">x</p>', []),
        ('<p style="color:gray;background:#808080">x</p>', []),
        ('<p style="color:Gray;background:GREY">x</p>', []),
        ('<p style="color:#fff;background:rgba(0,0,0,.2)">x</p>', []),
        ('<p style="color:#fff;background:rgba(0,0,0,49%)">x</p>', []),
        ('<p style="color:#fff;background:#00000040">x</p>', []),
        ('<p style="color:#fff4;background:#000">x</p>', []),
        ('<p style="color:#fff;background:rgb(0,0,0)">x</p>', ["color:#fff;background-color:rgb(0,0,0)"]),
        ('<p style="color:#fff;background:rgba(0,0,0,1)">x</p>', ["color:#fff;background-color:rgba(0,0,0,1)"]),
        ('<p style="color:#fff;background:rgba(0,0,0,.9)">x</p>', ["color:#fff;background-color:rgba(0,0,0,.9)"]),
        ('<p style="color:#fff!important;color:red;background:#036">x</p>', ["color:#fff;background-color:#036"]),
        ('<p style="color:rebeccapurple;background:0 0 oldlace url(x)">x</p>',
         ["color:rebeccapurple;background-color:oldlace"]),
        ('<p style="color:windowtext;background:hsl(0 0% 0%)">x</p>', []),
        ('<p style="color:red;background:blue">a<b style="color:white">x</b></p>',
         ["color:red;background-color:blue", "color:white;background-color:blue"]),
        ('<div style="background:#036"><b style="color:#fff">x</b></div>', ["color:#fff;background-color:#036"]),
        ('<div style="color:#fff"><b style="background:#036">x</b></div>', ["color:#fff;background-color:#036"]),
        ('<table bgcolor="003366"><tr><td><font color="ffffff">x</table>', ["color:#ffffff;background-color:#003366"]),
        ('<p style="color:red;background:blue">a</p><b style="color:white">x</b>', ["color:red;background-color:blue"]),
        ('<p style="font-size:9px;color:#333;background-color:#eee;margin:0">x</p>',
         ["font-size:9px;margin:0;color:#333;background-color:#eee"]),
    ],
)  # fmt: skip
def test_colours_go_in_pairs_or_not_at_all(html: str, styles: list[str]) -> None:
    clean = sanitised(html, [])
    assert re.findall('style="([^"]*)"', clean) == styles
    assert "color=" not in clean


@pytest.mark.parametrize(
    ("html", "clean"),
    [
        ('<a href="#b">x</a><a name="b">y</a>', '<a href="#b">x</a><a name="b">y</a>'),
        ('<a href="#b">x</a><a id="b">y</a>', '<a href="#b">x</a><a name="b">y</a>'),
        ('<a href="#b">x</a><h1 id="b">y</h1>', '<a href="#b">x</a><h1><a name="b"></a>y</h1>'),
        ('<a href="#b">x</a><tr id="b"><table id="b"><tr><td>y</table>',
         '<a href="#b">x</a><table><tr><td><a name="b"></a>y</td></tr></table>'),
        ('<a href="#b"><i id="b">x</i></a>y', '<a href="#b"><i>x</i></a><a name="b"></a>y'),
        ('<h1 id="b">y</h1>', "<h1>y</h1>"),
        ('<a href="#b">x</a><img name="b" id="c">', '<a href="#b">x</a><img>'),
    ],
)  # fmt: skip
def test_links_within_the_page_lead_where_they_led(html: str, clean: str) -> None:
    written = re.sub(' rel="[^"]*"|<tbody>|</tbody>', "", sanitised(html, []))
    assert written == clean


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
    html = '<b>1</b><font size="2">2</font><strong>3</strong><i>4</i>'
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


def test_an_end_of_what_is_nested_too_deep_ends_nothing_else() -> None:
    too_deep = 5
    html = "<div>" * (MAX_DEPTH + too_deep) + "x" + "</div>" * too_deep + "y</div>z"
    assert "xy</div>z" in sanitised(html, [])


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
    for text in (sanitised(f"a{reference}b", []), readable(f"a{reference}b", []), words_of(f"a{reference}b")):
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
    assert words_of(html).startswith("\nwords\n")
    assert "words" in sanitised(html, [])


def test_no_more_is_written_than_may_be_written() -> None:
    found: list[str] = []
    clean = sanitised("\xa0" * 2_000_000, found)
    assert len(clean) <= Work.CHARACTERS.units
    assert found == [defects.TEXT_CUT]


def test_the_first_words_have_neither_styles_nor_comments_and_blocks_are_apart() -> None:
    html = "<style>p{}</style><p>a &lt; b</p><!-- c --><table><td>1</td><td>2</td>"
    assert words_of(html).split() == ["a", "<", "b", "1", "2"]


def test_a_lone_angle_bracket_is_text() -> None:
    assert words_of("1 < 2") == "1 < 2"
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
                assert name != "href" or re.match(r"(?i)\s*(https?://|mailto:|#)", value)
                assert name != "style" or "url" not in value


@pytest.mark.parametrize("unit", [" ", "! ", "/*", "a(", "()", "a-", "#fff", "1px", "\\41 ", "rgba(1,1,1"])
def test_the_work_of_a_style_grows_with_it(unit: str) -> None:
    assert_linear(lambda size: lambda: style_of(f"color:red{unit * (size // len(unit))}!"), 4_000)


def _peak(work: Callable[[], object]) -> int:
    """The octets that it holds at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_no_more_is_held_of_a_text_as_html_than_may_be_written() -> None:
    text = "\U0001f600" + "&<" * 1_000_000
    assert _peak(lambda: preformatted(text, Budget([]))) < 60_000_000


def test_no_more_is_held_of_lines_that_are_indented_than_may_be_written() -> None:
    html = "<blockquote>" * 8 + "<ul>" * 8 + "<pre>\U0001f600" + "x\n" * 600_000
    assert _peak(lambda: readable(html, [])) < 40_000_000
