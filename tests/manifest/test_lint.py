from __future__ import annotations

import hashlib

import pytest

from patchctl.errors import PatchctlError
from patchctl.manifest.lint import lint
from tests.manifest.make import OID, PAGE, PROBE, REVISION, STACK, patch_files, workspace, write

LOCK = f"""\
schema: 1
base: {{commit: {OID}, build: 9187, tree: {OID}}}
patches:
- id: one
  revision: b9187.patch
  sha256: {hashlib.sha256(REVISION.encode()).hexdigest()}
  patch_id: ""
  commit: {OID}
- {{id: two, revision: null, sha256: "", patch_id: "", commit: null}}
result: {{commit: {OID}, tree: {OID}}}
"""


def said(tmp_path, changes=None, stacks=None) -> list[str]:
    made = workspace(tmp_path, changes)
    paths = None if stacks is None else [tmp_path / "stacks" / name for name in stacks]
    return [str(finding).replace(f"{tmp_path}/", "") for finding in lint(made, paths).ordered()]


def page(extra: str) -> str:
    return PAGE.replace("title: A patch\n", f"title: A patch\n{extra}")


def stack(old: str, new: str) -> str:
    assert old in STACK
    return STACK.replace(old, new)


def test_nothing_is_found_in_a_good_workspace(tmp_path):
    found = lint(workspace(tmp_path, {"stacks/b9187.lock.yaml": LOCK, "stacks/b9187.evidence.json": "{}"}))
    assert found.ordered() == []
    assert (found.stacks, found.patches, found.revisions) == (1, 2, 2)


