from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from patchctl import document as under_test
from patchctl.document import MAX_BYTES, MAX_DEPTH, Document, load, parse, plain, resolve, shown
from patchctl.errors import Code, InvalidError, PatchctlError


class PurePython(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    """What is used where PyYAML was built without libyaml."""

    def __init__(self, stream: str) -> None:
        yaml.reader.Reader.__init__(self, stream)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)


@pytest.fixture(params=["libyaml", "pure Python"])
def either_parser(request, monkeypatch):
    if request.param == "pure Python":
        monkeypatch.setattr(under_test, "_Events", PurePython)
    return request.param


def data(text: str) -> object:
    return parse(text, "f").data


def said(text: str) -> list[str]:
    """Return every problem of a text, as a user reads it."""
    try:
        return [str(problem) for problem in parse(text, "f").problems]
    except InvalidError as error:
        return [str(problem) for problem in error.problems]


# --- scalars ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("Off", "Off"),
        ("true", True),
        ("False", False),
        ("tRue", "tRue"),
        ("0123456", 123456),
        ("0o17", 15),
        ("0x1F", 31),
        ("+12", 12),
        ("-3", -3),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2026-05-01", "2026-05-01"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.", 1.0),
        ("", None),
        ("~", None),
        ("null", None),
        ("nUll", "nUll"),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("120a-real", "120a-real"),
        ("b9187", "b9187"),
        ("'12'", "12"),
        ('"true"', "true"),
        (".", "."),
        ("9" * 400, "9" * 400),
        ("<<", "<<"),
        ("=", "="),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(either_parser, written, value):
    got = data(f"key: {written}\n")["key"]
    assert got == value
    assert type(got) is type(value)


def test_not_a_number_is_a_float():
    assert math.isnan(resolve(".nan"))


def test_keys_are_text_as_they_are_written():
    assert data("{89: a, true: b, null: c, 0x1: d, <<: e}") == {
        "89": "a",
        "true": "b",
        "null": "c",
        "0x1": "d",
        "<<": "e",
    }


NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text("ab é'\"\\:#-\n\t")


@given(
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc:# '", min_size=1), inner, max_size=3),
        max_leaves=12,
    )
)
@settings(max_examples=150, deadline=None)
def test_what_json_means_yaml_means(value):
    import json

    text = json.dumps(value, ensure_ascii=False)
    assert plain(parse(text, "f").root) == value


# --- places -----------------------------------------------------------------------------------------------------------

PLACES = "# é\nrelease: b1\nbuild:\n  é: [a,\n   b]\n  variants:\n    cpu: {}\nlist:\n- x: 1\n-\n"


@pytest.mark.parametrize(
    ("loc", "key", "place"),
    [
        ((), False, (2, 1)),
        (("release",), False, (2, 10)),
        (("release",), True, (2, 1)),
        (("build", "é", 1), False, (5, 4)),
        (("build", "variants", "cpu"), True, (7, 5)),
        (("list", 0, "x"), False, (9, 6)),
        (("list", 1), False, (10, 2)),
        (("list", 0), True, (9, 3)),
        (("build", "nothing", "deeper"), False, (3, 1)),
        (("nothing",), False, (2, 1)),
        (("list", 7), False, (8, 1)),
        (("list", "x"), False, (8, 1)),
    ],
)
def test_marks_are_lines_and_columns_as_editors_count_them(either_parser, loc, key, place):
    assert parse(PLACES, "f").mark(loc, key=key) == place
    assert parse(PLACES.replace("\n", "\r\n"), "f").mark(loc, key=key) == place


def test_the_source_is_kept_byte_for_byte():
    assert parse("a: é\r\n# c", "f").source == "a: é\r\n# c".encode()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb:\n\t- x\n", ["f:3:1: a tab cannot indent YAML; use spaces"]),
        ("a: 1\nb: 2\na: 3\n", ['f:3:1: duplicate key "a"; it is already on line 1']),
        ("a: {b: 1, b: 2}\n", ['f:1:11: duplicate key "b"; it is already on line 1']),
        ("a: &x 1\n", ["f:1:4: anchors (&x) are not used here; remove it"]),
        ("a: !!str 1\n", ["f:1:4: tags (!!str) are not used here; remove it"]),
        ("a: !include x\n", ["f:1:4: tags (!include) are not used here; remove it"]),
        ("a: !!python/object:os.system x\n", ["f:1:4: tags (!!python/object:os.system) are not used here; remove it"]),
        ("--- 1\n--- 2\n", ["f:2:1: a second document starts here; one file holds one"]),
        ("%YAML 1.1\n--- 1\n", ["f:1:1: directives (%) are not used here; remove it"]),
        ("? [a]\n: b\n", ["f:1:3: a key must be text, not a list or a mapping"]),
        ("a: x\x01\n", ["f:1:5: the character U+0001 is not allowed; in double quotes it can be written as an escape"]),
        (
            "a: x\u2028b\n",
            ["f:1:5: the character U+2028 is not allowed; in double quotes it can be written as an escape"],
        ),
        ("a: 1\rb: 2\r", ["f:1:5: a line ends with CR alone; save the file with LF or CRLF line ends"]),
        ('a: "\\0"\n', ["f:1:4: a NUL character is not allowed"]),
        ("a: \x00\n", ["f:1:4: the character U+0000 is not allowed; in double quotes it can be written as an escape"]),
    ],
)
def test_structure_is_refused_with_its_place(either_parser, text, expected):
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, 2\nb: 3\n", 'f:1:4: this list is not closed: "," or "]" expected'),
        ("a: {b: 1\n", 'f:1:4: this mapping is not closed: "," or "}" expected'),
        ("a: 'x\n", "f:1:4: this quote is not closed"),
        ('a: 1\nb: "x\n---\n', "f:2:4: this quote is not closed"),
        ("a: b: c\n", 'f:1:5: a ": " where none can be; put the text in quotes or fix the indentation'),
        ("a: 1\nfoo\n", 'f:2:1: this is no "key: value"'),
        ("- a\nb: 1\n", "f:2:1: the indentation does not fit the list above"),
        ("a: 'b' c\n", "f:1:8: the indentation does not fit the lines above, or a quote ends too early"),
        ("a: @x\n", "f:1:4: a value cannot start with @; put it in quotes"),
        ("a: `x`\n", "f:1:4: a value cannot start with `; put it in quotes"),
        ("a: *\n", 'f:1:4: a value cannot start with "*" or "&"; put it in quotes'),
        ("a: [", "f:1:5: a value is missing here"),
        ('a: "\\q"\n', "f:1:5: found unknown escape character"),
    ],
)
def test_broken_yaml_is_explained_in_plain_words(text, expected):
    assert said(text) == [expected]


