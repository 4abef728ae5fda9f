from __future__ import annotations

import copy

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from patchctl.document import Document, parse
from patchctl.errors import InvalidError
from patchctl.manifest.edit import add_key, insert_item_after, remove_item, render, set_scalar, splice

STACK = """\
# a stack
schema: 1
release: b9187   # free text

patches:
  # the first one
  - mtp-bid-fix      # off by n_layer
  # the second one

  - 'tbq4'
  - "quoted"
build: {targets: [llama-server, llama-cli], cmake: {A: true}}
tail: end
"""


def document(text: str) -> Document:
    return parse(text, "stack.yaml")


def lines_of(text: str) -> list[str]:
    return text.splitlines(keepends=True)


# --- what an edit looks like ------------------------------------------------------------------------------------------


def test_a_removed_item_takes_its_line_and_nothing_else():
    done = remove_item(document(STACK), ("patches", 0)).decode()
    assert done == STACK.replace("  - mtp-bid-fix      # off by n_layer\n", "")


def test_a_removed_last_item_keeps_the_comments_above_it():
    done = remove_item(document(STACK), ("patches", 2)).decode()
    assert done == STACK.replace('  - "quoted"\n', "")


def test_an_inserted_item_follows_its_neighbour_and_leaves_comments_where_they_are():
    done = insert_item_after(document(STACK), ("patches", 0), "new-one").decode()
    assert done == STACK.replace("# off by n_layer\n", "# off by n_layer\n  - new-one\n")


def test_an_item_can_be_inserted_first():
    done = insert_item_after(document(STACK), ("patches", -1), "new-one").decode()
    assert done == STACK.replace("  - mtp", "  - new-one\n  - mtp")


def test_a_scalar_keeps_its_comment_and_its_quotes():
    assert set_scalar(document(STACK), ("release",), "b9200").decode() == STACK.replace("b9187 ", "b9200 ")
    assert "- 'it''s'\n" in set_scalar(document(STACK), ("patches", 1), "it's").decode()
    assert '- "x"\n' in set_scalar(document(STACK), ("patches", 2), "x").decode()


def test_a_removed_only_item_leaves_an_empty_list():
    assert remove_item(document("a:\n  - x # why\nb: 1\n"), ("a", 0)) == b"a:\n  []\nb: 1\n"
    assert remove_item(document("a:\n- x\nb: 1\n"), ("a", 0)) == b"a:\n []\nb: 1\n"
    assert remove_item(document("a: [x]\n"), ("a", 0)) == b"a: []\n"
    assert remove_item(document("- x"), (0,)) == b" []"


def test_an_item_goes_into_an_empty_list():
    assert insert_item_after(document("a: []  # none\n"), ("a", -1), "x") == b"a: [x]  # none\n"


@pytest.mark.parametrize(
    ("text", "index", "expected"),
    [
        ("a: [x, y, z]\n", 0, "a: [y, z]\n"),
        ("a: [x, y, z]\n", 1, "a: [x, z]\n"),
        ("a: [x, y, z]\n", 2, "a: [x, y]\n"),
        ("a: [x, y,]\n", 1, "a: [x, ]\n"),
        ("a: [\n  x,  # one\n  y,  # two\n  z   # three\n]\n", 1, "a: [\n  x,  # one\n  z   # three\n]\n"),
        ("a: [\n  x,  # one\n  y   # two\n]\n", 1, "a: [\n  x,  # one\n]\n"),
        ("a: [x, # one\n  y]\n", 0, "a: [ # one\n  y]\n"),
        ("a: [x, # one\n  y]\n", 1, "a: [x, # one\n  ]\n"),
        ("a: [x # one\n  , y]\n", 0, "a: [ # one\n   y]\n"),
        ("a: [x,\n  y]\n", 0, "a: [\n  y]\n"),
    ],
)
def test_a_flow_item_is_removed_with_its_comma(text, index, expected):
    assert remove_item(document(text), ("a", index)).decode() == expected


