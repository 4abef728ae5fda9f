"""Patches from files: mails, an mbox, plain diffs, queues; and what is wrong with them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.series.world import show, text
from tests.upstreams.maker import digest_of, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.author.fork_world import ForkWorld

    Patchctl = Callable[..., Any]

THREE = {3: "three", 15: "upstream"}


def checked(world: ForkWorld, patchctl: Patchctl, stack: str = "s") -> dict[str, Any]:
    """Return what check says of a stack, all of whose patches must be clean."""
    ran = patchctl("check", stack, "--json", cwd=world.workspace)
    assert ran.code == 0, ran
    found: dict[str, Any] = json.loads(ran.stdout)
    assert {patch["outcome"] for patch in found["patches"]} <= {"clean"}
    return found


def page(world: ForkWorld, patch: str) -> str:
    return (world.patches(patch) / "README.md").read_text()


def patch_ids(world: ForkWorld, *mails: bytes) -> list[str]:
    return [git("-C", world.authored, "patch-id", "--stable", stdin=mail).split()[0].decode() for mail in mails]


def test_a_mail_becomes_a_patch_at_the_end_of_the_stack(world: ForkWorld, patchctl: Patchctl) -> None:
    stack = world.workspace / "stacks" / "s.yaml"
    stack.write_text(stack.read_text().replace("patches: []", "patches:\n  - notes # first\n"))
    world.patch("notes", {"notes.md": "more notes\n"})
    mail = world.mail({"engine.c": text(THREE)}, "engine : say three (#12)\n\nBecause two is not enough.")
    before = stack.read_text()
    ran = patchctl("import", world.put("0001-x.patch", mail), "--stack", "s", cwd=world.workspace)
    assert ran.code == 0, ran
    assert stack.read_text() == before.replace("  - notes # first\n", "  - notes # first\n  - engine-say-three\n")
    revision = (world.patches("engine-say-three") / "b2.patch").read_text()
    assert f"base-commit: {world.tip}\nprerequisite-patch-id: " in revision
    assert "From: Ada Author <ada@example.invalid>" in revision
    assert page(world, "engine-say-three").startswith('---\ntitle: "engine : say three (#12)"\n---\n')
    assert "Because two is not enough." in page(world, "engine-say-three")
    found = checked(world, patchctl)
    assert found["patches"][1]["patch_id"] == patch_ids(world, mail)[0]
    assert patchctl("lint", cwd=world.workspace).code == 0


def test_the_same_mail_again_is_refused_and_changes_nothing(world: ForkWorld, patchctl: Patchctl) -> None:
    mail = world.put("x.patch", world.mail({"engine.c": text(THREE)}, "say three"))
    assert patchctl("import", mail, "--stack", "s", cwd=world.workspace).code == 0
    before = digest_of(world.workspace)
    for words in (["--stack", "s"], ["--stack", "s", "--id", "other"], ["--base", world.tip]):
        ran = patchctl("import", mail, *words, cwd=world.workspace)
        assert (ran.code, digest_of(world.workspace)) == (2, before), ran
        assert "is here already: say-three" in ran.stderr


def test_a_mail_as_a_mailer_sent_it_is_decoded(world: ForkWorld, patchctl: Patchctl) -> None:
    mail = world.mail({"engine.c": text(THREE)}, "say thrée")
    start = mail.index(b"---\n\ndiff") if b"---\n\ndiff" in mail else mail.index(b"diff --git")
    body = base64.encodebytes(mail[start:])
    head = b"From: =?UTF-8?q?B=C3=B6b?= <bob@example.invalid>\r\nDate: Tue, 3 Mar 2026 10:00:00 +0200\r\n"
    head += b"Subject: =?UTF-8?B?W1BBVENIXSBzYXkgdGhyw6ll?=\r\nMIME-Version: 1.0\r\n"
    head += b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    ran = patchctl(
        "import", world.put("m.eml", head + body.replace(b"\n", b"\r\n")), "--stack", "s", cwd=world.workspace
    )
    assert ran.code == 0, ran
    assert world.ids() == ["say-three"]
    assert "title: say thrée" in page(world, "say-three") or 'title: "say thrée"' in page(world, "say-three")
    checked(world, patchctl)


def _only(world: ForkWorld) -> bytes:
    return (world.patches(world.ids()[0]) / "b2.patch").read_bytes()


def test_a_plain_diff_takes_author_and_title_from_the_command_line(world: ForkWorld, patchctl: Patchctl) -> None:
    diff = (
        b"--- llama/engine.c\t2026-01-01\n+++ llama.new/engine.c\n@@ -2,3 +2,3 @@\n line 2\n-line 3\n+three\n line 4\n"
    )
    path = world.put("0007-say_three.diff", diff)
    words = ("--author", "Cee <c@example.invalid>", "--stack", "s")
    ran = patchctl("import", path, *words, cwd=world.workspace)
    assert ran.code == 0, ran
    assert world.ids() == ["say-three"]
    assert b"From: Cee <c@example.invalid>" in _only(world)
    assert checked(world, patchctl)["result"]["tree"]
    assert patchctl("import", path, "--author", "nobody", "--base", world.tip, cwd=world.workspace).code == 2


def test_a_diff_names_no_author_and_git_is_not_asked(world: ForkWorld, patchctl: Patchctl, isolated: Path) -> None:
    (isolated / ".gitconfig").write_text("[user]\n\tname = Secret\n\temail = secret@example.invalid\n")
    git("-C", world.authored, "update-ref", "HEAD", world.tip or "")
    world.mail({"new.c": "int main;\n"}, "new")
    diff = git("-C", world.authored, "diff", "--no-renames", world.tip or "", "refs/heads/mail")
    ran = patchctl("import", world.put("new.diff", diff), "--title", "A new file", "--stack", "s", cwd=world.workspace)
    assert ran.code == 0, ran
    assert b"From: patchctl <patchctl@localhost>" in _only(world)
    assert page(world, "a-new-file").startswith("---\ntitle: A new file\n")


def queue(world: ForkWorld, count: int = 4) -> list[bytes]:
    """Return mails that need each other, the last of them with the subject of the first."""
    mails, on, edits = [], world.tip, {15: "upstream"}
    for number in range(1, count + 1):
        edits = {**edits, 3: f"step {number}", 20 + number: f"more {number}"}
        subject = f"engine : step {number if number < count else 1}"
        mails.append(world.mail({"engine.c": text(edits)}, subject, on=on))
        on = show(world.authored, "rev-parse", "refs/heads/mail")
    return mails


def imported_queue(world: ForkWorld, patchctl: Patchctl, path: Path, mails: list[bytes]) -> None:
    ran = patchctl("import", path, "--stack", "stacks/q.yaml", "--base", world.tip, cwd=world.workspace)
    assert ran.code == 0, ran
    found = checked(world, patchctl, "q")
    assert [patch["id"] for patch in found["patches"]] == [*(f"engine-step-{n}" for n in (1, 2, 3)), "engine-step-1-2"]
    assert [patch["patch_id"] for patch in found["patches"]] == patch_ids(world, *mails)
    assert found["result"]["tree"] == world.tree(world.authored, "refs/heads/mail")
    assert [patch["warnings"] for patch in found["patches"]] == [[], [], [], []]
    assert "requires: [engine-step-1]" in page(world, "engine-step-2")


def test_an_mbox_is_a_stack(world: ForkWorld, patchctl: Patchctl) -> None:
    mails = queue(world)
    imported_queue(world, patchctl, world.put("all.mbox", b"".join(mails)), mails)


def test_a_folder_of_numbers_is_a_stack_in_the_order_of_the_numbers(world: ForkWorld, patchctl: Patchctl) -> None:
    mails = queue(world)
    for number, mail in zip((1, 2, 10, 11), mails, strict=True):
        world.put(f"{number}-x.patch", mail)
    cover = b"From " + b"0" * 40 + b" Mon Sep 17 00:00:00 2001\nFrom: A <a@b.c>\nSubject: [PATCH 0/4] all\n\nHello.\n"
    world.put("0000-cover-letter.patch", cover)
    world.put("README", b"not a patch\n")
    imported_queue(world, patchctl, world.mails, mails)


def test_a_quilt_series_is_a_stack_in_its_order(world: ForkWorld, patchctl: Patchctl) -> None:
    mails = queue(world)
    for name, mail in zip("dcba", mails, strict=True):
        subject = mail.split(b"Subject: [PATCH] ", 1)[1].split(b"\n", 1)[0]
        header = b"Description: " + subject + b"\n Longer words.\n .\n The end.\nAuthor: Quilt <q@example.invalid>\n"
        diff = mail[mail.index(b"--- a/") :].replace(b"--- a/", b"--- ").replace(b"+++ b/", b"+++ ")
        raw = diff if name == "c" else mail[mail.index(b"--- a/") :]
        world.put(f"patches/{name}.patch", header + b"Last-Update: 2026-03-04\n\nIndex: x\n=====\n" + raw)
    world.put("patches/series", b"# in this order\nd.patch\nc.patch -p0\n\nb.patch # a word\na.patch\n")
    imported_queue(world, patchctl, world.mails, mails)
    revision = (world.patches("engine-step-1") / "b2.patch").read_text()
    assert "From: Quilt <q@example.invalid>\nDate: Wed, 4 Mar 2026" in revision
    assert "Longer words.\n\nThe end." in page(world, "engine-step-1")


def test_a_queue_is_added_to_a_stack_as_a_whole(world: ForkWorld, patchctl: Patchctl) -> None:
    world.patch("notes", {"notes.md": "more notes\n"})
    world.stack("notes")
    ran = patchctl("import", world.put("q.mbox", b"".join(queue(world))), "--stack", "s", cwd=world.workspace)
    assert ran.code == 0, ran
    assert len(checked(world, patchctl)["patches"]) == 5


@pytest.mark.parametrize("cut", ["hunk", "between files", "before the diff"])
def test_a_mail_that_is_cut_off_is_refused(world: ForkWorld, patchctl: Patchctl, cut: str) -> None:
    world.mail({"engine.c": text(THREE), "notes.md": "other\n"}, "say three")
    mail = git("-C", world.authored, "format-patch", "--stdout", "-1", "refs/heads/mail")
    at = {"hunk": mail.index(b"+three") + 8, "between files": mail.index(b"diff --git a/notes"),
          "before the diff": mail.index(b"diff --git")}  # fmt: skip
    before = digest_of(world.workspace)
    ran = patchctl("import", world.put("cut.patch", mail[: at[cut]]), "--stack", "s", cwd=world.workspace)
    assert (ran.code, digest_of(world.workspace)) == (3, before), ran
    assert "cut off" in ran.stderr or "ends too early" in ran.stderr


def test_all_files_of_a_queue_that_cannot_be_read_are_named(world: ForkWorld, patchctl: Patchctl) -> None:
    for name in ("1.patch", "2.patch"):
        world.put(name, b"no patch at all\n")
    ran = patchctl("import", world.mails, "--stack", "q", "--base", world.tip, cwd=world.workspace)
    assert ran.code == 3
    assert all(name in ran.stderr for name in ("1.patch", "2.patch"))
    assert not (world.workspace / "stacks" / "q.yaml").exists()


def test_a_queue_on_the_wrong_base_says_what_does_not_apply_and_where_it_was_made(
    world: ForkWorld, patchctl: Patchctl
) -> None:
    old = show(world.upstream, "rev-parse", "master~1")
    mail = world.mail({"engine.c": text({15: "upstream and more"})}, "more")
    world.put("1.patch", mail + f"\nbase-commit: {world.tip}\n".encode())
    before = digest_of(world.workspace)
    ran = patchctl("import", world.mails, "--stack", "q", "--base", old, cwd=world.workspace)
    assert (ran.code, digest_of(world.workspace)) == (4, before), ran
    assert "engine.c" in ran.stderr
    assert f"it was made on {world.tip}" in ran.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--stack", "s", "--base", "0" * 40], 2, "has no commit"),
        (["--stack", "s", "--base", "FIRST"], 2, "wrong base"),
        (["--stack", "q"], 2, "no base is known"),
        ([], 2, "no base is known"),
        (["--stack", "elsewhere/q.yaml", "--base", "FIRST"], 2, "would not lie in"),
        (["--stack", "s", "--id", "Not An Id"], 2, "is no id"),
    ],
)
def test_words_that_do_not_fit_are_refused(
    world: ForkWorld, patchctl: Patchctl, words: list[str], code: int, said: str
) -> None:
    first = show(world.upstream, "rev-parse", "master~1")
    mail = world.put("x.patch", world.mail({"engine.c": text(THREE)}, "say three"))
    before = digest_of(world.workspace)
    ran = patchctl("import", mail, *(first if word == "FIRST" else word for word in words), cwd=world.workspace)
    assert (ran.code, digest_of(world.workspace)) == (code, before), ran
    assert said in ran.stderr


def test_names_that_collide_are_numbered_and_a_name_that_is_given_is_refused(
    world: ForkWorld, patchctl: Patchctl
) -> None:
    world.patch("say-three", {"notes.md": "more notes\n"})
    world.stack("say-three")
    mail = world.put("x.patch", world.mail({"engine.c": text(THREE)}, "say three"))
    before = digest_of(world.workspace)
    ran = patchctl("import", mail, "--stack", "s", "--id", "say-three", cwd=world.workspace)
    assert (ran.code, digest_of(world.workspace)) == (2, before)
    assert patchctl("import", mail, "--stack", "s", cwd=world.workspace).code == 0
    assert world.ids() == ["say-three", "say-three-2"]


def test_what_the_base_has_already_is_nothing_to_import(world: ForkWorld, patchctl: Patchctl) -> None:
    first = show(world.upstream, "rev-parse", "master~1")
    mail = world.put("x.patch", world.mail({"engine.c": text({15: "upstream"})}, "second", on=first))
    ran = patchctl("import", mail, "--stack", "s", cwd=world.workspace)
    assert (ran.code, world.ids()) == (3, [])
    assert "the base has it already" in ran.stderr
