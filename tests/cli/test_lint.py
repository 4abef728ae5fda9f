from __future__ import annotations

import json
import sys
from collections import Counter

import pytest

from patchctl import files
from patchctl.document import _Reader
from tests.manifest.make import PAGE, PROBE, REVISION, STACK, workspace, write

JUNK = "belongs to nothing: it is no page, revision or probe, and probe.yaml does not name it"


@pytest.fixture
def lint(tmp_path, patchctl):
    def call(*words: str) -> tuple[int, str, str]:
        done = patchctl("lint", *words, cwd=tmp_path)
        return done.code, done.stdout, done.stderr

    return call


@pytest.fixture
def stack(tmp_path):
    workspace(tmp_path)
    return str(tmp_path / "stacks" / "b9187.yaml")


def test_a_good_stack_has_one_line_and_exit_code_0(stack, lint):
    assert lint(stack) == (0, "1 stack, 2 patches, 2 revisions: 0 errors, 0 warnings\n", "")


def test_errors_have_places_and_exit_code_3(stack, tmp_path, lint):
    write(tmp_path, {"stacks/b9187.yaml": STACK.replace("[one, two]", "[one, tow]")})
    status, out, err = lint(stack)
    assert (status, err) == (3, "")
    assert out.splitlines() == [
        'stacks/b9187.yaml:6:16: error: there is no patch "tow" in patches/; did you mean "two"?',
        "1 stack, 1 patch, 1 revision: 1 error, 0 warnings",
    ]


def test_warnings_fail_only_when_strict(stack, tmp_path, lint):
    write(tmp_path, {"patches/one/b9187.patch": REVISION.replace("+new", "+new ")})
    status, out, _ = lint(stack)
    assert status == 0
    assert "b9187.patch:16:1: warning: adds blanks at the end of a line\n" in out
    assert lint(stack, "--strict")[0] == 3
    assert lint(stack, "-q") == (0, "", "")
    assert lint(stack, "-q", "--strict")[1].count("\n") == 1


def test_json_is_one_object(stack, tmp_path, lint):
    write(tmp_path, {"patches/one/README.md": PAGE.replace("title", "titel")})
    status, out, err = lint(stack, "--json")
    assert (status, err) == (3, "")
    made = json.loads(out)
    assert made["schema_version"] == 1
    assert made["checked"] == {"stacks": 1, "patches": 2, "revisions": 2}
    assert (made["errors"], made["warnings"]) == (2, 0)
    assert made["problems"][0] == {
        "path": "patches/one/README.md",
        "line": 2,
        "column": 1,
        "level": "error",
        "message": 'missing key "title"',
    }


def test_verbose_says_how_long_it_took_on_standard_error(stack, lint):
    status, out, err = lint(stack, "-v", "--json")
    assert status == 0
    assert json.loads(out)["problems"] == []
    assert err.startswith("looked for 0.")


def test_several_stacks_of_one_workspace_are_linted(stack, tmp_path, lint):
    write(tmp_path, {"stacks/b2.yaml": STACK.replace("b9187", "b2").replace("[one, two]", "[two]")})
    assert lint(stack, str(tmp_path / "stacks" / "b2.yaml"))[1].startswith("2 stacks, 2 patches, ")


def test_stacks_of_several_workspaces_are_linted_together(stack, tmp_path, lint):
    workspace(tmp_path / "other")
    assert lint(stack, stack, str(tmp_path / "other" / "stacks" / "b9187.yaml"))[1].startswith("2 stacks, 4 patches, ")


def test_without_stacks_the_workspace_one_stands_in_is_linted(stack, tmp_path, patchctl):
    write(tmp_path, {"patches/one/junk": ""})
    done = patchctl("lint", cwd=tmp_path / "patches" / "two")
    assert done.code == 3
    assert done.stdout.splitlines()[0].endswith("patches/one/junk: error: " + JUNK)
    assert patchctl("lint", cwd=tmp_path).stdout.startswith("patches/one/junk: error: ")
    assert patchctl("lint", "b9187", cwd=tmp_path / "patches").code == 3


def test_outside_a_workspace_the_way_to_one_is_told(tmp_path, patchctl):
    done = patchctl("lint", cwd=tmp_path)
    assert (done.code, done.stdout) == (2, "")
    assert "patchctl init" in done.stderr


def test_an_unknown_stack_is_a_usage_error(tmp_path, lint):
    status, out, err = lint(str(tmp_path / "nowhere.yaml"))
    assert (status, out) == (2, "")
    assert err.startswith("error: ")


def test_help_shows_an_example(lint):
    status, out, _ = lint("--help")
    assert status == 0
    assert "patchctl lint stacks/b9187.yaml --strict" in out


def test_each_file_of_many_patches_is_read_and_parsed_once(tmp_path, lint, monkeypatch):
    ids = [f"p{number}" for number in range(50)]
    for patch_id in ids:
        folder = f"patches/{patch_id}"
        write(tmp_path, {f"{folder}/README.md": PAGE, f"{folder}/b9187.patch": REVISION, f"{folder}/probe.yaml": PROBE})
    write(tmp_path, {"stacks/b.yaml": STACK.replace("[one, two]", f"[{', '.join(ids)}]")})
    read, parsed = [], []
    read_regular, document = files.read_regular, _Reader.document
    for module in list(sys.modules.values()):
        if module.__name__.startswith("patchctl") and hasattr(module, "read_regular"):
            monkeypatch.setattr(module, "read_regular", lambda *words: read.append(words[0]) or read_regular(*words))
    monkeypatch.setattr(_Reader, "document", lambda self: parsed.append(self.name) or document(self))
    assert lint(str(tmp_path / "stacks" / "b.yaml"))[0] == 0
    # The stack's own file twice: for what is wrong in it, and for what check would warn of.
    assert Counter(Counter(read).values()) == {1: 150, 2: 1}
    assert Counter(Counter(parsed).values()) == {1: 100, 2: 1}
