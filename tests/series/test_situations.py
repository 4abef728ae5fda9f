"""``patchctl check`` on every row of ``tests/upstreams/situations.yaml``, and real ``git am -3`` on the same files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.upstreams import Made, Situation, load, make
from tests.upstreams.maker import digest_of, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = {row.name: row for row in load()}
APPLIES = {"clean", "offset", "3way", "absorbed"}


if TYPE_CHECKING:
    Check = Callable[..., "Checked"]


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


@dataclass
class Situations:
    """Rows made and checked so far in this run of the tests."""

    folder: Path
    made: dict[str, Made] = field(default_factory=dict)
    checked: dict[str, Checked] = field(default_factory=dict)


def _author_and_message(repository: Path, commit: str) -> tuple[str, str]:
    text = git("-C", repository, "cat-file", "commit", commit).decode()
    header, message = text.split("\n\n", 1)
    return next(line for line in header.splitlines() if line.startswith("author ")), message


@pytest.fixture(scope="session")
def situations(tmp_path_factory: pytest.TempPathFactory) -> Situations:
    return Situations(tmp_path_factory.mktemp("situations"))


@pytest.fixture
def made(request: pytest.FixtureRequest, situations: Situations) -> Made:
    row: Situation = request.param
    if row.name not in situations.made:
        situations.made[row.name] = make(row, situations.folder / row.name)
    return situations.made[row.name]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    def run_check(made: Made, cache: Path, *words: str) -> Checked:
        from patchctl.cli import run_words as run

        monkeypatch.chdir(made.workspace)  # a workspace is found upwards from where you stand
        monkeypatch.setenv("PATCHCTL_CACHE", str(cache))
        monkeypatch.setenv("PATCHCTL_MIRROR", made.mirror)
        status = run(["check", str(made.stack), *made.onto, *words])
        captured = capsys.readouterr()
        return Checked(status, captured.out, captured.err, cache)

    return run_check


@pytest.fixture
def checked(made: Made, situations: Situations, check: Check) -> Checked:
    """Return the answer of the first ``check --json`` of a row; it is asked once in a session."""
    name = made.situation.name
    if name not in situations.checked:
        situations.checked[name] = check(made, situations.folder / name / "cache", "--json")
    return situations.checked[name]


def rows(*, where: Any = lambda _: True) -> pytest.MarkDecorator:
    """Parametrize over the rows for which ``where`` holds."""
    chosen = [row for row in ROWS.values() if where(row)]
    return pytest.mark.parametrize("made", chosen, indirect=True, ids=[row.name for row in chosen])


def _finishes(row: Situation) -> bool:
    return row.exit == 0 and all(patch.outcome in APPLIES for patch in row.patches)


def _git_am_can_tell(row: Situation) -> bool:
    return _finishes(row) and not any(patch.from_ for patch in row.patches)


@rows()
def test_check_judges_every_patch(checked: Checked, made: Made) -> None:
    row = made.situation
    assert checked.status == row.exit, checked.err
    if row.exit != 3:
        assert checked.outcomes == {patch.id: (patch.outcome, patch.alone) for patch in row.patches}
        used = [made.revision(patch.id).name if patch.from_ is None else None for patch in row.patches]
        assert [patch["revision"] for patch in checked.answer["patches"]] == used
    if row.says:
        assert row.says in checked.out + checked.err
    assert "Traceback" not in checked.err


@rows(where=lambda row: row.exit != 3)
def test_only_finished_stacks_have_a_result(checked: Checked, made: Made) -> None:
    """The row's own words say which tree must come out; git am says it where the row is silent."""
    result = checked.answer["result"]
    if not _finishes(made.situation):
        assert result is None
        return
    if made.leaves is not None:
        assert result["tree"] == made.leaves
    if _git_am_can_tell(made.situation):
        tree = _git_am(made)[0]
        assert (tree == result["tree"]) == (made.situation.git_am is None)


@rows(where=lambda row: _git_am_can_tell(row) and row.git_am is None)
def test_commits_say_what_git_am_makes_them_say(checked: Checked, made: Made) -> None:
    added = [patch["commit"] for patch in checked.answer["patches"] if patch["outcome"] != "absorbed"]
    ours = [checked.author_and_message(commit) for commit in added]
    _, work, commits = _git_am(made)
    assert ours == [_author_and_message(work / ".git", commit) for commit in commits]


@rows()
def test_nothing_of_the_user_changes(made: Made, check: Check, tmp_path: Path) -> None:
    """Asked for people and with nothing in the cache: workspace and mirror stay as they are, and all is told."""
    before = digest_of(made.workspace), digest_of(made.upstream)
    told = check(made, tmp_path / "cache")
    assert (digest_of(made.workspace), digest_of(made.upstream)) == before
    assert told.status == made.situation.exit
    if made.situation.exit in {4, 8}:
        assert all(patch.id in told.out + told.err for patch in made.situation.patches)
    assert (made.situation.says or "") in told.out + told.err


@rows(where=lambda row: row.exit != 3)
def test_second_check_reads_the_same_from_the_ledger(checked: Checked, made: Made, check: Check) -> None:
    again = check(made, checked.cache, "--json")
    assert (again.status, again.answer) == (checked.status, checked.answer)


@rows(where=lambda row: len(row.patches) > 1)
def test_asking_for_one_patch_first_changes_no_answer(
    checked: Checked, made: Made, check: Check, tmp_path: Path
) -> None:
    """The ledger keeps what was found for one patch; with the whole stack in sight more may be known."""
    for patch in reversed(made.situation.patches):
        check(made, tmp_path / "cache", "--json", "--only", patch.id)
    assert check(made, tmp_path / "cache", "--json").answer == checked.answer


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
    if (work / ".git" / "refs" / "stopped").exists():
        return None, work, []
    # A mode that is there already makes it a commit without a change.
    listed = git("-C", work, "log", "--reverse", "--raw", "--format=commit %H", f"{target}..HEAD").decode()
    commits = [entry.split()[0] for entry in listed.split("commit ") if "\n:" in entry]
    return git("-C", work, "rev-parse", "HEAD^{tree}").decode().strip(), work, commits
