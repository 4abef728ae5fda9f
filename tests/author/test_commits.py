"""A commit of anybody as data, and as patchctl stores it: what an edit takes over from a person."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from patchctl.author.commits import told_by, write_commit
from patchctl.git import Repo
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from pathlib import Path

TREE, PARENT = "1" * 40, "2" * 40
HEAD = b"tree %s\nparent %s\nauthor Ada <ada@example.invalid> 1700000000 -0330\ncommitter Me <me@x> 1800000000 +0000"


def commit(message: bytes, more: bytes = b"") -> bytes:
    return HEAD % (b"3" * 40, b"4" * 40) + more + b"\n\n" + message


def kept(folder: Path, commit: bytes) -> bytes:
    """Return what is stored for the commit on another tree and parent."""
    git("init", "--quiet", "--bare", folder)
    repo = Repo(folder)
    made = repo.read(write_commit(repo, replace(told_by(commit), tree=TREE, parents=(PARENT,))), "commit")
    repo.close()
    return made


def test_author_date_and_message_stay_and_the_committer_is_nobody(tmp_path: Path) -> None:
    assert kept(tmp_path, commit(b"engine : say more\n\nWhy.\n")).decode().split("\n") == [
        f"tree {TREE}",
        f"parent {PARENT}",
        "author Ada <ada@example.invalid> 1700000000 -0330",
        "committer patchctl <patchctl@localhost> 1700000000 -0330",
        "",
        "engine : say more",
        "",
        "Why.",
        "",
    ]


def test_a_signature_and_other_headers_do_not_travel(tmp_path: Path) -> None:
    signature = b"\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n author Eve <eve@x> 1 +0000\n -----END PGP SIGNATURE-----"
    made = kept(tmp_path, commit(b"x\n", signature))
    assert (b"gpgsig" in made, b"Eve" in made) == (False, False)


@pytest.mark.parametrize(
    ("encoding", "raw", "text"),
    [
        (b"\nencoding ISO-8859-1", b"gr\xf6\xdfer", "größer"),
        (b"", "größer".encode(), "größer"),
        (b"\nencoding no-such", "größer".encode(), "größer"),
        (b"", b"gr\xf6\xdfer", "gr\ufffd\ufffder"),
    ],
)
def test_a_message_in_any_encoding_becomes_utf_8(encoding: bytes, raw: bytes, text: str, tmp_path: Path) -> None:
    assert kept(tmp_path, commit(raw, encoding)).endswith(b"\n\n" + text.encode() + b"\n")


@pytest.mark.parametrize("line", ["---", "diff --git a/x b/x", "--- a/x", f"From {'0' * 40} Mon Sep 17 00:00:00 2001"])
def test_a_line_that_would_end_the_message_in_a_mail_is_indented(line: str, tmp_path: Path) -> None:
    made = kept(tmp_path, commit(f"subject\n\n{line}\nmore\n".encode()))
    assert f"\n {line}\nmore\n".encode() in made
