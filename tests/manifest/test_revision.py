"""Reading a revision: what git wrote is what is read, each problem has its line, and nothing hostile gets further."""

from __future__ import annotations

import email.utils
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patchctl.errors import InvalidError
from patchctl.manifest.mail import MONTHS, date_of
from patchctl.manifest.revision import Revision, parse
from tests.series.world import World, show, text
from tests.upstreams.maker import FORMAT, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ODD = "<>\"\\.,:;'()@=?"
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters=ODD), min_size=1)
LINE = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=90).map(str.strip)
BODY = st.lists(LINE.filter(lambda line: not line.startswith(("---", "diff", "From", "Index", "["))), max_size=4)
CONTENT = st.binary(max_size=60) | st.text(max_size=60).map(str.encode)
PATHS = st.sampled_from(["a.c", "d/b.c", "with space.c", "é.c", 'quo"te.c', "tab\there.c", "x b/x.c"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("revision"))
    world.commit({"a.c": text(), "d/b.c": text(count=5), "run.sh": ("100755", b"run\n"), "bin": b"\0old" * 30})
    return world


def mail(world: World, files: dict[str, Any], *more: str, message: str = "change it") -> bytes:
    return _mail(world, world.patch("p", files, message=message), more)


def _mail(world: World, oid: str, more: tuple[str, ...]) -> bytes:
    return git("-C", world.authored, "format-patch", *FORMAT, f"--base={world.tip}", *more, "-1", oid)


@given(
    name=NAMES,
    subject=LINE.filter(lambda line: line and not line.startswith("[")),
    body=BODY,
    files=st.dictionaries(PATHS, CONTENT, min_size=1, max_size=3),
)
@settings(database=None, deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
def test_what_git_wrote_is_what_is_read(
    world: World, name: str, subject: str, body: list[str], files: dict[str, bytes]
) -> None:
    message = "\n".join([subject, "", *body])
    files = {path: b"new " + content for path, content in files.items()}
    quoted = {f'"{_quoted(path)}"': content for path, content in files.items()}
    oid = world.patch("p", quoted, message=message, author=f"{name} <{'a@example.invalid'}>")
    said = _mail(world, oid, ())
    revision = parse(said, "p.patch")
    asked = show(world.authored, "log", "-1", "--format=%an%x00%ae%x00%at", oid).split("\0")
    assert [revision.author, revision.email, str((revision.date or (0, ""))[0])] == asked
    assert (revision.date or (0, ""))[1] == "+0130"
    theirs = git("-C", world.authored, "log", "-1", "--format=%B", oid).decode().rstrip("\n")
    assert revision.message.split() == theirs.split()
    listed = show(world.authored, "diff-tree", "-r", "-z", "--no-renames", f"{world.tip}", oid).split("\0")[:-1]
    raw = {path: entry.split() for entry, path in zip(listed[::2], listed[1::2], strict=True)}
    assert {change.path for change in revision.changes} == raw.keys()
    for change in revision.changes:
        entry = raw[change.path]
        assert change.new_oid == entry[3]
        assert (change.old_oid or "0" * 40) == entry[2]
        assert change.new_mode == entry[1]
    assert revision.base_commit == world.tip


def _quoted(path: str) -> str:
    return path.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")


def test_every_kind_of_change_is_read(world: World) -> None:
    files = {
        "a.c": None,
        "run.sh": ("100644", b"run\n"),
        "new": ("100755", b"new\n"),
        "bin": b"\0new" * 30,
        "moved.c": text(),
    }
    revision = parse(mail(world, files), "p")
    found = {change.path: change for change in revision.changes}
    moved = found["moved.c"]
    assert (moved.old_path, moved.new_path, moved.hunks) == ("a.c", "moved.c", ())
    assert (found["run.sh"].old_mode, found["run.sh"].new_mode) == ("100755", "100644")
    assert (found["new"].old_path, found["new"].new_mode) == (None, "100755")
    assert found["bin"].binary is not None
    deleted = parse(mail(world, {"d/b.c": None}), "p").changes[0]
    assert (deleted.old_path, deleted.new_path, deleted.path) == ("d/b.c", None, "d/b.c")
    assert revision.paths == ("a.c", "bin", "moved.c", "new", "run.sh")


@pytest.fixture(scope="module")
def sound(world: World) -> bytes:
    return mail(world, {"a.c": text({3: "three", 20: "twenty"}), "bin": b"\0new" * 30}, message="engine : it\n\nBody.")


def problems(content: bytes) -> list[tuple[int, str]]:
    with pytest.raises(InvalidError) as error:
        parse(content, "p.patch")
    assert all(problem.path == "p.patch" for problem in error.value.problems)
    return [(problem.line, problem.message) for problem in error.value.problems]


def line_of(content: bytes, start: bytes) -> int:
    return next(number for number, line in enumerate(content.split(b"\n"), 1) if line.startswith(start))


def test_a_sound_mail_reads(sound: bytes) -> None:
    revision = parse(sound, "p.patch")
    assert isinstance(revision, Revision)
    assert (revision.subject, revision.message) == ("engine : it", "engine : it\n\nBody.")
    assert len(revision.changes[0].hunks) == 2


@pytest.mark.parametrize(
    ("damage", "at", "said"),
    [
        (lambda mail: mail[:0], 1, "holds no commit"),
        (lambda mail: mail[mail.index(b"diff --git") :], 1, "holds no commit"),
        (lambda mail: mail.replace(b"\n", b"\r\n"), 1, "line ends were converted to CRLF"),
        (lambda mail: mail[: mail.index(b"diff --git")], 0, "changes nothing: no diff in it"),
        (lambda mail: mail + b"\n" + mail, b"2:From ", "holds a second commit"),
        (lambda mail: mail.replace(b"From: Ada Author <ada@example.invalid>", b"From: nobody <>"), 1, "no author"),
        (lambda mail: mail.replace(b"Subject:", b"Content-Transfer-Encoding: base64\nSubject:"), 1, "encoded (base64)"),
        (lambda mail: mail.replace(b"@@ -1,6 +1,6 @@", b"@@ -1,9 +1,9 @@"), b"@@", "a hunk ends too early"),
        (lambda mail: mail.replace(b"@@ -1,6 +1,6 @@", b"@@ -1,5 +1,5 @@"), b" line 6", "belongs to no diff"),
        (lambda mail: mail.replace(b"+three\n", b"+three\n+four\n"), b"@@", "a hunk has more lines than it says"),
        (lambda mail: mail.replace(b"GIT binary patch", b"Binary files a and b"), b"Binary", "without its content"),
        (lambda mail: mail.replace(b"delta ", b"delta 9").replace(b"literal ", b"literal 9"), None, "cannot be read"),
        (lambda mail: mail.replace(b"diff --git a/a.c b/a.c", b"diff --git one two three"), None, ""),
        (lambda mail: mail.replace(b"100644", b"10064x"), None, ""),
        (lambda mail: mail.replace(b"100644", b"999999"), b"diff --git", "is no mode of a file"),
        (lambda mail: mail.replace(b"Body.", b"Bo\0dy."), 1, "NUL byte"),
    ],
)  # fmt: skip
def test_each_problem_is_told_with_its_line(
    damage: Callable[[bytes], bytes], at: bytes | int | None, said: str, sound: bytes
) -> None:
    content = damage(sound)
    if not said:
        parse_or_problem(content)
        return
    found = problems(content)
    matching = [line for line, message in found if said in message]
    assert matching, found
    if isinstance(at, int):
        assert matching[0] == at
    elif at is not None and at.startswith(b"2:"):
        assert matching[0] == len(sound.split(b"\n")) + 1
    elif at is not None:
        assert matching[0] == line_of(content, at)


def test_a_change_without_its_hunks_is_no_absorbed_patch(sound: bytes) -> None:
    """Its index line names another content: where the hunks were lost, nothing may be called applied."""
    start = sound.index(b"--- a/a.c")
    content = sound[:start] + sound[sound.index(b"diff --git a/bin") :]
    said = "its index line names a change, but none follows; the mail was edited"
    assert problems(content) == [(line_of(content, b"diff --git a/a.c"), said)]


def test_empty_files_come_and_go_without_hunks(world: World) -> None:
    assert parse(mail(world, {"empty": ""}), "p").changes[0].new_path == "empty"


def test_all_problems_are_told_at_once(sound: bytes) -> None:
    content = sound.replace(b"100644", b"999999").replace(b"From: Ada Author <ada@example.invalid>", b"From: x")
    assert len(problems(content)) >= 3


def test_a_file_that_is_too_large_is_not_read() -> None:
    assert problems(b"x" * (64 * 2**20 + 1)) == [(0, "larger than 64 MiB")]


def test_a_message_may_hold_what_looks_like_headers(world: World) -> None:
    body = "subject\n\nFrom the start: it works.\nSigned-off-by: Ada\n\nbase-commit is a word."
    assert parse(mail(world, {"a.c": "x\n"}, message=body), "p").message == body


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"From: =?UTF-8?q?Tom=C3=A1s?= <t@x.y>", "Tomás"),
        (b"From: =?ISO-8859-1?B?VG9t4XM=?= <t@x.y>", "Tomás"),
        (b"From: Tom\xe1s <t@x.y>", "Tomás"),
        (b'From: "A. B. See" <t@x.y>', "A. B. See"),
        (b"From: =?utf-8?q?a=0Ab=00c?= <t@x.y>", "a bc"),
        (b"From: =?utf-7?q?+2AA-?= <t@x.y>", None),
        (b"From: =?x\0y?q?a?= <t@x.y>", None),
        (b"From: =?undefined?q?a?= <t@x.y>", None),
        (b"From: =?idna?q?=FF?= <t@x.y>", None),
    ],
)  # fmt: skip
def test_an_author_is_read_in_any_encoding(header: bytes, name: str | None, sound: bytes) -> None:
    revision = parse(sound.replace(b"From: Ada Author <ada@example.invalid>", header), "p")
    assert name is None or revision.author == name
    assert revision.email == "t@x.y"
    revision.author.encode()