@pytest.mark.parametrize(
    "text", ["a: [1, 2\nb: 3\n", "a: 'x\n", "a: b: c\n", "- a\nb: 1\n", "a: @x\n", 'a: "\\q"\n', "a: *\n"]
)
def test_broken_yaml_has_one_problem_with_a_place_without_libyaml_too(either_parser, text):
    (problem,) = said(text)
    assert problem.startswith(("f:1:", "f:2:"))


def test_all_structural_problems_come_in_one_run():
    text = "a: &x 1\nb: *x\na: 2\nc: !!int 3\n"
    assert [line.split(":")[1] for line in said(text)] == ["1", "2", "3", "4"]


def test_structural_problems_come_with_the_syntax_error_after_them():
    assert len(said("a: 1\na: 2\nb: [\n")) == 2


def test_data_of_a_document_with_problems_cannot_be_had():
    with pytest.raises(InvalidError, match="duplicate"):
        _ = parse("a: 1\na: 2\n", "f").data


def test_depth_is_bounded(either_parser):
    assert data("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    deep = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)
    assert said(deep) == [f"f:1:{MAX_DEPTH + 1}: is nested more than {MAX_DEPTH} deep"]
    assert said("[" * 100_000) == [f"f:1:{MAX_DEPTH + 1}: is nested more than {MAX_DEPTH} deep"]


# --- files ------------------------------------------------------------------------------------------------------------


def refused(path) -> str:
    with pytest.raises(InvalidError) as caught:
        load(path, "f.yaml")
    assert caught.value.exit_code == Code.INVALID
    return caught.value.message


def test_a_file_that_is_not_utf_8_is_refused_at_the_byte(tmp_path):
    (tmp_path / "f").write_bytes("a: é\nb: ".encode() + b"\xe9\n")
    assert refused(tmp_path / "f") == "f.yaml:2:4: byte 0xe9 is not UTF-8; save the file as UTF-8"


def test_a_byte_order_mark_is_refused(tmp_path):
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert refused(tmp_path / "f") == "f.yaml:1:1: starts with a byte order mark; save it as UTF-8 without one"
    (tmp_path / "f").write_bytes("a: 1\n".encode("utf-16"))
    assert "is not UTF-8" in refused(tmp_path / "f")


def test_what_is_no_file_is_refused(tmp_path):
    assert refused(tmp_path) == "f.yaml: is a folder, not a file"
    assert refused(tmp_path / "missing") == "f.yaml: there is no such file"
    os.mkfifo(tmp_path / "fifo")
    assert refused(tmp_path / "fifo") == "f.yaml: is not a regular file"
    (tmp_path / "f").write_bytes(b"")
    assert refused(tmp_path / "f" / "below") == "f.yaml: there is no such file"


def test_a_huge_file_is_refused(tmp_path):
    (tmp_path / "f").write_bytes(b"# x\n" * (MAX_BYTES // 4))
    assert load(tmp_path / "f").data is None
    (tmp_path / "f").write_bytes(b"# x\n" * (MAX_BYTES // 4 + 1))
    assert "is larger than 1024 KiB" in refused(tmp_path / "f")
    with pytest.raises(InvalidError, match="more than 1024 KiB of YAML"):
        parse("# x\n" * (MAX_BYTES // 4 + 1), "f")


def test_a_file_that_cannot_be_read_is_an_environment_error(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(PatchctlError) as caught:
        load(loop, "f.yaml")
    assert caught.value.exit_code == Code.ENVIRONMENT
    assert caught.value.message.startswith("cannot read f.yaml: ")


def test_an_empty_file_has_no_data(either_parser, tmp_path):
    (tmp_path / "f").write_bytes(b"# nothing\n")
    assert load(tmp_path / "f").data is None


def test_paths_are_shown_relative_to_where_one_stands(tmp_path):
    assert shown(Path.cwd() / "stacks" / "a.yaml") == "stacks/a.yaml"
    assert shown(tmp_path / "a.yaml") == str(tmp_path / "a.yaml")
    assert shown(Path("stacks/a.yaml")) == "stacks/a.yaml"


def test_reading_manifests_needs_no_pydantic(tmp_path):
    import subprocess

    imports = "import sys, patchctl.document, patchctl.config, patchctl.manifest.workspace"
    code = f"{imports}; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(st.text("ab:-#[]{},'\"&*!|>%@` \n\t?~0.", max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_text_gives_data_or_problems_inside_the_file(text):
    try:
        done = parse(text, "f")
    except InvalidError as error:
        problems = error.problems
    else:
        assert isinstance(done, Document)
        plain(done.root)
        problems = done.problems
    for problem in problems:
        assert 1 <= problem.line <= text.count("\n") + 1
        assert problem.column >= 1
