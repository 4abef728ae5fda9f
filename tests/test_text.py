from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchctl.text import coloured, one_line, redacted, uncoloured, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("a\n::error::owned", "a\n: :error::owned"),
        ("\t ::error::x", "\t : :error::x"),
        ("\xa0\u3000::error::x", "\xa0\u3000: :error::x"),  # GitHub's runner trims every kind of blank
        ("engine ##[add-mask]x", "engine # #[add-mask]x"),  # and still takes its older form, anywhere in a line
        ("std::vector", "std::vector"),
        ("a\r\nb\rc", "a\nb\\x0dc"),
        ("\x9b2J \u202e \udcff", r"\x9b2J \u202e \xff"),
        ("grün ✓", "grün ✓"),
    ],
)
def test_what_steers_terminals_and_ci_systems_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_text_can_be_kept_on_one_line() -> None:
    assert one_line("a\n::error::b\tc") == r"a\n::error::b\tc"


def test_only_colours_are_kept_and_only_where_wanted() -> None:
    assert coloured("\x1b[31mred\x1b[0m \x1b[8mhidden\x1b[2J") == "\x1b[31mred\x1b[0m \\x1b[8mhidden\\x1b[2J"
    assert uncoloured("\x1b[31m::error::red\x1b[0m \x1b[\x1b[0m2J") == ": :error::red \\x1b[2J"


@given(st.text())
def test_nothing_shown_has_controls_or_orders(text: str) -> None:
    for shown in (visible(text), one_line(text), uncoloured(text)):
        assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
        assert not any(line.lstrip().startswith("::") for line in shown.split("\n"))
        assert "##[" not in shown
        shown.encode()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@host/up.git", "https://***@host/up.git"),
        ("cannot fetch ssh://git@host/x: no", "cannot fetch ssh://git@host/x: no"),
        ("https://token@host/x https://a:b@c/d", "https://***@host/x https://***@c/d"),
        ("https://me:p@ss@host/x", "https://***@host/x"),
        ("https://host/a@b", "https://host/a@b"),
        ("/a/place", "/a/place"),
    ],
)
def test_credentials_in_urls_are_not_shown(url: str, shown: str) -> None:
    assert redacted(url) == shown
