from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from patchctl.cli.common import App
from patchctl.cli.ui import Ui
from patchctl.demo import create
from patchctl.errors import Code, PatchctlError
from patchctl.ship.publish import Publisher, Target
from tests.ship.git_server import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Ran
    from tests.ship.git_server import GitServer

    Publish = Callable[..., Ran]


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def workspace(tmp_path: Path, patchctl: Callable[..., Ran]) -> Path:
    """Give a workspace whose stack is locked."""
    patchctl("init", "w", cwd=tmp_path)
    assert patchctl("lock", "demo", cwd=tmp_path / "w").code == 0
    return tmp_path / "w"


@pytest.fixture
def fork(tmp_path: Path) -> Path:
    """Give a fork of upstream whose main has a commit that patchctl's store does not know."""
    create(tmp_path / "fork.git")
    folder = tmp_path / "fork.git"
    for ref in git(folder, "for-each-ref", "--format=%(refname)").split():
        if ref != "refs/heads/main":
            git(folder, "update-ref", "-d", ref)
    commit_on(folder, "main", "newer upstream")
    git(folder, "config", "receive.unpackLimit", "1")  # what is sent twice then counts twice
    return folder


def commit_on(folder: Path, branch: str, message: str) -> str:
    """Put an empty commit of a person on a branch of a bare repository."""
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
    made = git(folder, *who, "commit-tree", "-p", branch, "-m", message, f"{branch}^{{tree}}")
    git(folder, "update-ref", f"refs/heads/{branch}", made)
    return made


def hook(folder: Path, name: str, script: str) -> None:
    path = folder / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def publish(workspace: Path, patchctl: Callable[..., Ran]) -> Publish:
    """Publish the demo to a remote."""

    def call(remote: object, *words: str, branch: str = "patched") -> Ran:
        return patchctl("publish", "demo", "--remote", remote, "--branch", branch, *words, cwd=workspace)

    return call


def objects(folder: Path) -> int:
    said = dict(line.split(": ") for line in git(folder, "count-objects", "-v").splitlines())
    return int(said["count"]) + int(said["in-pack"])


def locked(workspace: Path) -> list[str]:
    from patchctl.manifest.lockfile import read_lock

    lock = read_lock(workspace / "stacks" / "demo.yaml")
    assert lock is not None
    return [str(patch.commit) for patch in lock.patches]


def test_a_fork_gets_the_very_commits_of_the_lock_one_a_patch(workspace: Path, fork: Path, publish: Publish) -> None:
    before = objects(fork)
    ran = publish(fork, "--tag", "v1", "--json")
    assert ran.code == 0, ran
    told = json.loads(ran.stdout)
    base = "02847c8083ae0abdde1e52db908663402a03b8dd"
    new = git(fork, "rev-list", "--objects", "patched", "v1", "--not", base).splitlines()
    assert objects(fork) <= before + len(new), "more was sent than the fork lacked"
    pushed = git(fork, "rev-list", "--reverse", f"{base}..patched").split()
    assert pushed == locked(workspace) == told["commits"]
    assert git(fork, "cat-file", "-t", "v1") == "tag"
    assert git(fork, "rev-parse", "v1^{commit}") == pushed[-1] == told["commit"]
    assert git(fork, "for-each-ref", "--format=%(taggerdate:unix)", "refs/tags/v1") == "1762084800"
    git(fork, "fsck", "--full", "--strict")
    again = json.loads(publish(fork, "--tag", "v1", "--json").stdout)
    assert (again["changed"], again["before"], again["tag_object"]) == (False, pushed[-1], told["tag_object"])


def test_an_empty_remote_gets_all_of_upstreams_history(tmp_path: Path, workspace: Path, publish: Publish) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    ran = publish(tmp_path / "empty.git")
    assert ran.code == 0, ran
    git(tmp_path / "empty.git", "fsck", "--full", "--strict")
    assert git(tmp_path / "empty.git", "rev-list", "--count", "patched") == "33"


def test_an_empty_remote_is_refused_when_objects_are_nowhere_to_be_had(
    tmp_path: Path, workspace: Path, isolated: Path, publish: Publish
) -> None:
    (upstream,) = (isolated / "cache" / "store").glob("demo-upstream.git")
    victim = git(upstream, "rev-parse", "02847c8083ae0abdde1e52db908663402a03b8dd~25:README.md")
    packs = list((upstream / "objects" / "pack").glob("*.pack"))
    for pack in packs:
        moved = pack.rename(tmp_path / pack.name)
        pack.with_suffix(".idx").unlink()
        with moved.open("rb") as file:
            subprocess.run(["git", "-C", upstream, "unpack-objects", "-q"], stdin=file, check=True)
    (upstream / "objects" / victim[:2] / victim[2:]).unlink()
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    ran = publish(tmp_path / "empty.git")
    assert ran.code == 9, ran
    assert "it has nothing of upstream's history, and no copy at hand has 1 of the objects it lacks" in ran.stderr
    assert "make it a fork of upstream first" in ran.stderr
    assert git(tmp_path / "empty.git", "for-each-ref") == ""


