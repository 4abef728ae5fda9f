"""What an edit takes from a person's commit."""

from __future__ import annotations

import pytest

from patchctl.author.edit import _moved

TREE, PARENT = "1" * 40, "2" * 40
HEAD = b"tree %s\nparent %s\nauthor Ada <ada@example.invalid> 1700000000 -0330\ncommitter Me <me@x> 1800000000 +0000"


def commit(message: bytes, more: bytes = b"") -> bytes:
    return HEAD % (b"3" * 40, b"4" * 40) + more + b"\n\n" + message


def test_author_date_and_message_stay_and_the_committer_is_nobody() -> None:
    assert _moved(commit(b"engine : say more\n\nWhy.\n"), TREE, PARENT).decode().split("\n") == [
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


def test_a_signature_and_other_headers_do_not_travel() -> None:
    signature = b"\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n author Eve <eve@x> 1 +0000\n -----END PGP SIGNATURE-----"
    made = _moved(commit(b"x\n", signature), TREE, PARENT)
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
def test_a_message_in_any_encoding_becomes_utf_8(encoding: bytes, raw: bytes, text: str) -> None:
    assert _moved(commit(raw, encoding), TREE, PARENT).endswith(b"\n\n" + text.encode())


@pytest.mark.parametrize("line", ["---", "diff --git a/x b/x", "--- a/x", f"From {'0' * 40} Mon Sep 17 00:00:00 2001"])
def test_a_line_that_would_end_the_message_in_a_mail_is_indented(line: str) -> None:
    made = _moved(commit(f"subject\n\n{line}\nmore\n".encode()), TREE, PARENT)
    assert f"\n {line}\nmore\n".encode() in made
