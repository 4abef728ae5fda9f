"""Queues and diffs as others write them: quilt's options, paths without a prefix, CRLF, the fields of DEP-3."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.author.test_import_files import THREE, checked, page
from tests.series.world import show, text
from tests.upstreams.maker import digest_of, git

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.author.fork_world import ForkWorld

    Patchctl = Callable[..., Any]

HUNK = b"@@ -2,3 +2,3 @@\n line 2\n-line 3\n+three\n line 4\n"
DIFF = b"--- a/engine.c\n+++ b/engine.c\n" + HUNK
SHA = "0123456789abcdef0123456789abcdef01234567"


def file(tree: str, path: str) -> str:
    """Return a file of a tree in the store."""
    (store,) = (Path(os.environ["PATCHCTL_CACHE"]) / "store").glob("*.git")
    return show(store, "show", f"{tree}:{path}")


def tree_of(world: ForkWorld, patchctl: Patchctl, stack: str = "s") -> str:
    found: str = checked(world, patchctl, stack)["result"]["tree"]
    return found


def test_a_patch_that_quilt_takes_back_is_imported_reversed(world: ForkWorld, patchctl: Patchctl) -> None:
    """As quilt itself applies it: a change of a line, and a new file."""
    first = show(world.upstream, "rev-parse", "master~1")
    world.put(
        "q/up.patch", world.mail({"engine.c": text({15: "upstream"})}, "engine : second\n\nLong story.", on=first)
    )
    world.put("q/made.patch", b"--- /dev/null\n+++ b/notes.md\n@@ -0,0 +1 @@\n+notes\n")
    world.put("q/small.patch", DIFF)
    world.put("q/series", b"up.patch -R\nsmall.patch\nmade.patch -p1 -R\n")
    ran = patchctl("import", world.mails / "q", "--stack", "q", "--base", world.tip, cwd=world.workspace)
    assert ran.code == 0, ran
    assert world.ids() == ["revert-engine-second", "revert-made", "small"]
    tree = tree_of(world, patchctl, "q")
    assert file(tree, "engine.c") == text({3: "three"}).strip()
    assert tree == quilt_tree(world, world.mails / "q")
    assert "Its series takes this patch back (-R):\n\nLong story." in page(world, "revert-engine-second")


def test_what_a_patch_says_of_itself_is_not_said_of_its_reverse(world: ForkWorld, patchctl: Patchctl) -> None:
    """Else the commit that it takes back, which is in the base, would retire the revert."""
    said = f"Origin: upstream, commit:{world.tip}\nApplied-Upstream: b2, commit:{world.tip}\n".encode()
    world.put("q/made.patch", said + b"\n--- /dev/null\n+++ b/notes.md\n@@ -0,0 +1 @@\n+notes\n")
    world.put("q/series", b"made.patch -R\n")
    assert patchctl("import", world.mails / "q", "--stack", "q", "--base", world.tip, cwd=world.workspace).code == 0
    told = page(world, "revert-made")
    assert "drop_when" not in told
    assert "upstream:" not in told.split("\n---\n")[0]
    assert f"What it takes back, landed as: {world.tip}" in told


def quilt_tree(world: ForkWorld, patches: Path) -> str:
    work = world.mails.parent / "work"
    git("clone", "--quiet", world.upstream, work)
    environment = {"PATH": os.environ["PATH"], "QUILT_PATCHES": str(patches), "QUILT_PC": str(work.parent / "pc")}
    done = subprocess.run(["quilt", "push", "-aq"], cwd=work, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done
    git("-C", work, "add", "--all")
    return git("-C", work, "write-tree").decode().strip()


@pytest.mark.parametrize(
    ("line", "place"),
    [("x.patch --fuzz=9", "1:9"), ("x.patch -p1 # a word\nx.patch -Rp1", "2:9"), ("x.patch -p", "1:9")],
)
def test_what_a_series_tells_and_nobody_understands_is_refused(
    world: ForkWorld, patchctl: Patchctl, line: str, place: str
) -> None:
    world.put("q/x.patch", DIFF)
    world.put("q/series", line.encode())
    before = digest_of(world.workspace)
    ran = patchctl("import", world.mails / "q", "--stack", "q", "--base", world.tip, cwd=world.workspace)
    assert (ran.code, digest_of(world.workspace)) == (3, before), ran
    assert f"series:{place}: x.patch: " in ran.stderr


def test_a_rename_is_not_taken_back_in_silence(world: ForkWorld, patchctl: Patchctl) -> None:
    world.put("q/x.patch", b"diff --git a/notes.md b/more.md\nrename from notes.md\nrename to more.md\n")
    world.put("q/series", b"x.patch -R\n")
    ran = patchctl("import", world.mails / "q", "--stack", "q", "--base", world.tip, cwd=world.workspace)
    assert (ran.code, "x.patch: cannot be taken back (-R): it holds 'rename from notes.md'" in ran.stderr) == (3, True)


@pytest.mark.parametrize("name", ["don't-stop.patch", 'a"b.patch', "a\\b.patch", "a#b.patch"])
def test_a_series_is_words_between_blanks_whatever_they_hold(world: ForkWorld, patchctl: Patchctl, name: str) -> None:
    world.put(f"q/{name}", DIFF)
    world.put("q/series", f"# don't\n  {name}\t-p1 # isn't it\n".encode())
    ran = patchctl("import", world.mails / "q", "--stack", "q", "--base", world.tip, cwd=world.workspace)
    assert (ran.code, len(world.ids())) == (0, 1), ran


# --- paths and line ends ----------------------------------------------------------------------------------------------


@pytest.fixture
def deep(world: ForkWorld) -> ForkWorld:
    """The same upstream with files in a folder, one of a name that the top has too."""
    world.commit({"src/engine.c": text(), "src/core.c": text(), "dos.c": text().replace("\n", "\r\n")}, "src")
    world.stack()
    return world


@pytest.mark.parametrize("head", [b"", b"Index: src/core.c\n" + b"=" * 67 + b"\n"])
def test_paths_without_a_prefix_are_read_as_written_where_only_that_fits(
    deep: ForkWorld, patchctl: Patchctl, head: bytes
) -> None:
    new = b"--- /dev/null\n+++ src/new.c\n@@ -0,0 +1 @@\n+new\n"
    svn = b"--- src/core.c\t(revision 1)\n+++ src/core.c\t(working copy)\n"
    ran = patchctl("import", deep.put("x.diff", head + svn + HUNK + new), "--stack", "s", cwd=deep.workspace)
    assert ran.code == 0, ran
    assert "x.diff (x): read with its paths as they are written (-p0); only so it fits the base" in ran.stderr
    tree = tree_of(deep, patchctl)
    assert (file(tree, "src/core.c"), file(tree, "src/new.c")) == (text({3: "three"}).strip(), "new")


def test_new_files_alone_are_read_as_written_where_their_folder_is_one_of_the_tree(
    deep: ForkWorld, patchctl: Patchctl
) -> None:
    new = b"--- /dev/null\n+++ %s.c\n@@ -0,0 +1 @@\n+%s\n"
    deep.put("1.diff", new % (b"src/new", b"one"))
    deep.put("2.diff", new % (b"llama.new/other", b"two"))
    deep.put("3.diff", b"--- src/new.c\n+++ src/new.c\n@@ -1 +1 @@\n-one\n+three\n")
    ran = patchctl("import", deep.mails, "--stack", "s", cwd=deep.workspace)
    assert ran.code == 0, ran
    tree = tree_of(deep, patchctl)
    assert (file(tree, "src/new.c"), file(tree, "other.c")) == ("three", "two")


def test_paths_that_fit_neither_way_are_named(deep: ForkWorld, patchctl: Patchctl) -> None:
    diff = deep.put("x.diff", b"--- lib/other.c\n+++ lib/other.c\n" + HUNK)
    ran = patchctl("import", diff, "--stack", "s", cwd=deep.workspace)
    why = "conflicts in other.c, which is not there; the first step of its paths was taken off, as of a/ and b/"
    assert (ran.code, why in ran.stderr) == (4, True), ran
    quoted = deep.put("y.diff", b"--- a/lib/other.c\n+++ b/lib/other.c\n" + HUNK)
    ran = patchctl("import", quoted, "--stack", "s", cwd=deep.workspace)
    assert (ran.code, "conflicts in lib/other.c, which is not there\n" in ran.stderr) == (4, True), ran


@pytest.mark.parametrize(("level", "code"), [("-p0", 0), ("-p1", 4), ("", 0)])
def test_a_level_that_a_series_tells_is_obeyed(deep: ForkWorld, patchctl: Patchctl, level: str, code: int) -> None:
    deep.put("q/x.patch", b"--- src/core.c\n+++ src/core.c\n" + HUNK)
    deep.put("q/series", f"x.patch {level}\n".encode())
    ran = patchctl("import", deep.mails / "q", "--stack", "s", cwd=deep.workspace)
    assert (ran.code, "conflicts in core.c, which is not there" in ran.stderr) == (code, code > 0), ran
    assert ("read with" in ran.stderr) is (not level)


@pytest.mark.parametrize("git_wrote_it", [False, True])
def test_a_diff_whose_own_lines_got_crlf_on_the_way_is_read_without(
    world: ForkWorld, patchctl: Patchctl, git_wrote_it: bool
) -> None:
    diff = DIFF
    if git_wrote_it:
        world.mail({"engine.c": text(THREE)}, "x")
        diff = git("-C", world.authored, "diff", "--full-index", world.tip or "", "refs/heads/mail")
    path = world.put("x.diff", diff.replace(b"\n", b"\r\n"))
    ran = patchctl("import", path, "--stack", "s", cwd=world.workspace)
    assert ran.code == 0, ran
    assert "read with its line ends as LF; only so it fits the base" in ran.stderr
    assert file(tree_of(world, patchctl), "engine.c") == text(THREE).strip()


@pytest.mark.parametrize(
    ("path", "hunk", "why"),
    [
        ("engine.c", HUNK.replace(b"\n", b"\r\n").replace(b"@@\r", b"@@"), "LF, the patch CRLF: take the CR out"),
        ("dos.c", HUNK, "CRLF, the patch LF: something on its way"),
    ],
)
def test_line_ends_that_differ_are_named_as_the_reason(
    deep: ForkWorld, patchctl: Patchctl, path: str, hunk: bytes, why: str
) -> None:
    diff = deep.put("x.diff", DIFF.replace(b"engine.c", path.encode()).replace(HUNK, hunk))
    ran = patchctl("import", diff, "--stack", "s", cwd=deep.workspace)
    assert (ran.code, f"conflicts in {path}, which has lines that end in {why}" in ran.stderr) == (4, True), ran


# --- what the header says ---------------------------------------------------------------------------------------------


def test_the_fields_of_dep3_are_kept(world: ForkWorld, patchctl: Patchctl) -> None:
    header = f"""Description: say three
 Two is not enough.