@pytest.mark.parametrize(
    ("text", "index", "expected"),
    [
        ("a: [x, y]\n", -1, "a: [n, x, y]\n"),
        ("a: [x, y]\n", 0, "a: [x, n, y]\n"),
        ("a: [x, y]\n", 1, "a: [x, y, n]\n"),
        ("a: [\n  x,  # one\n  y   # two\n]\n", -1, "a: [\n  n,\n  x,  # one\n  y   # two\n]\n"),
        ("a: [\n  x,  # one\n  y   # two\n]\n", 0, "a: [\n  x,  # one\n  n,\n  y   # two\n]\n"),
        ("a: [\n  x,  # one\n  y   # two\n]\n", 1, "a: [\n  x,  # one\n  y,   # two\n  n\n]\n"),
    ],
)
def test_a_flow_item_is_inserted_in_the_style_of_its_neighbours(text, index, expected):
    assert insert_item_after(document(text), ("a", index), "n").decode() == expected


@pytest.mark.parametrize(
    ("text", "loc", "expected"),
    [
        ("- - a\n  - b\n", (0, 0), "- - b\n"),
        ("- - a\n  - b\n", (0, 1), "- - a\n"),
        ("-\n  x: 1\n  # kept\n- # about y\n  y\n", (0,), "  # kept\n- # about y\n  y\n"),
        ("-\n  x: 1\n  # kept\n- # about y\n  y\n", (1,), "-\n  x: 1\n  # kept\n"),
        ("- |\n  text\n\n# kept\n- b\n", (0,), "\n# kept\n- b\n"),
    ],
)
def test_nested_and_multi_line_items_are_removed_whole(text, loc, expected):
    assert remove_item(document(text), loc).decode() == expected


def test_line_ends_of_the_file_are_kept():
    crlf = "a:\r\n  - x  # c\r\n  - y\r\nb: 1\r\n"
    assert remove_item(document(crlf), ("a", 0)) == b"a:\r\n  - y\r\nb: 1\r\n"
    assert insert_item_after(document(crlf), ("a", 1), "z") == b"a:\r\n  - x  # c\r\n  - y\r\n  - z\r\nb: 1\r\n"
    assert remove_item(document("a:\r\n  - x\r\nb: 1\r\n"), ("a", 0)) == b"a:\r\n  []\r\nb: 1\r\n"


def test_a_missing_final_line_end_is_no_obstacle():
    assert insert_item_after(document("a:\n  - x"), ("a", 0), "y") == b"a:\n  - x\n  - y"
    assert remove_item(document("a:\n  - x\n  - y"), ("a", 1)) == b"a:\n  - x\n"
    assert set_scalar(document("a: x"), ("a",), "y") == b"a: y"


def test_an_empty_value_is_filled_in():
    assert set_scalar(document("a:  # c\nb:\n"), ("b",), 3) == b"a:  # c\nb: 3\n"
    assert set_scalar(document("a:  # c\n"), ("a",), "x") == b"a: x  # c\n"
    assert set_scalar(document("-\n- b\n"), (0,), "x") == b"- x\n- b\n"


def test_a_block_text_is_replaced_without_the_lines_after_it():
    assert set_scalar(document("a: |\n  one\n  two\n\n# c\nb: 1\n"), ("a",), "x") == b"a: x\n\n# c\nb: 1\n"


def test_splice_writes_any_yaml_in_place_of_a_value():
    done = splice(document(STACK), ("build", "targets"), "[a]").decode()
    assert done == STACK.replace("[llama-server, llama-cli]", "[a]")
    done = splice(document(STACK), ("patches",), "[]").decode()
    assert "patches:\n  # the first one\n  []\nbuild" in done


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_splice_that_would_change_something_else_is_refused():
    with pytest.raises(InvalidError, match=r"by hand"):
        splice(document("a: 1\nb: 2\n"), ("a",), "1\nc: 3")
    with pytest.raises(InvalidError, match=r"stack.yaml:1:4"):
        splice(document("a: 1\nb: 2\n"), ("a",), "[")
    with pytest.raises(InvalidError, match=r"by hand"):
        splice(document("{a}\n"), ("a",), "x")


def test_what_cannot_be_proven_is_refused_with_its_place():
    with pytest.raises(InvalidError, match=r"stack.yaml:1:3: .* by hand"):
        set_scalar(document("{a}\n"), ("a",), "x")
    with pytest.raises(InvalidError, match=r"no single value"):
        set_scalar(document("a: [x]\n"), ("a",), "y")
    with pytest.raises(InvalidError, match=r"by hand"):
        set_scalar(document("a: x\n"), ("a",), "\0")
    with pytest.raises(InvalidError, match=r"duplicate key"):
        set_scalar(document("a: x\na: y\n"), ("a",), "z")


