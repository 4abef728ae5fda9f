"""The same stack gives the same commit on every machine, and nothing of a person's git ever runs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.series.world import URL, World, show, text
from tests.upstreams.maker import digest_of, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Process = Callable[..., Any]

CONFIGURATION = """
[apply]
  whitespace = fix
[core]
  hooksPath = {here}/hooks
  fsmonitor = {here}/hooks/fsmonitor
  attributesFile = {here}/attributes
  excludesFile = {here}/ignore
  autocrlf = true
  eol = crlf
  whitespace = trailing-space
  pager = {here}/hooks/pager
  sshCommand = {here}/hooks/ssh
  editor = {here}/hooks/editor
[filter "spy"]
  clean = {here}/hooks/clean
  smudge = {here}/hooks/smudge
  required = true
[diff "spy"]
  command = {here}/hooks/diff
  textconv = {here}/hooks/textconv
[merge "spy"]
  driver = {here}/hooks/merge
[merge]
  conflictStyle = zdiff3
  renames = false
  directoryRenames = true
[diff]
  external = {here}/hooks/external
  algorithm = patience
  noprefix = true
  renames = false
  context = 1
[i18n]
  commitEncoding = ISO-8859-1
  logOutputEncoding = ISO-8859-1
[commit]
  gpgSign = true
[gpg]
  program = {here}/hooks/gpg
[user]
  name = Somebody
  email = somebody@example.invalid
  signingKey = 1234
[format]
  signOff = true
  attach = true
  coverLetter = true
  headers = "X-Bad: yes\\n"
[init]
  defaultBranch = trunk
  templateDir = {here}/template
[rerere]
  enabled = false
[url "https://127.0.0.1:1/"]
  insteadOf = file://
[transfer]
  fsckObjects = true
[fetch]
  prune = true
  recurseSubmodules = true
