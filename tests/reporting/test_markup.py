from __future__ import annotations

import html

from hypothesis import given
from hypothesis import strategies as st

from polytask.reporting.formats import clean
from polytask.reporting.markup import Html, element, join


@given(st.text())
def test_text_and_attributes_come_back_unchanged_and_hold_no_markup(text):
    made = element("p", text, title=text)
    start, end = made.index(">") + 1, made.rindex("</p>")
    attribute, content = made[len('<p title="') : start - 2], made[start:end]
    for part in (attribute, content):
        assert not set(part) & set("<>\"'")
        assert html.unescape(part).replace("\u00a0", " ") == html.unescape(html.escape(clean(text))).replace(
            "\u00a0", " "
        )


def test_markup_is_not_escaped_twice():
    inner = element("b", "1 < 2")
    assert element("p", inner, " & more") == "<p><b>1 &lt; 2</b> &amp; more</p>"
    assert isinstance(join([inner, "&"]), Html)


def test_attributes():
    made = element(
        "svg", class_="a", stroke_width=1.5, viewBox="0 0 1 1", hidden=True, title=None, open=False, x=2.0
    )
    assert made == '<svg class="a" stroke-width="1.5" viewBox="0 0 1 1" hidden x="2"></svg>'


def test_void_and_leaf_elements():
    assert element("br") == "<br>"
    assert element("line", x1="0%") == '<line x1="0%"/>'
    assert element("line", element("title", "t")) == "<line><title>t</title></line>"


def test_no_break_between_a_number_and_its_unit():
    assert element("b", "+4.2 % on average") == "<b>+4.2\u00a0% on average</b>"
