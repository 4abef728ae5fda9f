"""``patchctl build`` on the demo: what it refuses before anything is compiled, and that nothing it does can be lost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.git import COUNTER
from tests.demo.built import BuiltDemo, built_demo
from tests.series.world import show
from tests.upstreams.maker import FORMAT, digest_of, git

if TYPE_CHECKING:
    from collections.abc import Callable

    Patchctl = Callable[..., Any]

LOCK, EVIDENCE = "stacks/demo.lock.yaml", "stacks/demo.evidence.json"
BUILD = ["build", "demo", "--variant", "release"]


@pytest.fixture
def built(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> BuiltDemo:
    demo = built_demo(tmp_path_factory)
    monkeypatch.setenv("PATCHCTL_CACHE", str(demo.cache))
    return demo


@pytest.fixture
def demo(tmp_path: Path, patchctl: Patchctl) -> Path:
    """A new workspace with the demo stack, nothing built."""
    patchctl("init", tmp_path / "demo", cwd=tmp_path)
    return tmp_path / "demo"


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with git and nothing that compiles."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("git", "env", "sh", "true"):
        (folder / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    for name in ("CC", "CXX", "CUDACXX"):
        monkeypatch.delenv(name, raising=False)
    return folder


def replace(path: Path, old: str, new: str) -> None:
    said = path.read_text()
    assert old in said
    path.write_text(said.replace(old, new))


# --- what is refused before anything is compiled ----------------------------------------------------------------------


def test_a_machine_without_a_compiler_is_told_after_the_lock_was_written(
    demo: Path, bare_path: Path, patchctl: Patchctl
) -> None:
    ran = patchctl(*BUILD, cwd=demo)
    assert ran.code == 9
    assert ran.stderr.splitlines()[0] == "locked stacks/demo.yaml"
    assert "compiler" in ran.stderr
    assert "patchctl doctor" in ran.stderr
    assert (demo / LOCK).exists()
    assert not (demo / "out").exists()


def test_a_stale_lock_is_renewed_with_one_line(demo: Path, bare_path: Path, patchctl: Patchctl) -> None:
    patchctl("lock", "demo", cwd=demo)
    before = (demo / LOCK).read_text()
    replace(demo / "patches/request-seed/b30.patch", "Subject: [PATCH]", "Subject: [PATCH v2]")
    ran = patchctl(*BUILD, cwd=demo)
    assert [line for line in ran.stderr.splitlines() if "lock" in line] == [
        "locked stacks/demo.yaml again: changed since: request-seed"
    ]
    after = (demo / LOCK).read_text()
    assert before != after
    assert patchctl("lock", "demo", cwd=demo).stdout.startswith("unchanged stacks/demo.lock.yaml")


@pytest.mark.parametrize("how", ["none", "stale", "other order"])
def test_locked_wants_a_lock_that_describes_the_stack(how: str, demo: Path, patchctl: Patchctl) -> None:
    why = "it has none"
    if how != "none":
        patchctl("lock", "demo", cwd=demo)
    if how == "stale":
        replace(demo / "patches/request-seed/b30.patch", "Subject: [PATCH]", "Subject: [PATCH v2]")
        why = "changed since: request-seed"
    if how == "other order":
        replace(demo / "stacks/demo.yaml", "  - whole-characters", "  # whole-characters")
        replace(demo / "stacks/demo.yaml", "  - request-seed", "  - request-seed\n  - whole-characters #")
        why = "the order of the patches changed"
    before = digest_of(demo)
    ran = patchctl(*BUILD, "--locked", cwd=demo)
    assert ran.code == 3
    assert ran.stderr == (
        f"error: the lock of stacks/demo.yaml is out of date: {why}; renew it: patchctl lock stacks/demo.yaml\n"
    )
    assert digest_of(demo) == before


def test_a_tree_that_differs_from_the_lock_is_an_error_always(demo: Path, patchctl: Patchctl) -> None:
    patchctl("lock", "demo", cwd=demo)
    said = (demo / LOCK).read_text()
    tree = re.findall(r"tree: ['\"]?(\w{40})", said)[-1]
    (demo / LOCK).write_text(said.replace(tree, "0" * 40))
    for words in (BUILD, [*BUILD, "--locked"]):
        ran = patchctl(*words, cwd=demo)
        assert (ran.code, ran.stderr.count("\n")) == (3, 1)
        assert f"the tree is {tree[:9]}, but its lock says 000000000" in ran.stderr


def test_a_lock_that_cannot_be_understood_is_told_with_its_line(demo: Path, patchctl: Patchctl) -> None:
    patchctl("lock", "demo", cwd=demo)
    replace(demo / LOCK, "result:", "result: []\nresults:")
    ran = patchctl(*BUILD, cwd=demo)
    assert ran.code == 3
    assert re.search(r"stacks/demo\.lock\.yaml:\d+:\d+: ", ran.stderr)


def test_an_unknown_variant_is_told_with_the_nearest(demo: Path, patchctl: Patchctl) -> None:
    ran = patchctl("build", "demo", "--variant", "relase", cwd=demo)
    assert (ran.code, ran.stderr) == (2, 'error: demo has no variant "relase"; did you mean "release"?\n')
    assert "it has release, debug" in patchctl("build", "demo", "--variant", "zzz", cwd=demo).stderr


def test_a_conflict_stops_the_build_and_says_what_to_do(demo: Path, patchctl: Patchctl) -> None:
    upstream = demo / "upstream"
    from patchctl.demo import create

    create(upstream)
    tip = show(upstream, "rev-parse", "main")
    replace(demo / "stacks/demo.yaml", "02847c8083ae0abdde1e52db908663402a03b8dd", tip)
    ran = patchctl(*BUILD, cwd=demo)
    assert ran.code == 4
    assert ran.stderr.splitlines() == [
        "error: 1 of 3 patches do not apply: request-seed",
        "see why: patchctl check demo; solve: patchctl apply demo",
    ]
    assert not (demo / LOCK).exists()


def made_patch(demo: Path, name: str, files: dict[str, str], link: str = "") -> None:
    """Put one patch of its own, made on the demo's base, in the place of the demo's patches."""
    from patchctl.demo import create

    create(demo.parent / "upstream.git")
    work = demo.parent / "work"
    git("clone", "--quiet", demo.parent / "upstream.git", work)
    git("-C", work, "checkout", "--quiet", "b30")
    for path, (old, _, new) in ((path, change.partition(" -> ")) for path, change in files.items()):
        replace(work / path, old, new)
    if link:
        (work / link).symlink_to("/etc/passwd")
    git("-C", work, "add", "--all")
    git("-C", work, "-c", "user.name=Ada", "-c", "user.email=a@b.c", "commit", "--quiet", "-m", name)
    (demo / "patches" / name).mkdir()
    (demo / "patches" / name / "b30.patch").write_bytes(git("-C", work, "format-patch", *FORMAT, "--base=HEAD^", "-1"))
    (demo / "patches" / name / "README.md").write_text(f"---\ntitle: {name}\n---\n")
    said = re.sub(r"(?m)^  - (whole|fresh|request)-.*\n", "", (demo / "stacks/demo.yaml").read_text())
    (demo / "stacks/demo.yaml").write_text(said.replace("patches:\n", f"patches: [{name}]\n"))


def test_the_tree_policy_stops_the_build_before_anything_is_written(demo: Path, patchctl: Patchctl) -> None:
    made_patch(demo, "linked", {}, link="evil")
    before = digest_of(demo)
    ran = patchctl(*BUILD, cwd=demo)
    assert ran.code == 8
    assert "linked: 'evil' would be a symlink" in ran.stderr
    assert digest_of(demo) == before


def test_a_typo_in_a_test_is_told_before_anything_is_built(demo: Path, bare_path: Path, patchctl: Patchctl) -> None:
    replace(demo / "stacks/demo.yaml", '"{out}/models/lake.txt"', '"{uot}/models/lake.txt"')
    ran = patchctl(*BUILD, cwd=demo)
    line = 1 + (demo / "stacks/demo.yaml").read_text().split("{uot}")[0].count("\n")
    assert ran.code == 3
    assert re.search(rf"stacks/demo\.yaml:{line}:\d+: test reads-a-text: unknown placeholder {{uot}}", ran.stderr)


def test_two_stacks_of_one_release_are_refused_with_both_files(demo: Path, patchctl: Patchctl) -> None:
    shutil.copy(demo / "stacks/demo.yaml", demo / "stacks/copy.yaml")
    (demo / "stacks/broken.yaml").write_text("release: demo\n\tx: [")
    before = digest_of(demo)
    ran = patchctl(*BUILD, cwd=demo)
    assert ran.code == 3
    said = r"stacks/demo\.yaml:\d+:10: stacks/copy\.yaml has the release demo too; give one of them another name\n"
    assert re.fullmatch(f"(?:error: )?{said}", ran.stderr)
    assert digest_of(demo) == before


# --- building ---------------------------------------------------------------------------------------------------------


def test_a_compile_error_is_quoted_with_its_place(demo: Path, patchctl: Patchctl) -> None:
    made_patch(demo, "broken", {"tools/server/server.cpp": "int main( -> int mian;\nint main("})
    place = demo.parent / "work" / "tools/server/server.cpp"
    replace(place, "int mian;", "int mian = nonsense_here;")
    git(
        "-C", demo.parent / "work", "-c", "user.name=Ada", "-c", "user.email=a@b.c", "commit", "-qa", "--amend", "-mbad"
    )
    mail = git("-C", demo.parent / "work", "format-patch", *FORMAT, "--base=HEAD^", "-1")
    (demo / "patches" / "broken" / "b30.patch").write_bytes(mail)
    line = 1 + place.read_text().split("nonsense_here")[0].count("\n")
    ran = patchctl(*BUILD, cwd=demo)
    assert ran.code == 5, ran
    assert f"tools/server/server.cpp:{line}:" in ran.stderr
    assert "nonsense_here" in ran.stderr
    assert "gate failed" in ran.stderr, "what the stack touched is compiled first"
    assert not (demo / "out").exists()
    assert not (demo / EVIDENCE).exists()
    as_json = patchctl(*BUILD, "--json", cwd=demo)
    assert json.loads(as_json.stdout)["variants"]["release"]["state"] == "failed"


def test_a_second_build_starts_neither_git_nor_ninja_nor_a_test(
    built: BuiltDemo, patchctl: Patchctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = (built.root / EVIDENCE).read_bytes()
    before = COUNTER.processes
    monkeypatch.setattr("patchctl.process.run", None)
    monkeypatch.setattr("patchctl.process.started", None)
    ran = patchctl(*BUILD, cwd=built.root)
    assert ran.code == 0, ran
    assert COUNTER.processes == before
    assert re.search(r"release +up to date +\d+ tests passed +out/demo/release", ran.stdout)
    assert (built.root / EVIDENCE).read_bytes() == evidence


def test_a_build_says_what_it_is_made_of(built: BuiltDemo, patchctl: Patchctl) -> None:
    ran = patchctl(*BUILD, "--json", cwd=built.root)
    said = json.loads(ran.stdout)
    checked = json.loads(patchctl("check", "demo", "--json", cwd=built.root).stdout)
    assert said["result"] == checked["result"]
    assert said["identity"] == f"{checked['base']['commit'][:9]}-{checked['result']['tree'][:9]}"
    assert said["proven"] == {"release": True}
    info = json.loads((built.install / "build-info.json").read_bytes())
    assert (info["tree"], info["identity"]) == (said["result"]["tree"], said["identity"])
    shown = subprocess.run(
        [built.install / "bin" / "demo-cli", "--version"], capture_output=True, text=True, check=True
    )
    assert said["identity"] in shown.stdout + shown.stderr
    claims = json.loads((built.root / EVIDENCE).read_bytes())
    assert claims["result"] == said["result"]
    assert claims["variants"]["release"]["proven"] is True
    assert "result:" in (built.root / LOCK).read_text()


def test_a_part_of_the_patches_is_built_beside_the_release(built: BuiltDemo) -> None:
    """``--without fresh-sampler`` drops ``request-seed`` too, has its own folder, and no lock or evidence."""
    info = json.loads((built.unpatched / "build-info.json").read_bytes())
    whole = json.loads((built.install / "build-info.json").read_bytes())
    assert [patch["id"] for patch in info["patches"]] == []
    assert info["identity"] != whole["identity"]
    assert built.unpatched.parent.name == "demo-without-fresh-sampler+whole-characters"
    assert sorted(path.name for path in (built.root / "stacks").glob("demo*")) == [
        "demo.evidence.json",
        "demo.lock.yaml",
        "demo.yaml",
    ]


@pytest.fixture
def copied(built: BuiltDemo, tmp_path: Path) -> BuiltDemo:
    """The built demo in a place of its own: it may be changed."""
    shutil.copytree(built.root, tmp_path / "copied", symlinks=True)
    return BuiltDemo(tmp_path / "copied", built.cache)


def test_what_a_person_put_beside_the_binaries_is_moved_aside_with_a_warning(
    copied: BuiltDemo, patchctl: Patchctl
) -> None:
    (copied.install / "thesis.txt").write_text("x")
    (copied.install / "bin" / "demo-cli").unlink()
    ran = patchctl(*BUILD, cwd=copied.root)
    assert ran.code == 0, ran
    (aside,) = (copied.root / "out" / "demo").glob("release.aside-*")
    assert (aside / "thesis.txt").read_text() == "x"
    assert (copied.install / "bin" / "demo-cli").exists()
    assert [line for line in ran.stderr.splitlines() if "thesis" in line] == [
        f"warning: files in out/demo/release that no build put there were moved to out/demo/{aside.name}: thesis.txt"
    ]


def test_one_target_is_built_beside_the_release_and_proves_nothing(copied: BuiltDemo, patchctl: Patchctl) -> None:
    before = digest_of(copied.root)
    ran = patchctl(*BUILD, "--target", "demo-cli", "--json", cwd=copied.root)
    said = json.loads(ran.stdout)
    assert ran.code == 0, ran
    part = copied.root / "out" / "demo-target-demo-cli"
    assert said["variants"]["release"]["path"] == str(part / "release")
    assert [path.name for path in (part / "release" / "bin").iterdir()] == ["demo-cli"]
    assert said["proven"] == {"release": False}
    results = {it["test"]: (it["result"], it["detail"]) for it in said["results"]}
    assert results["says-what-it-is"][0] == "pass"
    assert results["server-boots"] == ("skip", "a server is not in this part build")
    shutil.rmtree(part)
    assert digest_of(copied.root) == before
    assert patchctl(*BUILD, "--target", "demo-cli", "--strict", cwd=copied.root).code == 10


def test_a_failed_build_takes_its_claim_from_the_evidence(copied: BuiltDemo, patchctl: Patchctl) -> None:
    replace(copied.root / "stacks/demo.yaml", "files: [models/]", "files: [nowhere/]")
    assert patchctl(*BUILD, cwd=copied.root).code == 5
    assert json.loads((copied.root / EVIDENCE).read_bytes())["variants"] == {}


# --- accidents --------------------------------------------------------------------------------------------------------


def start(demo: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "patchctl", *BUILD, *more],
        cwd=demo,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(pattern: str, folder: Path, process: subprocess.Popen[str], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None and not list(folder.glob(pattern)):
        time.sleep(0.01)


def workers(folder: Path) -> list[str]:
    """Return the command lines of processes that work in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str(folder) in os.fsdecode((entry / "cmdline").read_bytes()):
                found.append(os.fsdecode((entry / "cmdline").read_bytes()).replace("\0", " "))
    return found