Origin: backport, commit:{SHA}
Bug: https://github.com/o/u/issues/5
Bug-Debian: https://bugs.debian.org/12
Forwarded: https://github.com/o/u/pull/7
Author: Cee <c@example.invalid>
Author: Dee <d@example.invalid>
Reviewed-by: Eve <e@example.invalid>
Last-Update: 2026-03-04
Applied-Upstream: b9999, commit:{SHA[::-1]}
Signed-off-by: Cee <c@example.invalid>

Note: a sentence.
"""
    ran = patchctl("import", world.put("x.patch", header.encode() + DIFF), "--stack", "s", cwd=world.workspace)
    assert ran.code == 0, ran
    text = page(world, "say-three")
    front, _, body = text.removeprefix("---\n").replace('"', "").partition("\n---\n")
    assert front.splitlines() == [
        "title: say three", "upstream:", "  pr: o/u#7", f"  commit: {SHA}", "drop_when:", f"  commit: {SHA[::-1]}",
        "issues: [o/u#5]",
    ]  # fmt: skip
    assert "Two is not enough.\nNote: a sentence." in body
    listed = [line for line in body.splitlines() if line.startswith("* ")]
    assert listed == [
        "* Bug-Debian: https://bugs.debian.org/12", "* Author: Dee <d@example.invalid>",
        "* Reviewed-By: Eve <e@example.invalid>", f"* Applied-Upstream: b9999, commit:{SHA[::-1]}",
        "* Signed-Off-By: Cee <c@example.invalid>",
    ]  # fmt: skip
    revision = (world.patches("say-three") / "b2.patch").read_text()
    assert "From: Cee <c@example.invalid>\nDate: Wed, 4 Mar 2026" in revision
    assert patchctl("lint", cwd=world.workspace).code == 0


@pytest.mark.parametrize("form", ["mbox", "folder", "quilt"])
def test_triggers_survive_an_export_and_an_import(
    world: ForkWorld, patchctl: Patchctl, tmp_path: Path, form: str
) -> None:
    known = f"upstream:\n  pr: o/u#7\n  commit: {SHA}\ndrop_when:\n  commit: {SHA[::-1]}\n"
    world.patch("one", {"engine.c": text(THREE)})
    (world.patches("one") / "README.md").write_text(f"---\ntitle: one it\n{known}---\n# Why\n")
    world.patch("two", {"notes.md": "more notes\n"})
    (world.patches("two") / "README.md").write_text("---\ntitle: two it\n---\n# Why\n")
    world.stack("one", "two")
    assert patchctl("export", "s", "--as", form, "--output", tmp_path / "x", cwd=world.workspace).code == 0
    other = tmp_path / "other"
    (other / "stacks").mkdir(parents=True)
    (other / "stacks" / "s.yaml").write_bytes((world.workspace / "stacks" / "s.yaml").read_bytes())
    assert patchctl("import", tmp_path / "x", "--stack", "q", "--base", world.tip, cwd=other).code == 0
    one, two = ((other / "patches" / name / "README.md").read_text() for name in ("one-it", "two-it"))
    assert one.replace('"', "").startswith(f"---\ntitle: one it\n{known}---\n")
    assert two.startswith("---\ntitle: two it\n---\n")
    assert [page for page in (one, two) if "header" in page] == []


# --- what is there already --------------------------------------------------------------------------------------------


def test_a_hunk_that_a_patch_of_the_stack_makes_already_is_told(world: ForkWorld, patchctl: Patchctl) -> None:
    world.patch("first", {"engine.c": text(THREE)})
    world.stack("first")
    both = world.put("x.patch", world.mail({"engine.c": text({**THREE, 25: "more"})}, "both"))
    ran = patchctl("import", both, "--stack", "s", cwd=world.workspace)
    assert ran.code == 0, ran
    assert "x.patch (both): its hunk at engine.c:3 is left out, first has it already" in ran.stderr
    assert ran.stderr.count("left out") == 1


def test_a_hunk_that_the_base_has_already_is_told(world: ForkWorld, patchctl: Patchctl) -> None:
    first = show(world.upstream, "rev-parse", "master~1")
    mail = world.put("x.patch", world.mail({"engine.c": text({15: "upstream", 25: "more"})}, "both", on=first))
    ran = patchctl("import", mail, "--stack", "s", cwd=world.workspace)
    assert (ran.code, "its hunk at engine.c:15 is left out, the base has it already" in ran.stderr) == (0, True), ran


def test_a_twin_in_one_queue_is_called_that(world: ForkWorld, patchctl: Patchctl) -> None:
    world.put("1.patch", world.mail({"engine.c": text(THREE)}, "say three"))
    world.put("2.patch", world.mail({"engine.c": text(THREE)}, "say it again"))
    ran = patchctl("import", world.mails, "--stack", "s", cwd=world.workspace)
    assert (ran.code, world.ids()) == (0, ["say-three"]), ran
    assert "2.patch (say it again): say-three has it already; left out" in ran.stderr
