"""The small parts of an import: names, diffs of any writer, messages that survive a mail."""

from __future__ import annotations

import pytest

from patchctl.author.commits import Told, squashed_message
from patchctl.author.diffs import GitDiff
from patchctl.author.draft import compose, quotable
from patchctl.author.intake import is_mail
from patchctl.author.names import LENGTH, patch_name, unique_names
from patchctl.author.pages import page
from patchctl.manifest.revision import parse


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("ggml : fix review issues (#123)", "ggml-fix-review-issues"),
        ("[PATCH 2/3] [CUDA] feat(server): say it's done", "say-its-done"),
        ("fix: Größe über alles", "grosse-uber-alles".replace("grosse", "groe")),
        ("!!!", "patch"),
        ("", "patch"),
        ("x" * 100, "x" * LENGTH),
        ("a very long subject that goes on and on without any end in sight", "a-very-long-subject-that-goes-on-and-on"),
    ],
)
def test_a_name_is_made_of_the_first_words(subject: str, name: str) -> None:
    assert patch_name(subject) == name


def test_names_are_unique_also_among_numbered_ones() -> None:
    assert unique_names(["fix it", "fix it 2", "fix it", "fix it"], ["fix-it"]) == [
        "fix-it-2",
        "fix-it-2-2",
        "fix-it-3",
        "fix-it-4",
    ]


def test_a_removed_line_that_looks_like_a_header_is_none() -> None:
    diff = b"--- a/f\n+++ b/f\n@@ -1,3 +1,2 @@\n one\n--- a/x\n-+++ b/x\n+two\n"
    made = GitDiff(diff)
    assert (made.files, made.added, made.removed) == (1, 1, 2)
    assert made.content == b"diff --git a/f b/f\n" + diff


def test_new_and_deleted_files_of_other_tools_are_told_by_their_ranges() -> None:
    made = GitDiff(b"--- x/new\t1970\n+++ y/new\n@@ -0,0 +1 @@\n+a\n--- x/old\n+++ y/old\n@@ -1 +0,0 @@\n-a\n")
    changes = parse(compose(made.content, subject="s"), "x").changes
    assert [(change.old_path, change.new_path) for change in changes] == [(None, "new"), ("old", None)]


def test_git_diffs_pass_unchanged() -> None:
    diff = b"diff --git a/f b/f\nold mode 100644\nnew mode 100755\nindex 1..2\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
    assert GitDiff(diff).content == diff


def test_a_message_that_would_end_the_mail_is_indented() -> None:
    message = "subject\n\ntext\n---\ndiff --git a/x b/x\nIndex: y\nrest"
    diff = b"diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
    mail = compose(diff, subject="subject", body=message.split("\n\n", 1)[1])
    assert parse(mail, "x").message == quotable(message)
    assert quotable(message).endswith("text\n ---\n diff --git a/x b/x\n Index: y\nrest")


@pytest.mark.parametrize(
    ("content", "mail"),
    [
        (b"From 123\nSubject: x\n", True),
        (b"From: a\nSubject: b\n\nx", True),
        (b"Subject: only a description\n\n--- a\n", False),
        (b"Description: x\nAuthor: y\n", False),
        (b"--- a/x\n+++ b/x\n", False),
        (b"", False),
    ],
)
def test_a_mail_is_told_from_a_description(content: bytes, mail: bool) -> None:
    assert is_mail(content) is mail


def test_a_squash_names_everybody_but_its_author_once() -> None:
    one = Told("t", (), "A <a@x>", "0 +0000", "first\n\nbody\n\nCo-authored-by: C <c@x>")
    two = Told("t", (), "B <b@x>", "0 +0000", "second\n\nco-authored-by: A <a@x>\nCo-Authored-By: C <c@x>")
    text = "first\n\nbody\n\n* second\n\nCo-authored-by: B <b@x>\nCo-authored-by: C <c@x>"
    assert squashed_message([one, two]) == text


def test_a_page_holds_no_commands_for_terminals_or_ci_and_is_yaml_whatever_the_title() -> None:
    from patchctl.author.draft import Draft
    from patchctl.manifest.page import split

    draft = Draft('yes: "no" \x1b[31m# ::set-env\u2028', "x", b"")
    text = page("p", draft, "subject\n\n\x1b[2Jbody ::error::\n---\nmore", "Origin.").decode()
    document, body = split(text, "x")
    assert document.data == {"title": 'yes: "no" \\x1b[31m# ::set-env\\u2028'}
    assert "\x1b" not in text
    assert "\\x1b[2Jbody ::error::" in body


def test_a_name_in_quotes_is_read_as_git_writes_it() -> None:
    diff = b"diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
    mail = compose(diff, subject="s", author='"Ada \\"Countess\\" L." <a@example.invalid>')
    assert parse(mail, "x").author == 'Ada "Countess" L'