@pytest.mark.parametrize(
    "date",
    [
        b"",
        b"never",
        b"Mon, 99 Foo 99999999999 99:99:99 +9999",
        b"Thu, 1 Jan 1900 00:00:00 +0000",
        b"1 Jan 2020 00:00:00 +9999",
    ],
)
def test_a_date_that_is_none_is_none(date: bytes, sound: bytes) -> None:
    content = b"\n".join(b"Date: " + date if line.startswith(b"Date:") else line for line in sound.split(b"\n"))
    assert parse(content, "p").date is None


@pytest.mark.parametrize(
    "charset", ["idna", "punycode", "undefined", "utf-7", "unicode_escape", "hex", "utf-16", "no-such"]
)
def test_a_body_in_any_charset_is_text_a_commit_can_hold(charset: str, sound: bytes) -> None:
    content = sound.replace(b"Subject:", b"Content-Type: text/plain; charset=%s\nSubject:" % charset.encode())
    content = content.replace(b"Body.", b"+2AA- \\ud800 \xff\xfe.")
    parse(content, "p").message.encode()


def parse_or_problem(content: bytes) -> None:
    try:
        revision = parse(content, "p.patch")
    except InvalidError as error:
        lines = [problem.line for problem in error.problems]
    else:
        (revision.author + revision.email + revision.message).encode()
        lines = [change.line for change in revision.changes if change.path]
    assert lines
    assert max(lines) <= content.count(b"\n") + 1


