"""The files of an export, and how they are put in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from patchctl.author.export import Mail, files, needs_keep_cr, write
from patchctl.errors import InvalidError, PatchctlError
from patchctl.manifest.revision import parse

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: A <a@x>\nSubject: [PATCH] s\n\n"
MODE = "diff --git a/x b/x\nold mode 100644\nnew mode 100755\n"
LINK = "diff --git a/x b/x\nnew file mode 120000\nindex 0000000..1111111\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+y\n"
MODULE = LINK.replace("120000", "160000")
TEXT = "diff --git a/x b/x\nindex 1111111..2222222 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
DOS = TEXT.replace("-a\n+b\n", "-a\r\n+b\r\n")
CONTENT = {"series": b"one.patch\n", "one.patch": b"1"}


def mail(name: str, diff: str) -> Mail:
    content = (HEAD + diff).encode()
    return Mail(name, content, parse(content, name))


def test_each_form_holds_the_mails_in_order() -> None:
    found = [mail("zz", TEXT), mail("aa", TEXT)]
    both = found[0].content + found[1].content
    assert files(found, "mbox") == {"": both}
    assert list(files(found, "folder")) == ["0001-zz.patch", "0002-aa.patch"]
    assert files(found, "quilt")["series"] == b"zz.patch\naa.patch\n"


@pytest.mark.parametrize(
    ("diff", "what"), [(MODE, "changes its mode"), (LINK, "is a symlink"), (MODULE, "is a submodule")]
)
def test_what_quilt_would_do_wrong_is_refused_and_the_other_forms_take_it(diff: str, what: str) -> None:
    found = [mail("one", diff)]
    with pytest.raises(InvalidError, match=f"one: x {what}, which quilt cannot apply"):
        files(found, "quilt")
    assert files(found, "mbox")


def test_only_dos_line_ends_need_the_word_for_them() -> None:
    assert [needs_keep_cr([mail("one", diff)]) for diff in (TEXT, MODE, DOS)] == [False, False, True]


@pytest.mark.parametrize("content", [{"": b"mbox"}, CONTENT])
def test_an_export_is_made_once_and_its_parents_with_it(content: dict[str, bytes], tmp_path: Path) -> None:
    place = tmp_path / "deep" / "place"
    assert [write(place, content), write(place, content)] == [True, False]
    assert [path.name for path in place.parent.iterdir()] == ["place"]


@pytest.mark.parametrize("deed", ["less", "more", "other", "file", "empty", "link"])
def test_anything_else_in_its_place_is_left(deed: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    if deed == "file":
        place.write_bytes(b"")
    elif deed == "link":
        place.symlink_to(tmp_path / "nowhere")
    else:
        place.mkdir()
        kept = {"less": ["series"], "more": [*CONTENT, "mine"], "other": list(CONTENT), "empty": []}[deed]
        for name in kept:
            (place / name).write_bytes(b"mine" if deed == "other" else CONTENT.get(name, b"mine"))
    with pytest.raises(PatchctlError, match="exists and holds something else"):
        write(place, CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