README, STACK_FILE = "patches/one/README.md", "stacks/b9187.yaml"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # manifests and pages
        (
            {STACK_FILE: stack("release", "relaese")},
            'stacks/b9187.yaml:2:1: error: unknown key "relaese"; did you mean "release"?',
        ),
        (
            {README: page("require: []\n")},
            'patches/one/README.md:3:1: error: unknown key "require"; did you mean "requires"?',
        ),
        ({README: "# no front matter\n"}, "patches/one/README.md:1:1: error: has no front matter"),
        ({README: b"---\n\xff"}, "patches/one/README.md:2:1: error: byte 0xff is not UTF-8; save the file as UTF-8"),
        (
            {"patches/one/probe.yaml": "schema: 1 # probe.py\n"},
            "patches/one/probe.yaml:1:1: error: a probe has exactly one of: command, http",
        ),
        # ids
        (
            {STACK_FILE: stack("two]", "too]")},
            'stacks/b9187.yaml:6:16: error: there is no patch "too" in patches/; did you mean "two"?',
        ),
        ({STACK_FILE: stack("two]", "two, one]")}, 'stacks/b9187.yaml:6:21: error: patch "one" is named twice'),
        (patch_files("three"), "patches/three: error: no stack names this patch; add it to one or remove the folder"),
        (
            {**patch_files("Three")},
            'patches/Three: error: is no patch id: lower-case letters, digits, ".", "_" and "-", starting with',
        ),
        # requires
        (
            {README: page("requires: [tow]\n")},
            'patches/one/README.md:3:12: error: requires "tow", and there is no such patch; did you mean "two"?',
        ),
        (
            {README: page("requires: [two]\n")},
            'stacks/b9187.yaml:6:11: error: patch "one" requires "two", which comes later; move it up',
        ),
        (
            {
                README: page("requires: [two]\n"),
                STACK_FILE: stack("[one, two]", "[one]"),
                "stacks/z.yaml": stack("[one, two]", "[two]").replace("b9187", "z"),
            },
            'stacks/b9187.yaml:6:11: error: patch "one" requires "two", which this stack does not have',
        ),
        (
            {README: page("requires: [two]\n"), "patches/two/README.md": page("requires: [one]\n")},
            "patches/one/README.md:3:1: error: requires go in a circle: one -> two -> one",
        ),
        ({README: page("requires: [one]\n")}, "patches/one/README.md:3:1: error: requires go in a circle: one -> one"),
        # files
        (
            {"patches/one/notes.txt": ""},
            "patches/one/notes.txt: error: belongs to nothing: it is no page, revision or probe",
        ),
        ({"patches/one/fix.patch": ""}, "patches/one/fix.patch: error: is no name of a revision: b<build>.patch"),
        ({"stacks/old.lock.yaml": LOCK}, "stacks/old.lock.yaml: error: belongs to no stack: old.yaml is not there"),
        (
            {"stacks/old.evidence.json": "{}"},
            "stacks/old.evidence.json: error: belongs to no stack: old.yaml is not there",
        ),
        ({"stacks/new.yml": STACK}, "stacks/new.yml: error: is not read as a stack; name it .yaml"),
        (
            {"stacks/two.yaml": STACK},
            'stacks/two.yaml:2:10: error: release "b9187" is also the name of stacks/b9187.yaml',
        ),
        # where a patch comes from, when it goes
        (
            {README: page(f"from: {{commit: {OID}}}\n")},
            "patches/one/README.md:3:1: error: from: and b9187.patch are both there",
        ),
        ({README: page("upstream: {}\n")}, "patches/one/README.md:3:1: error: upstream is empty"),
        ({README: page("drop_when: {}\n")}, "patches/one/README.md:3:1: error: drop_when never happens"),
        ({README: page("drop_when: {probe: false}\n")}, "patches/one/README.md:3:1: error: drop_when never happens"),
        ({README: PAGE.replace("{build: 9300}", "{}")}, "patches/one/README.md:3:1: error: review_after is empty"),
        (
            {README: PAGE.replace("{build: 9300}", "{date: 2026-02-30}")},
            "patches/one/README.md:3:16: error: review_after.date: 2026-02-30 is no day of the calendar",
        ),
        ({README: "---\ntitle: x\n---\n"}, "patches/one/README.md:2:1: warning: says nowhere when the patch can go"),
        # revisions
        ({"patches/one/b9187.patch": "nothing\n"}, "patches/one/b9187.patch:1:1: error: holds no commit"),
        (
            {"patches/one/b9187.patch": REVISION + REVISION},
            "patches/one/b9187.patch:19:1: error: holds a second commit",
        ),
        (
            {"patches/one/b9187-2.patch": REVISION.replace("\n", "\r\n")},
            "patches/one/b9187-2.patch:1:1: error: its line ends were converted to CRLF",
        ),
        (
            {"patches/one/b9187.patch": REVISION.replace(f"base-commit: {OID}\n", "")},
            "patches/one/b9187.patch: warning: has no base-commit: trailer",
        ),
        (
            {"patches/one/b9187.patch": REVISION.replace("1" * 40, "1" * 9)},
            "patches/one/b9187.patch:10:1: warning: its object ids are abbreviated",
        ),
        (
            {"patches/one/b9187.patch": REVISION.replace("+new", "+new \t")},
            "patches/one/b9187.patch:16:1: warning: adds blanks at the end of a line",
        ),
        # tests
        (
            {STACK_FILE: STACK + "tests: [no-such-test]\n"},
            'stacks/b9187.yaml:10:9: error: there is no test "no-such-test"',
        ),
        (
            {STACK_FILE: STACK + "tests: [{name: x, variants: [cup], command: {run: [a]}}]\n"},
            'stacks/b9187.yaml:10:30: error: there is no variant "cup" in build.variants; did you mean "cpu"?',
        ),
        (
            {STACK_FILE: STACK + "tests:\n- {name: x, command: {run: [a]}}\n- {name: x, command: {run: [a]}}\n"},
            'stacks/b9187.yaml:12:3: error: test "x" is named twice',
        ),
        (
            {STACK_FILE: STACK + "tests: [{name: x, command: {run: [a], output: '({build}'}}]\n"},
            "stacks/b9187.yaml:10:47: error: output is no regular expression: ",
        ),
        (
            {"patches/one/probe.yaml": PROBE.replace("]}", "], output: '*'}")},
            "patches/one/probe.yaml:2:45: error: output is no regular expression: ",
        ),
        # numbers
        (
            {STACK_FILE: stack("{cpu: {}}", "{cpu: {cmake: {A: 11.10, B: 89}}}")},
            'stacks/b9187.yaml:9:31: warning: A: 11.10 is the number 11.1; as text it is written "11.10"',
        ),
        (
            {STACK_FILE: stack("  targets", "  cmake: {V: 007}\n  targets")},
            'stacks/b9187.yaml:8:14: warning: V: 007 is the number 7; as text it is written "007"',
        ),
        # locks
        ({"stacks/b9187.lock.yaml": "schema: 1\n"}, 'stacks/b9187.lock.yaml:1:1: error: missing key "base"'),
        (
            {"stacks/b9187.lock.yaml": LOCK.replace("b9187.patch", "b9188.patch")},
            "stacks/b9187.lock.yaml:5:13: error: patches/one/b9188.patch is locked and not there",
        ),
        (
            {"stacks/b9187.lock.yaml": LOCK, "patches/one/b9187.patch": REVISION.replace("+new", "+newer")},
            "stacks/b9187.lock.yaml:5:13: error: patches/one/b9187.patch changed after it was locked",
        ),
    ],
)
def test_each_thing_that_is_wrong_is_found_at_its_place(tmp_path, changes, expected):
    found = said(tmp_path, changes)
    assert any(line.startswith(expected) for line in found), found