@pytest.mark.parametrize("loc", [("b",), ("a", -1), ("a", 5), ("a", "x"), ()])
def test_a_place_that_is_not_there_is_a_key_error(loc):
    with pytest.raises(KeyError):
        set_scalar(document("a: [x]\n"), loc, "y")


@pytest.mark.parametrize("loc", [("a", 1), ("a", -1), ("b", 0), ("a", "x")])
def test_an_item_that_is_not_there_is_a_key_error(loc):
    with pytest.raises(KeyError):
        remove_item(document("a: [x]\nb: 1\n"), loc)


# --- properties -------------------------------------------------------------------------------------------------------

WORDS = st.text("abz019-._/ '\"#:é\\\n\u2028\x7f\U0001f600", max_size=8)
PLAIN_WORDS = st.text("abcxyz-", min_size=1, max_size=6).filter(lambda word: word.strip("-") == word)
COMMENTS = st.sampled_from(["", "", "  # why", " # - not an item"])
OWN_LINES = st.sampled_from(["", "", "", "# a line\n", "\n", "{}# level\n"])
VALUES = st.one_of(
    WORDS, st.booleans(), st.none(), st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False)
)


@st.composite
def block_files(draw: st.DrawFn) -> tuple[str, list[object]]:
    indent = draw(st.sampled_from(["", "  ", "    "]))
    text, items = "schema: 1  # first\npatches:" + draw(COMMENTS) + "\n", []
    for _ in range(draw(st.integers(1, 5))):
        word, shape = draw(PLAIN_WORDS), draw(st.integers(0, 3))
        text += draw(OWN_LINES).format(indent)
        head = f"{indent}-" + draw(st.sampled_from([" ", "   "]))
        if shape == 0:
            text += f"{head}name: {word}{draw(COMMENTS)}\n{' ' * len(head)}run: [a, b]{draw(COMMENTS)}\n"
            items.append({"name": word, "run": ["a", "b"]})
        elif shape == 1:
            text += f"{indent}- |{draw(COMMENTS)}\n{indent}  {word}\n"
            items.append(word + "\n")
        else:
            text += head + (word if shape == 2 else f'"{word}"') + draw(COMMENTS) + "\n"
            items.append(word)
    text += draw(OWN_LINES).format(indent) + draw(st.sampled_from(["tail: end\n", "tail: end", ""]))
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return text, items


@st.composite
def flow_files(draw: st.DrawFn) -> tuple[str, list[object]]:
    space = st.sampled_from(["", " ", "  ", "\n  ", " # c\n  "])
    items = draw(st.lists(PLAIN_WORDS, max_size=5))
    text = "patches: [" + draw(space)
    for number, item in enumerate(items):
        comma = "," if number < len(items) - 1 or draw(st.booleans()) else ""
        text += item + draw(space) + comma + draw(space)
    text += "]" + draw(COMMENTS) + draw(st.sampled_from(["\n", "", "\ntail: 1\n"]))
    return text, list(items)


def untouched(before: str, after: str, allowed: int) -> None:
    """Every line of the longer file but ``allowed`` is in the other, in the same order."""
    old, new = lines_of(before), lines_of(after)
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    assert max(len(old), len(new)) - head - tail <= allowed


@given(block_files(), st.data())
@settings(max_examples=200, deadline=None)
def test_block_lists_lose_exactly_one_item(made, data):
    text, items = made
    index = data.draw(st.integers(0, len(items) - 1))
    before = parse(text, "f")
    assert before.data["patches"] == items
    after = remove_item(before, ("patches", index)).decode()
    meant = copy.deepcopy(before.data)
    del meant["patches"][index]
    assert parse(after, "f").data == meant
    untouched(text, after, 2)
    if len(items) > 1:
        own = [line for line in lines_of(text) if line.strip().startswith("#")]
        assert [line for line in lines_of(after) if line.strip().startswith("#")] == own