def test_a_dry_run_asks_and_pushes_nothing(fork: Path, publish: Publish) -> None:
    before = git(fork, "for-each-ref")
    ran = publish(fork, "--tag", "v1", "--dry-run")
    assert (ran.code, "would be new" in ran.stdout) == (0, True), ran
    assert git(fork, "for-each-ref") == before


def test_the_next_release_takes_the_place_of_the_last(workspace: Path, fork: Path, publish: Publish) -> None:
    publish(fork)
    first = git(fork, "rev-parse", "patched")
    stack = workspace / "stacks" / "demo.yaml"
    stack.write_text(stack.read_text().replace("  - whole-characters", "  # - whole-characters"))
    stale = publish(fork)
    assert (stale.code, "out of date" in stale.stderr) == (3, True), stale
    lock(workspace)
    ran = json.loads(publish(fork, "--json").stdout)
    assert ran["before"] == first
    assert git(fork, "rev-parse", "patched") == locked(workspace)[-1] != first


def lock(workspace: Path) -> None:
    from patchctl.cli import run_words

    assert run_words(["lock", str(workspace / "stacks" / "demo.yaml"), "-q"]) == 0


def test_a_branch_that_was_published_from_elsewhere_is_known_as_ours(
    workspace: Path, fork: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    publish(fork)
    stack = workspace / "stacks" / "demo.yaml"
    stack.write_text(stack.read_text().replace("  - whole-characters", "  # - whole-characters"))
    monkeypatch.setenv("PATCHCTL_CACHE", str(tmp_path / "cold"))
    lock(workspace)
    assert publish(fork).code == 0
    assert git(fork, "rev-parse", "patched") == locked(workspace)[-1]


@pytest.mark.parametrize("branch", ["patched", "main"])
def test_commits_of_others_are_never_dropped(branch: str, fork: Path, publish: Publish) -> None:
    publish(fork)
    theirs = commit_on(fork, branch, "a fix of mine")
    ran = publish(fork, branch=branch)
    assert ran.code == 10, ran
    assert f"its head {theirs[:9]} was committed by Ann <ann@example.org>, not by patchctl" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert git(fork, "rev-parse", branch) == theirs


def test_a_branch_that_moves_between_looking_and_pushing_is_left(
    workspace: Path, fork: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    app = App(Ui(quiet=True))
    store, _, resolved = app.resolve(app.stack("demo"))
    source = resolved.source(store, "patchctl:demo", "demo")
    publisher = Publisher(store, source, Target(str(fork), "main"), 0)
    before = git(fork, "rev-parse", "main")
    theirs = commit_on(fork, "main", "meanwhile")
    with pytest.raises(PatchctlError, match="somebody else pushed meanwhile") as error:
        publisher.push(before, None)
    app.close()
    assert error.value.code == Code.ATTENTION
    assert git(fork, "rev-parse", "main") == theirs


def test_a_tag_that_names_something_else_does_not_move(fork: Path, publish: Publish) -> None:
    git(fork, "tag", "v1", "main")
    before = git(fork, "for-each-ref")
    ran = publish(fork, "--tag", "v1")
    assert (ran.code, "tags do not move" in ran.stderr) == (10, True), ran
    assert git(fork, "for-each-ref") == before


@pytest.mark.parametrize(
    ("name", "script", "said"),
    [
        (
            "pre-receive",
            "printf 'no \\007pushes on Friday\\n' >&2; exit 1",
            "refused the push: no \\x07pushes on Friday",
        ),
        ("update", 'case "$1" in refs/tags/*) exit 1;; esac', "refused the push: "),
    ],
)
def test_a_remote_that_refuses_is_one_line_and_nothing_is_pushed(
    name: str, script: str, said: str, fork: Path, publish: Publish
) -> None:
    hook(fork, name, script)
    before = git(fork, "for-each-ref")
    ran = publish(fork, "--tag", "v1")
    assert (ran.code, said in ran.stderr, ran.stderr.count("\n")) == (7, True, 1), ran
    assert git(fork, "for-each-ref") == before


def test_a_remote_that_is_not_there_is_exit_7(publish: Publish) -> None:
    ran = publish("http://127.0.0.1:9/me/llama.cpp")
    assert (ran.code, "cannot be reached" in ran.stderr, ran.stderr.count("\n")) == (7, True, 1), ran


# --- over the wire ----------------------------------------------------------------------------------------------------


@pytest.fixture
def server(fork: Path) -> Iterator[GitServer]:
    """Serve the fork over HTTP, open to pushes."""
    git(fork, "config", "http.receivepack", "true")
    with served(fork.parent) as found:
        yield found


def test_over_http_the_same_commits_arrive_and_a_password_is_never_shown(
    workspace: Path, fork: Path, server: GitServer, publish: Publish
) -> None:
    server.password = "me:p@ss"
    ran = publish(server.url("fork.git", user="me:p%40ss"), "--tag", "v1", "--json")
    assert ran.code == 0, ran
    assert json.loads(ran.stdout)["remote"] == server.url("fork.git", user="***")
    assert (ran.stdout + ran.stderr).count("%40ss") == 0
    assert git(fork, "rev-parse", "patched", "v1^{commit}").split() == locked(workspace)[-1:] * 2


@pytest.mark.parametrize("place", [".gitconfig", ".config/git/config", "elsewhere"])
def test_over_http_a_persons_credential_helper_is_asked(
    place: str, isolated: Path, server: GitServer, publish: Publish
) -> None:
    server.password = "me:secret"
    (isolated / place).parent.mkdir(parents=True, exist_ok=True)
    (isolated / place).write_text('[credential]\n\thelper = "!f() { echo username=me; echo password=secret; }; f"\n')
    if place == "elsewhere":
        (isolated / ".gitconfig").write_text("[include]\n\tpath = elsewhere\n")
    assert publish(server.url("fork.git")).code == 0


@pytest.mark.parametrize(
    ("settings", "user", "said"),
    [
        ({"password": "me:secret"}, "", "does not know you: could not read Username for"),
        ({"password": "me:secret"}, "me:wrong", "does not know you: Authentication failed for"),
        ({"readers": True}, "", "does not let you push"),
        ({"moved": "http://127.0.0.1:9/upstream"}, "", "has moved, and is not followed"),
    ],
)
def test_over_http_whom_the_server_refuses_reads_why_in_one_line(
    settings: dict[str, object], user: str, said: str, fork: Path, server: GitServer, publish: Publish
) -> None:
    before = git(fork, "for-each-ref")
    vars(server).update(settings)
    ran = publish(server.url("fork.git", user=user))
    assert (ran.code, said in ran.stderr, ran.stderr.count("\n"), "wrong" in ran.stderr) == (7, True, 1, False), ran
    assert git(fork, "for-each-ref") == before


@pytest.mark.parametrize("tag", [False, True])
def test_over_http_a_push_that_loses_a_race_leaves_what_won_it(
    fork: Path, server: GitServer, publish: Publish, *, tag: bool
) -> None:
    ref = "refs/tags/v1" if tag else "refs/heads/patched"
    server.before_push = lambda: git(fork, "update-ref", ref, "main")
    ran = publish(server.url("fork.git"), "--tag", "v1")
    assert (ran.code, "somebody else pushed meanwhile" in ran.stderr) == (10, True), ran
    assert git(fork, "rev-parse", ref) == git(fork, "rev-parse", "main")
    assert git(fork, "for-each-ref", "--format=%(refname)").split() == sorted(["refs/heads/main", ref])


def test_over_ssh_as_plain_servers_speak_it(
    workspace: Path, fork: Path, tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sshd takes no GIT_PROTOCOL from a client unless it is told to, so git falls back to its oldest protocol."""
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nunset GIT_PROTOCOL\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    for remote in ("empty.git", "fork.git"):
        ran = publish(f"ssh://git@host{tmp_path / remote}")
        assert ran.code == 0, ran
        assert git(tmp_path / remote, "rev-parse", "patched") == locked(workspace)[-1]
    ssh.write_text('#!/bin/sh\necho "git@host: Permission denied (publickey)." >&2\nexit 255\n')
    ran = publish(f"ssh://git@host{fork}")
    assert (ran.code, "git@host: Permission denied (publickey); give git" in ran.stderr) == (7, True), ran


# --- where it may not go ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remote", "words", "said"),
    [
        ("origin", {}, "neither a URL nor a folder"),
        ("https://me:tok@github.com/Upstream/Demo.git", {}, "that is upstream, which patchctl never pushes to"),
        ("git@github.com:upstream/demo", {}, "that is upstream"),
        ("https://github.com/me/../upstream%2Fdemo", {}, "that is upstream"),
        ("{mirror}", {}, "that is upstream"),
        ("https://host/x", {"branch": "a..b"}, "'a..b' cannot name a branch or tag"),
    ],
)
def test_upstream_and_what_is_no_target_are_refused_before_anything_is_asked(
    remote: str, words: dict[str, str], said: str, workspace: Path, fork: Path, publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stack = workspace / "stacks" / "demo.yaml"
    stack.write_text(stack.read_text().replace("repo: patchctl:demo", "repo: https://github.com/upstream/demo"))
    (fork.parent / "link").symlink_to(fork)
    monkeypatch.setenv("PATCHCTL_MIRROR", f"https://github.com/upstream/demo={fork}")
    before = git(fork, "for-each-ref")
    ran = publish(remote.format(mirror=fork.parent / "link"), **words)
    assert (ran.code, said in ran.stderr, "tok" in ran.stderr) == (2, True, False), ran
    assert git(fork, "for-each-ref") == before