"""
HOOKS = (
    "post-checkout", "post-commit", "pre-commit", "post-index-change", "reference-transaction", "post-rewrite",
    "prepare-commit-msg", "commit-msg", "applypatch-msg", "pre-auto-gc", "fsmonitor", "clean", "smudge", "diff",
    "textconv", "merge", "external", "gpg", "pager", "ssh", "editor", "post-merge",
)  # fmt: skip


Everything = tuple[str, dict[str, bytes]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = make(tmp_path)
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


@pytest.fixture
def plain(tmp_path_factory: pytest.TempPathFactory, patchctl_process: Process) -> Everything:
    """What the stack gives on a quiet machine; asked once."""
    if not PLAIN:
        folder = tmp_path_factory.mktemp("plain")
        world = make(folder)
        PLAIN.append(everything(world, patchctl_process, folder / "cache", {"PATCHCTL_MIRROR": world.mirror}))
    return PLAIN[0]


PLAIN: list[Everything] = []


def make(folder: Path) -> World:
    """Make patches with spaces at line ends, CRLF, an author and a subject beyond ASCII, one that must be merged."""
    world = World(folder)
    first = world.commit({"engine.c": text(), "dos.txt": "one\r\ntwo\r\n", ".gitattributes": "*.c text\n"}, "start")
    world.patch("merged", {"engine.c": text({5: "merged"})}, on=first, base=first)
    world.commit({"engine.c": text({20: "upstream"})}, "engine : change")
    files = {"engine.c": text({3: "trailing   ", 20: "upstream"}), "dos.txt": "one\r\ntwo \r\n"}
    world.patch("spaces", files, author="Tomás Öberg <tomas@example.invalid>", message="Grüße : an alle\n\nÄ ö ü")
    world.stack("merged", "spaces")
    return world


def hostile(here: Path) -> dict[str, str]:
    """Return an environment in which every door that git has leads to a program that leaves a mark."""
    for name in HOOKS:
        hook = here / "hooks" / name
        hook.parent.mkdir(parents=True, exist_ok=True)
        hook.write_text(f'#!/bin/sh\necho "$0 $*" >> {here}/ran\ncat\n')
        hook.chmod(0o755)
    (here / "template" / "hooks").mkdir(parents=True)
    for name in HOOKS:
        (here / "template" / "hooks" / name).symlink_to(here / "hooks" / name)
    (here / "attributes").write_text("* filter=spy diff=spy merge=spy text eol=crlf\n")
    (here / "ignore").write_text("*\n")
    home = here / "home"
    (home / ".config" / "git").mkdir(parents=True)
    for path in (home / ".gitconfig", home / ".config" / "git" / "config", here / "system"):
        path.write_text(CONFIGURATION.format(here=here))
    (home / ".config" / "git" / "attributes").write_text("* filter=spy merge=spy\n")
    (home / ".config" / "git" / "ignore").write_text("*\n")
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "C",
        "LANG": "tr_TR.UTF-8",
        "LANGUAGE": "de:tr",
        "PAGER": f"{here}/hooks/pager",
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_SYSTEM": str(here / "system"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": f"{here}/hooks",
        "GIT_DIR": str(here / "nowhere.git"),
        "GIT_WORK_TREE": str(here),
        "GIT_INDEX_FILE": str(here / "index"),
        "GIT_OBJECT_DIRECTORY": str(here / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(here / "more"),
        "GIT_AUTHOR_NAME": "Mallory",
        "GIT_AUTHOR_EMAIL": "mallory@example.invalid",
        "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z",
        "GIT_COMMITTER_NAME": "Mallory",
        "GIT_COMMITTER_EMAIL": "mallory@example.invalid",
        "GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z",
        "GIT_EXTERNAL_DIFF": f"{here}/hooks/external",
        "GIT_NAMESPACE": "elsewhere",
        "GIT_TEMPLATE_DIR": f"{here}/template",
        "GIT_PAGER": f"{here}/hooks/pager",
        "GIT_EDITOR": f"{here}/hooks/editor",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_DEFAULT_HASH": "sha256",
    }


def everything(world: World, process: Process, cache: Path, env: dict[str, str]) -> Everything:
    """Return the result of check, and every file that lock and apply write, in a workspace as it was before."""
    env = {**env, "PATCHCTL_CACHE": str(cache)}
    checked = process("check", "s", "--json", cwd=world.workspace, env=env)
    assert checked.code == 0, checked
    assert process("lock", "s", cwd=world.workspace, env=env).code == 0
    assert process("apply", "s", cwd=world.workspace, env=env).code == 0
    work = world.workspace / "work" / "s"
    files = {path.relative_to(work).as_posix(): path.read_bytes() for path in work.glob("*") if path.is_file()}
    head = show(work, "rev-parse", "HEAD")
    assert head == json.loads(checked.stdout)["result"]["commit"]
    lock = world.workspace / "stacks" / "s.lock.yaml"
    files["lock"] = lock.read_bytes()
    lock.unlink()
    process("apply", "s", "--abort", cwd=world.workspace, env=env)
    return checked.stdout, files


def test_ids_are_the_same_in_a_hostile_environment_and_nothing_runs(
    world: World, plain: Everything, tmp_path: Path, patchctl_process: Process
) -> None:
    here = tmp_path / "hostile"
    env = hostile(here)
    mirror = digest_of(world.upstream)
    before = os.umask(0o077)
    try:
        assert everything(world, patchctl_process, tmp_path / "hostile-cache", env) == plain
    finally:
        os.umask(before)
    assert not (here / "ran").exists(), (here / "ran").read_text()
    made = sorted(path.name for path in here.iterdir())
    assert made == ["attributes", "home", "hooks", "ignore", "system", "template"]
    assert digest_of(world.upstream) == mirror
    assert b"dos.txt" not in plain[1]["lock"]
    assert plain[1]["dos.txt"] == b"one\r\ntwo \r\n"
    assert "trailing   \n" in plain[1]["engine.c"].decode()


def test_a_mirror_with_hooks_and_filters_runs_none(
    world: World, plain: Everything, tmp_path: Path, patchctl_process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "hostile"
    hostile(here)
    mirror = tmp_path / "clone"
    git("clone", "--quiet", world.upstream, mirror)
    (mirror / ".git" / "info").mkdir(exist_ok=True)
    (mirror / ".git" / "info" / "attributes").write_text("* filter=spy merge=spy\n")
    with (mirror / ".git" / "config").open("a") as config:
        config.write(CONFIGURATION.format(here=here).split("[url", maxsplit=1)[0])
        config.write(f'[uploadpack]\n packObjectsHook = "{here}/hooks/pre-auto-gc"\n')
    monkeypatch.setenv("PATCHCTL_MIRROR", f"{URL}={mirror}")
    assert everything(world, patchctl_process, tmp_path / "other-cache", {}) == plain
    assert not (here / "ran").exists(), (here / "ran").read_text()


def test_the_ids_are_these(plain: Everything) -> None:
    """Pinned: a change here is a change of every lock ever written; raise the recipe and say so."""
    assert json.loads(plain[0])["result"] == PINNED


PINNED = {
    "commit": "db849c1fce1407f92ff1649933a5539e9d997d5c",
    "tree": "0d3e55696e509962983d8b3596a8ceb3169e6865",
}


def test_commands_never_change_the_folder_they_run_in(
    world: World, monkeypatch: pytest.MonkeyPatch, patchctl: Process
) -> None:
    os.chdir(world.workspace)
    monkeypatch.setattr(os, "chdir", _refuse)
    from patchctl.cli import run_words

    for words in (["check", "s"], ["lock", "s"], ["apply", "s"], ["lint"]):
        assert run_words(words) in {0, 3}
    assert os.getcwd() == str(world.workspace)  # noqa: PTH109 - what the system says


def _refuse(path: object) -> None:
    raise AssertionError(f"chdir to {path}")