def test_a_problem_at_the_very_end_has_a_line_of_the_file(sound: bytes) -> None:
    parse_or_problem(sound[: sound.index(b"index ")] + b"GIT binary patch")


def test_a_date_is_what_the_library_makes_of_it(sound: bytes) -> None:
    for date in (
        "Wed, 15 Nov 2023 18:43:20 +0130",
        "Thu, 29 Feb 2024 23:59:60 -0000",
        "Sat, 1 Jan 2000 00:00:00 -1145",
    ):
        line = f"Date: {date}".encode()
        content = b"\n".join(line if old.startswith(b"Date:") else old for old in sound.split(b"\n"))
        found = email.utils.parsedate_tz(date)
        assert found is not None
        zone = date[-5:] if found[9] else "+0000"
        assert parse(content, "p").date == (email.utils.mktime_tz(found), zone)


@given(
    st.integers(1, 31),
    st.sampled_from(MONTHS),
    st.integers(1970, 2105),
    st.integers(0, 86399),
    st.integers(-1439, 1439),
)
def test_every_date_as_git_writes_it_is_what_the_library_makes_of_it(
    day: int, month: str, year: int, second: int, zone: int
) -> None:
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    offset = f"{'-' if zone < 0 else '+'}{abs(zone) // 60:02}{abs(zone) % 60:02}"
    date = f"Mon, {day} {month} {year} {clock} {offset}"
    found = email.utils.parsedate_tz(date)
    assert found is not None
    moment = email.utils.mktime_tz(found)
    assert date_of({"date": date}) == ((moment, offset) if moment >= 0 else None)


def test_no_mutation_of_a_sound_mail_gets_past_as_anything_else(sound: bytes) -> None:
    """Fixed seed, so that what is found once is found again: bytes changed, cut out, doubled, and lines swapped."""
    chance = random.Random(9187)
    words = [b"\0", b"\n", b"\r", b"@@ -1 +1 @@\n", b"9" * 5000, b"/dev/null", b'"', b"\\", b"-- \n", b"From ", b"\xff"]
    words += [b"=?", b"delta 5\n", b"index ", b"rename from ", b"new mode 1\n"]
    for _ in range(3000):
        content = bytearray(sound)
        for _ in range(chance.randint(1, 4)):
            at, size = chance.randrange(len(content) or 1), chance.choice([0, 0, 1, 5, 60])
            content[at : at + size] = chance.choice(
                [chance.choice(words), content[at : at + chance.randint(1, 80)], b""]
            )
        parse_or_problem(bytes(content))


@given(st.binary(max_size=300))
@settings(database=None, deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
def test_no_bytes_after_a_sound_beginning_get_past_either(sound: bytes, rest: bytes) -> None:
    parse_or_problem(sound[: sound.index(b"index ")] + rest)
    parse_or_problem(rest)


def test_a_number_of_many_digits_is_no_hunk(sound: bytes) -> None:
    problems(sound.replace(b"@@ -1,6 +1,6 @@", b"@@ -" + b"1" * 5000 + b",6 +1,6 @@"))


def test_paths_outside_are_left_to_the_policy(sound: bytes, tmp_path: Path) -> None:
    revision = parse(sound.replace(b"a/a.c", b"a/../../etc/passwd").replace(b"b/a.c", b"b/../../etc/passwd"), "p")
    assert "../../etc/passwd" in revision.paths
    assert list(tmp_path.iterdir()) == []