@given(block_files(), st.data(), WORDS)
@settings(max_examples=200, deadline=None)
def test_block_lists_gain_exactly_one_line(made, data, word):
    text, items = made
    index = data.draw(st.integers(-1, len(items) - 1))
    after = insert_item_after(parse(text, "f"), ("patches", index), word).decode()
    meant = copy.deepcopy(parse(text, "f").data)
    meant["patches"].insert(index + 1, word)
    assert parse(after, "f").data == meant
    assert len(lines_of(after)) == len(lines_of(text)) + 1
    untouched(text, after, 2 if not text.endswith("\n") else 1)


@given(flow_files(), st.data(), WORDS)
@example(("patches: [a, # c\n  b]\n", ["a", "b"]), None, "x")
@settings(max_examples=200, deadline=None)
def test_flow_lists_change_by_exactly_one_item(made, data, word):
    text, items = made
    before = parse(text, "f")
    index = data.draw(st.integers(-1, len(items) - 1)) if data else 0
    after = insert_item_after(before, ("patches", index), word).decode()
    meant = copy.deepcopy(before.data)
    meant["patches"].insert(index + 1, word)
    assert parse(after, "f").data == meant
    assert after.count("# c") == text.count("# c") + word.count("# c")
    # and back again: the data are the old ones, and every comment is still there
    back = remove_item(parse(after, "f"), ("patches", index + 1)).decode()
    assert parse(back, "f").data == before.data
    if items and index >= 0:
        gone = remove_item(before, ("patches", index)).decode()
        assert parse(gone, "f").data["patches"] == items[:index] + items[index + 1 :]


@given(
    VALUES,
    VALUES,
    st.sampled_from(["key: {}\n", "key: {}  # why\nb: 2\n", "[{}, b]\n", "a: {{b: {}, c: 1}}\r\n", "- x\n- {}"]),
    st.sampled_from(["", "'", '"']),
)
@settings(max_examples=300, deadline=None)
def test_a_scalar_changes_only_its_own_bytes(old, new, frame, style):
    loc = {"k": ("key",), "[": (0,), "a": ("a", "b"), "-": (1,)}[frame[0]]
    before = parse(frame.format(render(old, style)), "f")
    node = before.node(loc)
    assert node is not None
    after = set_scalar(before, loc, new).decode()
    done = parse(after, "f")
    assert done.node(loc).value == new  # type: ignore[union-attr]
    assert type(done.node(loc).value) is type(new)  # type: ignore[union-attr]
    assert after.startswith(before.text[: node.start])
    assert after.endswith(before.text[node.end :])


@pytest.mark.parametrize(
    ("text", "loc", "expected"),
    [
        ("a: 1  # one\n# end\n", (), "a: 1  # one\nnew: {x: 5}\n# end\n"),
        ("a: 1", (), "a: 1\nnew: {x: 5}"),
        ("a: 1\r\nb: 2\r\n", (), "a: 1\r\nb: 2\r\nnew: {x: 5}\r\n"),
        ("b:\n  x: # no\n    - 1\n  # tail\nc: 2\n", ("b",), "b:\n  x: # no\n    - 1\n  new: {x: 5}\n  # tail\nc: 2\n"),
        ("b: {x: 1}  # c\n", ("b",), "b: {x: 1, new: {x: 5}}  # c\n"),
        ("b: {x: 1,}\n", ("b",), "b: {x: 1, new: {x: 5}}\n"),
        ("b: {}\n", ("b",), "b: {new: {x: 5}}\n"),
        ("- b:\n    c: 1\n", (0, "b"), "- b:\n    c: 1\n    new: {x: 5}\n"),
    ],
)
def test_a_key_is_added_at_the_end_of_its_mapping(text, loc, expected):
    assert add_key(parse(text, "x"), loc, "new", "{x: 5}").decode() == expected


@pytest.mark.parametrize(("text", "loc"), [("a: 1\n", ("a",)), ("new: 1\n", ()), ("[a]\n", ()), ("a: 1\n", ("b",))])
def test_a_key_that_cannot_be_added_is_a_key_error(text, loc):
    with pytest.raises(KeyError):
        add_key(parse(text, "x"), loc, "new", "5")


def test_a_key_whose_value_would_change_something_else_is_refused():
    with pytest.raises(InvalidError):
        add_key(parse("a: {b: 1}\n", "x"), ("a",), "new", "5, other: 6")
