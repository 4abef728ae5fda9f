"""``patchctl check`` on every row of ``tests/upstreams/situations.yaml``, and real ``git am -3`` on the same files."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.upstreams import Made, Situation, load, make
from tests.upstreams.maker import digest_of, git

if TYPE_CHECKING:
    from pathlib import Path

ROWS = {row.name: row for row in load()}
APPLIES = {"clean", "offset", "3way", "absorbed"}


@dataclass(frozen=True)
class Checked:
    """What ``patchctl check STACK --json`` did on one row."""

    status: int
    out: str
    err: str
    cache: Path

    @property
    def answer(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def outcomes(self) -> dict[str, tuple[str, str]]:
        return {patch["id"]: (patch["outcome"], patch["alone"]["outcome"]) for patch in self.answer["patches"]}

    def author_and_message(self, commit: str) -> tuple[str, str]:
        store = next((self.cache / "store").glob("*.git"))
        return _author_and_message(store, commit)


def _author_and_message(repository: Path, commit: str) -> tuple[str, str]:
    text = git("-C", repository, "cat-file", "commit", commit).decode()
    header, message = text.split("\n\n", 1)
    return next(line for line in header.splitlines() if line.startswith("author ")), message


@pytest.fixture(scope="session")
def situations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """Rows made so far in this session."""
    return {}


@pytest.fixture
def made(request: pytest.FixtureRequest, situations: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Made:
    row: Situation = request.param
    if row.name not in situations:
        situations[row.name] = make(row, tmp_path_factory.mktemp("situations") / row.name)
    return situations[row.name]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def run_check(made: Made, *words: str) -> Checked:
        from patchctl.cli import run

        cache = tmp_path / "cache"
        monkeypatch.chdir(made.workspace)  # a workspace is found upwards from where you stand
        monkeypatch.setenv("PATCHCTL_CACHE", str(cache))
        monkeypatch.setenv("PATCHCTL_MIRROR", made.mirror)
        status = run(["check", str(made.stack), *made.onto, *words])
        captured = capsys.readouterr()
        return Checked(status, captured.out, captured.err, cache)

    return run_check


def rows(*, where: Any = lambda _: True) -> pytest.MarkDecorator:
    """Parametrize over the rows for which ``where`` holds."""
    chosen = [row for row in ROWS.values() if where(row)]
    return pytest.mark.parametrize("made", chosen, indirect=True, ids=[row.name for row in chosen])


def _finishes(row: Situation) -> bool:
    return row.exit == 0 and all(patch.outcome in APPLIES for patch in row.patches)


def _git_am_can_tell(row: Situation) -> bool:
    return _finishes(row) and not any(patch.from_ for patch in row.patches)


@rows()
def test_check_judges_every_patch(made: Made, check) -> None:
    row = made.situation
    before = digest_of(made.workspace), digest_of(made.upstream)
    checked = check(made, "--json")
    assert checked.status == row.exit, checked.err
    if row.exit != 3:
        assert checked.outcomes == {patch.id: (patch.outcome, patch.alone) for patch in row.patches}
        used = [made.revision(patch.id).name if patch.from_ is None else None for patch in row.patches]
        assert [patch["revision"] for patch in checked.answer["patches"]] == used
    if row.says:
        assert row.says in checked.out + checked.err
    assert "Traceback" not in checked.err
    assert (digest_of(made.workspace), digest_of(made.upstream)) == before


@rows(where=_finishes)
def test_finished_stack_has_the_expected_tree(made: Made, check) -> None:
    """The row's own words say which tree must come out; git am says it where the row is silent."""
    result = check(made, "--json").answer["result"]
    if made.leaves is not None:
        assert result["tree"] == made.leaves
    if _git_am_can_tell(made.situation):
        tree = _git_am(made)[0]
        assert (tree == result["tree"]) == (made.situation.git_am is None)


@rows(where=lambda row: _git_am_can_tell(row) and row.git_am is None)
def test_commits_say_what_git_am_makes_them_say(made: Made, check) -> None:
    checked = check(made, "--json")
    added = [patch["commit"] for patch in checked.answer["patches"] if patch["outcome"] != "absorbed"]
    ours = [checked.author_and_message(commit) for commit in added]
    _, work, commits = _git_am(made)
    assert ours == [_author_and_message(work / ".git", commit) for commit in commits]


@rows(where=lambda row: not _finishes(row) and row.exit in {0, 4, 8})
def test_unfinished_stack_has_no_result(made: Made, check) -> None:
    assert check(made, "--json").answer["result"] is None


@rows(where=lambda row: len(row.patches) > 1)
def test_second_check_reads_the_same_from_the_ledger(made: Made, check) -> None:
    first = check(made, "--json")
    second = check(made, "--json")
    assert (second.status, second.answer) == (first.status, first.answer)


@rows(where=lambda row: row.exit in {4, 8})
def test_people_are_told_which_patch_and_file(made: Made, check) -> None:
    checked = check(made)
    assert checked.status == made.situation.exit
    for patch in made.situation.patches:
        assert patch.id in checked.out + checked.err
    if made.situation.says:
        assert made.situation.says in checked.out + checked.err


@pytest.mark.parametrize("row", list(ROWS.values()), ids=list(ROWS))
def test_row_can_be_checked_without_patchctl(row: Situation) -> None:
    """Each finished stack is held against git am or against a tree that the row spells out."""
    if _finishes(row):
        assert row.leaves is not None or (_git_am_can_tell(row) and row.git_am is None)
    assert row.git_am is None or row.git_am.startswith("differs, ")


def test_same_ids_on_every_machine(tmp_path: Path) -> None:
    row = ROWS["carried-dependent"]
    first, second = make(row, tmp_path / "one"), make(row, tmp_path / "two")
    assert first.commits == second.commits
    assert digest_of(first.workspace) == digest_of(second.workspace)
    assert first.commits["second"] == "8f3bd7b14c4414261337e4fe608efb1684f4daa8"


def _git_am(made: Made) -> tuple[str | None, Path, list[str]]:
    """Return the tree that ``git am -3`` ends with (None: it stops), the repository, and its commits, oldest first."""
    work = made.workspace.parent / "am"
    target = made.target
    if not work.exists():
        git("clone", "--quiet", "--no-checkout", "--shared", made.upstream, work)
        git("-C", work, "checkout", "--quiet", "--detach", target)
        mails = [made.revision(patch.id) for patch in made.situation.patches]
        words = ("-c", "core.abbrev=40", "am", "--quiet", "-3", "--keep-cr", "--keep-non-patch", *mails)
        try:
            git("-C", work, *words)
        except RuntimeError:
            git("-C", work, "update-ref", "refs/stopped", "HEAD")
    if os.path.exists(work / ".git" / "refs" / "stopped"):
        return None, work, []
    # A mode that is there already makes it a commit without a change.
    listed = git("-C", work, "log", "--reverse", "--raw", "--format=commit %H", f"{target}..HEAD").decode()
    commits = [entry.split()[0] for entry in listed.split("commit ") if "\n:" in entry]
    return git("-C", work, "rev-parse", "HEAD^{tree}").decode().strip(), work, commits
