from __future__ import annotations

import pytest

from patchctl.errors import InvalidError
from patchctl.manifest.edit import set_scalar
from patchctl.manifest.page import load_page, split


def page(tmp_path, text: str | bytes):
    path = tmp_path / "README.md"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_page(path, "README.md")


def test_a_page_is_front_matter_and_markdown(tmp_path):
    made = page(tmp_path, "---\ntitle: é\nrequires: [a]\n---\n\n# Why\n---\nno front matter here: [\n")
    assert made.page.title == "é"
    assert made.page.requires == ["a"]
    assert made.body == "\n# Why\n---\nno front matter here: [\n"


def test_lines_and_columns_are_those_of_the_file(tmp_path):
    with pytest.raises(InvalidError) as caught:
        page(tmp_path, "---\ntitle: é\nrequire: [a]\ndrop_when: {commit: abc}\n---\n")
    assert caught.value.message.splitlines() == [
        'README.md:3:1: unknown key "require"; did you mean "requires"?',
        "README.md:4:21: drop_when.commit must be all 40 hex digits; this has 3",
    ]


@pytest.mark.parametrize("text", ["---\r\ntitle: a\r\n---\r\nbody\r\n", "--- \ntitle: a\n---\t\nbody\r\n"])
def test_line_ends_and_blanks_after_the_dashes_do_not_matter(tmp_path, text):
    made = page(tmp_path, text)
    assert made.page.title == "a"
    assert made.body == "body\r\n"


def test_a_page_may_end_with_its_front_matter(tmp_path):
    assert page(tmp_path, "---\ntitle: a\n---").body == ""


@pytest.mark.parametrize("text", ["", "# Title\n", "\n---\ntitle: a\n---\n", "----\ntitle: a\n----\n"])
def test_a_page_without_front_matter_is_refused(tmp_path, text):
    with pytest.raises(InvalidError, match=r"README.md:1:1: has no front matter"):
        page(tmp_path, text)


@pytest.mark.parametrize("text", ["---", "---\n", "---\ntitle: a\n", "---\ntitle: a\n --- \n"])
def test_front_matter_that_is_not_closed_is_refused(tmp_path, text):
    with pytest.raises(InvalidError, match=r"README.md:1:1: the front matter that starts here is not closed"):
        page(tmp_path, text)


def test_empty_front_matter_says_what_it_needs(tmp_path):
    with pytest.raises(InvalidError, match=r"README.md:2:1: is empty; it needs title"):
        page(tmp_path, "---\n---\n")


def test_what_is_no_text_is_refused(tmp_path):
    with pytest.raises(InvalidError, match=r"README.md:5:4: byte 0xff is not UTF-8"):
        page(tmp_path, b"---\ntitle: a\n---\n\n# T\xff\n")
    with pytest.raises(InvalidError, match=r"README.md:1:1: starts with a byte order mark"):
        page(tmp_path, b"\xef\xbb\xbf---\ntitle: a\n---\n")


def test_an_edit_of_front_matter_leaves_the_markdown_alone():
    text = "---\r\ntitle: old # c\r\n---\r\ntitle: old\r\n"
    document, _ = split(text, "README.md")
    assert set_scalar(document, ("title",), "new") == b"---\r\ntitle: new # c\r\n---\r\ntitle: old\r\n"