def test_a_patch_without_a_probe_is_a_warning(tmp_path):
    workspace(tmp_path)
    gone = {"patches/one/probe.yaml": None, "patches/one/probe.py": None}
    assert said(tmp_path, gone) == [
        "patches/one: warning: has no probe (probe.yaml): nothing shows that the patch works or is needed"
    ]


def test_a_patch_that_requires_itself_is_told_once(tmp_path):
    assert said(tmp_path, {README: page("requires: [one]\n")}) == [
        "patches/one/README.md:3:1: error: requires go in a circle: one -> one"
    ]


def test_what_the_runner_fills_in_is_no_trouble_in_an_expression(tmp_path):
    test = "tests: [{name: x, command: {run: [a], output: 'version: {build} \\({identity}\\)'}}]\n"
    assert said(tmp_path, {STACK_FILE: STACK + test}) == []


def test_a_probe_as_trigger_needs_a_probe(tmp_path):
    workspace(tmp_path)
    changes = {"patches/one/probe.yaml": None, "patches/one/probe.py": None, README: page("drop_when: {probe: true}\n")}
    assert (
        said(tmp_path, changes)[1]
        == "patches/one/README.md:3:13: error: drop_when.probe needs a probe.yaml in the folder of the patch"
    )


def test_a_patch_without_a_revision_needs_a_commit(tmp_path):
    workspace(tmp_path)
    (line,) = said(tmp_path, {"patches/one/b9187.patch": None})
    assert line.startswith("patches/one: error: has no revision: neither a b<build>.patch nor from: in its page")
    write(tmp_path, {README: page(f"from: {{commit: {OID}}}\n"), "patches/one/b9187.patch": REVISION})
    assert said(tmp_path / "again", {README: page(f"from: {{commit: {OID}}}\n")}) != []
    (tmp_path / "patches/one/b9187.patch").unlink()
    assert lint(workspace_as_is(tmp_path)).ordered() == []


def workspace_as_is(root):
    from patchctl.manifest.workspace import Workspace

    return Workspace(root)


def test_a_patch_folder_without_a_page_is_found(tmp_path):
    workspace(tmp_path)
    (line,) = said(tmp_path, {README: None})
    assert line == "patches/one/README.md: error: there is no such file"


def test_revisions_that_nothing_uses_are_fine(tmp_path):
    assert said(tmp_path, {"patches/one/b9100.patch": REVISION, "patches/one/b9187-2.patch": REVISION}) == []


def test_files_that_the_probe_names_and_hidden_files_are_fine(tmp_path):
    assert said(tmp_path, {"patches/one/.gitignore": "", "patches/README.md": ""}) == []


def test_blanks_in_context_headers_and_the_message_are_no_additions(tmp_path):
    changed = REVISION.replace("say it", "say it").replace("+++ b/a.txt", "+++ b/a b.txt\t").replace("-old", "-old ")
    changed = changed.replace("---\n a.txt", "+ not an addition \n---\n a.txt")
    assert said(tmp_path, {"patches/one/b9187.patch": changed}) == []


