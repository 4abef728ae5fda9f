from __future__ import annotations

import json
import re
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from patchctl.demo import HISTORY, URL, create
from patchctl.git import Repo, run_git
from patchctl.manifest.workspace import Workspace
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PINNED = "02847c8083ae0abdde1e52db908663402a03b8dd"
TIP = "ea5fe2d79d832748272f444746168ab0308b4319"
PATCHES = ["whole-characters", "fresh-sampler", "request-seed"]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repo]:
    folder = tmp_path_factory.mktemp("demo") / "upstream.git"
    create(folder)
    repo = Repo(folder)
    yield repo
    repo.close()


def test_commit_ids_are_the_same_under_any_home_zone_and_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[init]\n defaultBranch = trunk\n[i18n]\n commitEncoding = latin1\n[core]\n autocrlf = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "somebody else")
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    create(tmp_path / "upstream.git")
    assert run_git("rev-parse", "HEAD", git_dir=tmp_path / "upstream.git").text() == TIP


def test_the_stack_pins_a_commit_of_the_history_by_its_build_number(repo: Repo) -> None:
    stack = Workspace(ROOT).load_stack(ROOT / "stacks" / "demo.yaml").stack
    assert (stack.upstream.repo, stack.upstream.commit, stack.patches) == (URL, PINNED, PATCHES)
    assert repo.count(PINNED) == 30
    assert repo.resolve("refs/tags/b30") == PINNED
    assert repo.is_ancestor(PINNED, "main")


def test_every_tag_says_how_many_commits_lead_to_it(repo: Repo) -> None:
    tags = repo.run("for-each-ref", "--format=%(refname:short)", "refs/tags").text().split()
    assert tags == [f"b{repo.count(f'refs/tags/{tag}')}" for tag in tags]
    assert len(tags) == 5


def test_the_history_reads_like_one(repo: Repo) -> None:
    subjects = [subject for _, subject in repo.log("main")]
    squashed = [subject for subject in subjects if re.search(r" \(#\d+\)$", subject)]
    authors = set(repo.run("log", "--format=%an", "main").text().splitlines())
    dates = [int(date) for date in repo.run("log", "--reverse", "--format=%at", "main").text().split()]
    renames = repo.run("log", "--diff-filter=R", "-M", "--format=", "--name-status", "main").text().splitlines()
    assert len(subjects) == 38
    assert len(squashed) > 20
    assert len(authors) == 5
    assert "Tomás Okoye" in authors
    assert dates == sorted(dates)
    assert dates[-1] - dates[0] > 200 * 24 * 3600
    assert "R100\tserver.cpp\ttools/server/server.cpp" in renames


def test_the_history_is_text_without_anything_of_the_machine_it_was_made_on() -> None:
    text = HISTORY.read_bytes().decode("utf-8")
    assert "\0" not in text
    assert not re.search(r"/(home|root|tmp|work)/", text)


def test_one_patch_is_what_a_later_squash_commit_brings(repo: Repo) -> None:
    landed = [commit for commit, subject in repo.log("main") if subject.endswith("(#28)")]
    assert [repo.count(commit) for commit in landed] == [33]
    squash = repo.run("diff-tree", "-p", landed[0]).stdout
    ours = (ROOT / "patches" / "whole-characters" / "b30.patch").read_bytes()
    one, other = repo.patch_ids([squash, ours])
    assert one == other != ""


def test_pages_name_pull_requests_whose_heads_the_demo_has(repo: Repo) -> None:
    for patch in ("whole-characters", "fresh-sampler"):
        origin = Workspace(ROOT).load_page(patch).page.upstream
        assert origin is not None
        assert origin.pr is not None
        number = origin.pr.split("#")[1]
        assert repo.resolve(f"refs/pull/{number}/head") == origin.head


def test_revisions_say_their_base_and_what_they_stand_on(repo: Repo) -> None:
    from patchctl.manifest.revision import parse_file

    revisions = [parse_file(ROOT / "patches" / patch / "b30.patch") for patch in PATCHES]
    ids = repo.patch_ids([revision.content for revision in revisions])
    assert {revision.base_commit for revision in revisions} == {PINNED}
    assert [list(revision.prerequisites) for revision in revisions] == [ids[:at] for at in range(3)]


@pytest.mark.parametrize(
    ("onto", "expected"),
    [
        (None, ["clean", "clean", "clean"]),
        ("b33", ["absorbed", "offset", "offset"]),
        ("b36", ["absorbed", "3way", "3way"]),
        ("b38", ["absorbed", "3way", "conflict"]),
    ],
)
def test_outcomes_on_each_base(
    onto: str | None, expected: list[str], tmp_path: Path, patchctl: Callable[..., object]
) -> None:
    patchctl("init", tmp_path, cwd=tmp_path)
    ran = patchctl("check", "demo", "--json", "--no-alone", *(["--onto", onto] if onto else []), cwd=tmp_path)
    patches = json.loads(ran.stdout)["patches"]
    assert [patch["outcome"] for patch in patches] == expected


def test_a_second_call_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "upstream.git"
    create(folder)
    before = folder.stat().st_mtime_ns
    create(folder)
    assert folder.stat().st_mtime_ns == before
    assert [path.name for path in folder.parent.iterdir()] == ["upstream.git"]


def test_several_at_once_all_have_it_and_leave_nothing_beside(tmp_path: Path) -> None:
    folder = tmp_path / "upstream.git"
    failures: list[BaseException] = []

    def one() -> None:
        try:
            create(folder)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [path.name for path in tmp_path.iterdir()] == ["upstream.git"]
    assert Repo(folder).resolve("refs/heads/main") == TIP


def test_a_failure_leaves_no_half_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from patchctl.errors import PatchctlError

    broken = tmp_path / "broken.fi"
    broken.write_bytes(HISTORY.read_bytes()[:40_000])
    monkeypatch.setattr("patchctl.demo.HISTORY", broken)
    with pytest.raises(PatchctlError):
        create(tmp_path / "made" / "upstream.git")
    assert list((tmp_path / "made").iterdir()) == []


def test_what_somebody_cleaned_up_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "demo.git"
    create(folder)
    shutil.rmtree(folder / "objects")
    create(folder)
    assert Repo(folder).count("HEAD") > 30
