"""Hunks and deltas as mathematics, and held against ``git apply`` on random files."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from patchctl.manifest.revision import Binary, Hunk, parse
from patchctl.series.apply import apply_binary, apply_delta, apply_hunks, blob_id, looks_binary, split_lines
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from pathlib import Path

WORDS = st.sampled_from([b"", b"a", b"b", b"c", b"x y", b"}"])
FILES = st.lists(WORDS, max_size=14).map(lambda lines: b"".join(line + b"\n" for line in lines))
UNIQUE = st.lists(st.integers(0, 10_000), unique=True, max_size=40).map(lambda n: [b"line %d\n" % i for i in n])
DATABASE = settings(database=None, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def hunks_between(old: list[bytes], new: list[bytes], context: int = 3) -> list[Hunk]:
    """Return the hunks that a diff of two lists of lines has."""
    made = []
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(context):
        if all(tag == "equal" for tag, *_ in group):
            continue
        first, last = group[0], group[-1]
        leading = first[2] - first[1] if first[0] == "equal" else 0
        trailing = last[2] - last[1] if last[0] == "equal" else 0
        before, after = tuple(old[first[1] : last[2]]), tuple(new[first[3] : last[4]])
        made.append(Hunk(first[1], before, after, leading, trailing, 1))
    return made


@given(UNIQUE, UNIQUE)
@DATABASE
def test_applying_the_difference_gives_the_edited_text(old: list[bytes], new: list[bytes]) -> None:
    for search in (False, True):
        applied = apply_hunks(b"".join(old), hunks_between(old, new), search=search)
        assert applied is not None
        assert applied.content == b"".join(new)
        assert set(applied.offsets) <= {0}


@given(UNIQUE, st.integers(1, 30), st.data())
@DATABASE
def test_what_moved_is_found_by_searching_only(old: list[bytes], moved: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(old)))
    new = [*old[:at], b"inserted\n", *old[at:]]
    (hunk,) = hunks_between(old, new)
    above = [b"above %d\n" % n for n in range(moved)]
    below = [b"below %d\n" % n for n in range(3)]
    content = b"".join([*above, *old, *below])
    assert apply_hunks(content, [hunk]) is None or hunk.old == ()
    found = apply_hunks(content, [hunk], search=True)
    anchored = hunk.start == 0 or hunk.trailing == 0
    if anchored:
        assert found is None or hunk.old == (), "a hunk at the edge of its file belongs to the edge"
    else:
        assert found is not None
        assert found.content == b"".join([*above, *new, *below])
        assert found.offsets == (moved,)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apply") / "r"
    git("init", "--quiet", folder)
    return folder


def mail(diff: bytes) -> bytes:
    return b"From %s Mon Sep 17 00:00:00 2001\nFrom: a <b@c>\nSubject: s\n\n---\n%s" % (b"0" * 40, diff)


@given(FILES, FILES, FILES, FILES)
@settings(DATABASE, max_examples=30)
@example(b"a\nb\nc\na\nb\nc\n", b"a\nb\nc\na\nx y\nc\n", b"}\n}\n", b"")
@example(b"", b"a\n", b"b\n", b"")
def test_searching_finds_what_git_apply_finds(
    repository: Path, old: bytes, new: bytes, above: bytes, below: bytes
) -> None:
    (repository / "f").write_bytes(old)
    git("-C", repository, "add", "f")
    (repository / "f").write_bytes(new)
    diff = git("-C", repository, "diff", "--full-index")
    if not diff:
        return
    hunks = (
        parse(b"From %s Mon Sep 17 00:00:00 2001\nFrom: a <b@c>\nSubject: s\n\n---\n%s" % (b"0" * 40, diff), "p")
        .changes[0]
        .hunks
    )
    target = above + old + below
    (repository / "f").write_bytes(target)
    git("-C", repository, "add", "f")
    try:
        git("-C", repository, "apply", "--cached", "--whitespace=nowarn", stdin=diff)
        theirs = git("-C", repository, "cat-file", "blob", ":f")
    except RuntimeError:
        theirs = None
    ours = apply_hunks(target, hunks, search=True)
    assert (ours.content if ours else None) == theirs


def test_a_line_without_an_end_is_another_line() -> None:
    hunk = Hunk(0, (b"last",), (b"new last",), 0, 0, 1)
    assert apply_hunks(b"last\n", [hunk]) is None
    applied = apply_hunks(b"last", [hunk])
    assert applied is not None
    assert applied.content == b"new last"


def test_only_lf_ends_a_line() -> None:
    assert split_lines(b"a\r\nb\x0bc\x85d\n") == [b"a\r\n", b"b\x0bc\x85d\n"]
    assert split_lines(b"") == []


@given(st.binary(max_size=400), st.binary(max_size=400))
@settings(DATABASE, max_examples=25)
def test_a_binary_change_of_git_gives_the_new_bytes(repository: Path, old: bytes, new: bytes) -> None:
    (repository / "f").write_bytes(b"\0" + old)
    git("-C", repository, "add", "f")
    (repository / "f").write_bytes(b"\0" + old[: len(old) // 2] + new + old)
    diff = git("-C", repository, "diff", "--full-index", "--binary")
    if not diff:
        return
    binary = parse(mail(diff), "p").changes[0].binary
    assert binary is not None
    assert apply_binary(b"\0" + old, binary) == b"\0" + old[: len(old) // 2] + new + old


@given(st.binary(max_size=60), st.binary(max_size=60))
@DATABASE
def test_any_delta_gives_bytes_of_the_size_it_says_or_nothing(old: bytes, delta: bytes) -> None:
    made = apply_delta(old, delta)
    assert made is None or len(made) < 1 << 21
    apply_delta(old, bytes([len(old)]) + delta)


@pytest.mark.parametrize(
    "delta",
    [
        b"",
        b"\x03",
        b"\x03\x03\x80",
        b"\x03\x06\x90\x03",
        b"\x04\x03\x90\x03",
        b"\xff" * 200,
        b"\x03\xff\xff\xff\xff\xff\x7f" + b"\x90\x03" * 50,
    ],
)
def test_a_delta_that_is_damaged_or_belongs_elsewhere_is_none(delta: bytes) -> None:
    assert apply_delta(b"abc", delta) is None


def test_deltas_copy_and_insert() -> None:
    assert apply_delta(b"abc", b"\x03\x05\x90\x03\x02de") == b"abcde"
    assert apply_delta(b"abc", b"\x03\x02\x91\x01\x02") == b"bc"
    assert apply_binary(b"abc", Binary("literal", 3, b"new")) == b"new"


def test_names_are_gits() -> None:
    assert blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert looks_binary(b"a\0b")
    assert not looks_binary(b"a" * 8000 + b"\0")