def test_several_lines_with_blanks_are_one_warning(tmp_path):
    changed = REVISION.replace("@@ -1 +1 @@", "@@ -1 +1,2 @@").replace("+new\n", "+new \n+more\t\n")
    (line,) = said(tmp_path, {"patches/one/b9187.patch": changed})
    assert line.endswith("b9187.patch:16:1: warning: adds blanks at the end of a line (and 1 more)")


def test_everything_wrong_is_found_in_one_run(tmp_path):
    changes = {
        STACK_FILE: stack("two]", "two, nowhere]"),
        README: page("requires: [nothing]\nissues: 5\n"),
        "patches/two/README.md": page("requires: [nothing]\n"),
        "patches/two/b9187.patch": "",
        "patches/two/x": "",
        "stacks/bad.yaml": "a: [\n",
    }
    assert len({line.split(":")[0] for line in said(tmp_path, changes)}) == 6


def test_a_stack_that_cannot_be_read_hides_no_orphans_and_makes_none(tmp_path):
    found = said(tmp_path, {STACK_FILE: "schema: [\n"})
    assert found == ["stacks/b9187.yaml:2:1: error: a value is missing here"]


def test_given_stacks_are_checked_with_their_patches_only(tmp_path):
    changes = {
        **patch_files("three"),
        "patches/three/junk": "",
        "patches/two/junk": "",
        "stacks/other.yaml": stack("[one, two]", "[one, two, three]").replace("b9187", "other"),
    }
    assert [line.split(":")[0] for line in said(tmp_path, changes, ["b9187.yaml"])] == ["patches/two/junk"]
    assert [line.split(":")[0] for line in said(tmp_path, None, ["other.yaml"])] == [
        "patches/three/junk",
        "patches/two/junk",
    ]


def test_tests_that_come_with_patchctl_are_known_by_name(tmp_path, monkeypatch):
    import patchctl

    folder = tmp_path / "package" / "smoke" / "tests"
    write(folder, {
        "boots.yaml": "name: server-boots\ncommand: {run: [a]}\n", "listed.yaml": "- name: first\n- name: second\n",
        "several.yaml": "tests: [{name: third}]\n", "plain.yaml": "command: {run: [a]}\n", "broken.yaml": "a: [\n",
    })  # fmt: skip
    monkeypatch.setattr(patchctl, "__file__", str(tmp_path / "package" / "__init__.py"))
    assert said(tmp_path, {STACK_FILE: STACK + "tests: [server-boots, first, second, third, plain]\n"}) == []
    (line,) = said(tmp_path, {STACK_FILE: STACK + "tests: [server-boot]\n"})
    assert line.endswith('there is no test "server-boot"; did you mean "server-boots"?')


def test_what_cannot_be_read_at_all_is_no_finding(tmp_path):
    made = workspace(tmp_path)
    write(tmp_path, {README: None})
    (tmp_path / README).symlink_to("README.md")
    with pytest.raises(PatchctlError, match="cannot read") as caught:
        lint(made)
    assert caught.value.exit_code == 9


def test_circles_are_told_once_and_long_chains_are_no_trouble(tmp_path):
    ids = [f"p{number}" for number in range(1100)]
    changes: dict[str, str | bytes | None] = {STACK_FILE: stack("[one, two]", f"[one, two, {', '.join(ids)}]")}
    for number, patch_id in enumerate(ids):
        changes |= {
            f"patches/{patch_id}/README.md": page(f"requires: [p{(number + 1) % 1100}]\n"),
            f"patches/{patch_id}/b9187.patch": REVISION,
        }
    circles = [line for line in said(tmp_path, changes) if "circle" in line]
    assert len(circles) == 1
    assert circles[0].startswith("patches/p0/README.md:3:1: error: requires go in a circle: p0 -> p1 -> ")


def test_a_locked_revision_that_is_no_patch_by_its_size_is_told_and_not_read(tmp_path):
    made = workspace(tmp_path, {"stacks/b9187.lock.yaml": LOCK})
    with (tmp_path / "patches/one/b9187.patch").open("wb") as file:
        file.truncate(65 * 2**20)
    found = "\n".join(str(finding) for finding in lint(made).ordered())
    assert "patches/one/b9187.patch: error: is larger than 65536 KiB" in found
    assert "changed after it was locked" not in found
