"""What the README shows is what a user sees."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(
    r"^    \$ patchctl ((?:check|status) demo[^\n#]*)[^\n]*\n((?:    [^$\n][^\n]*\n)+)", README, re.MULTILINE
)


@pytest.mark.parametrize(("words", "said"), SHOWN, ids=[words.strip() for words, _ in SHOWN])
def test_the_transcript_is_what_is_printed(words: str, said: str, tmp_path: Path, patchctl: Callable[..., Any]) -> None:
    assert patchctl("init", cwd=tmp_path).code == 0
    ran = patchctl(*shlex.split(words), cwd=tmp_path)
    assert ran.stdout == re.sub("^    ", "", said, flags=re.MULTILINE)


def test_the_transcript_has_commands_to_hold_it_against() -> None:
    assert len(SHOWN) == 2