def test_a_build_stopped_and_killed_again_and_again_is_finished_by_the_same_command(
    demo: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while compiling, kill -9 at several moments, two at once at the end; ccache is off to make it last."""
    monkeypatch.setenv("CCACHE_DISABLE", "1")
    cache = isolated / "cache"
    process = start(demo)
    wait_for("build/*/build/release/**/*.o", cache, process)
    os.killpg(process.pid, signal.SIGINT)
    out, said = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, ""), said
    assert said.splitlines()[-1] == "interrupted; the same command goes on where this one stopped"
    assert "Traceback" not in said
    assert workers(cache) == []
    assert not (demo / "out").exists()

    for moment in ("store/*.git", "build/*/src/*", "build/*/build/release/build.ninja", "build/*/build/release/**/*.o"):
        process = start(demo)
        wait_for(moment, cache, process)
        time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    both = [start(demo), start(demo)]
    said_by_both = [one.communicate(timeout=120) for one in both]
    codes = sorted(one.returncode for one in both)
    assert codes in ([0, 0], [0, 9]), said_by_both
    if codes == [0, 9]:
        (refused,) = [err for one, (_, err) in zip(both, said_by_both, strict=True) if one.returncode == 9]
        assert re.search(r"error: the build of demo is in use by process \d+ on ", refused)
    done = start(demo)
    out, said = done.communicate(timeout=120)
    assert done.returncode == 0, said
    assert "up to date" in out
    assert sorted(path.name for path in (demo / "out" / "demo").iterdir()) == ["release"]


def limited(words: list[str], cwd: Path, blocks: int) -> subprocess.CompletedProcess[str]:
    """Run patchctl where no file may grow over ``blocks`` of 512 bytes or 1 KiB: as on a disk that is full."""
    script = 'ulimit -f "$1"; shift; exec "$@"'
    command = ["sh", "-c", script, "sh", str(blocks), sys.executable, "-m", "patchctl", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("blocks", [0, 1, 8, 40, 100])
def test_a_disk_that_is_full_is_told_in_one_line_and_nothing_is_half_written(
    blocks: int, demo: Path, patchctl: Patchctl
) -> None:
    before = digest_of(demo)
    ran = limited(["lock", "demo"], demo, blocks)
    if ran.returncode:
        assert (ran.returncode, ran.stderr.count("\n"), ran.stdout) == (9, 1, ""), ran
        assert digest_of(demo) == before
    assert blocks > 40 or ran.returncode
    assert patchctl("lock", "demo", cwd=demo).code == 0


@pytest.mark.parametrize("option", ["only", "without", "targets"])
def test_a_part_has_one_name_in_whatever_order_its_ids_are_given(option: str) -> None:
    import dataclasses

    from patchctl.cli.build import Options, label_of

    plain = Options((), (), (), (), (), None, keep_going=False, locked=False, strict=False, sandbox=False)
    one, other = (label_of("b1", dataclasses.replace(plain, **{option: ids})) for ids in (("b", "a"), ("a", "b", "a")))
    assert one == other != label_of("b1", plain)
