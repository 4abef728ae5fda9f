"""One variant from a checkout to binaries, with real CMake, Ninja and compilers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from patchctl import process
from patchctl.build import install
from patchctl.build.variant import build_variant, find_built
from patchctl.errors import Code, PatchctlError
from tests.build.project import MINI, Bench, contents, program

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = MINI | {"greet.cpp": '#include "greet.h"\nint greet() {\n    return nothing;\n}\n'}


def hello(folder: Path) -> str:
    return subprocess.run([folder / "bin" / "hello"], capture_output=True, text=True, check=True).stdout.strip()


def test_binaries_run_say_who_they_are_and_can_be_moved(built_once: Bench, tmp_path: Path) -> None:
    out = built_once.root / "out" / "b12" / "cpu"
    moved = tmp_path / "elsewhere"
    shutil.copytree(out, moved, symlinks=True)
    source = built_once.job(MINI).source
    assert hello(moved) == f"42 12 {source.identity}"


def test_libraries_come_with_their_links_modules_beside_programs_and_nothing_else(built_once: Bench) -> None:
    out = built_once.root / "out" / "b12" / "cpu"
    assert sorted(contents(out)) == [
        "bin/hello",
        "bin/libplug.so",
        "lib/libdeep.so",
        "lib/libgreet.so",
        "lib/libgreet.so.1",
        "lib/libgreet.so.1.2",
        "tools/convert.py",
        "tools/deep/more.py",
    ]
    assert str((out / "lib" / "libgreet.so.1").readlink()) == "libgreet.so.1.2"
    assert oct(out.stat().st_mode)[-3:] == "755"


def test_build_info_says_what_was_built_from_what(built_once: Bench) -> None:
    job = built_once.job(MINI)
    info = json.loads((job.target / "build-info.json").read_text())
    assert info["build_key"] == job.key
    assert (info["release"], info["variant"], info["build_number"]) == ("b12", "cpu", 12)
    assert (info["base"], info["tree"], info["identity"]) == (job.source.base, job.source.tree, job.source.identity)
    assert info["patches"] == [{"id": "fix", "revision": "b12.patch", "sha256": "5" * 64, "outcome": "clean"}]
    assert info["cmake"]["CMAKE_BUILD_TYPE"] == "Release"
    assert info["toolchain"]["cxx"]
    assert {file["path"] for file in info["files"]} == set(contents(job.target))
    assert set(info["durations"]) == {"configure", "compile", "install"}


def test_a_second_build_starts_no_process(built_once: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    job = built_once.job(MINI)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    built = build_variant(job, built_once.ledger)
    assert not built.fresh
    assert built.info["build_key"] == job.key


def test_a_missing_or_shortened_file_or_a_lost_ledger_entry_is_no_build(bench: Bench) -> None:
    bench.build(MINI)
    job = bench.job(MINI)
    kept = bench.ledger.get("build", job.key)
    bench.ledger.forget("build", job.key)
    assert find_built(job, bench.ledger) is None
    bench.ledger.put("build", job.key, kept)
    assert find_built(job, bench.ledger) is not None
    (job.target / "tools" / "convert.py").write_text("")
    assert find_built(job, bench.ledger) is None
    assert bench.build(MINI).fresh
    (job.target / "bin" / "hello").unlink()
    assert find_built(job, bench.ledger) is None
    assert bench.build(MINI).fresh
    assert bench.steps() == ["compile", "install"]


def test_a_replaced_file_of_the_same_size_is_no_build(bench: Bench) -> None:
    bench.build(MINI)
    job = bench.job(MINI)
    path = job.target / "bin" / "hello"
    stat, content = path.stat(), path.read_bytes()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert find_built(job, bench.ledger) is None
    path.write_bytes(content)
    assert find_built(job, bench.ledger) is not None
    link = job.target / "lib" / "libgreet.so"
    link.unlink()
    link.symlink_to("libdeep.so")
    assert find_built(job, bench.ledger) is None
    assert bench.build(MINI).fresh
    assert hello(job.target).startswith("42 ")


def test_files_are_read_only_when_their_times_differ(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.build(MINI)
    job = bench.job(MINI)
    read: list[Path] = []
    real = install.sha256_of

    def counted(path: Path) -> str:
        read.append(path)
        return real(path)

    monkeypatch.setattr(install, "sha256_of", counted)
    assert find_built(job, bench.ledger) is not None
    assert read == []
    os.utime(job.target / "bin" / "hello")
    assert find_built(job, bench.ledger) is not None
    assert read == [job.target / "bin" / "hello"]
    assert find_built(job, bench.ledger) is not None
    assert len(read) == 1


def test_another_base_with_the_same_tree_is_linked_again_with_its_own_identity(bench: Bench) -> None:
    first = hello(bench.build(MINI).path)
    moved = replace(bench.job(MINI).source, base="b" * 40, build_number=13)
    built = bench.build(MINI, source=moved)
    assert built.fresh
    assert hello(built.path) == f"42 13 {moved.identity}" != first
    assert bench.compiled() <= 4


def test_what_others_put_beside_the_binaries_is_told(bench: Bench) -> None:
    path = bench.job(MINI).target / "thesis.txt"
    path.parent.mkdir(parents=True)
    path.write_text("x")
    (aside,) = bench.build(MINI).aside
    assert (aside.name, aside.read_text(), path.exists()) == ("thesis.txt", "x", False)


def test_progress_counts_to_the_end_with_times(bench: Bench) -> None:
    bench.build(MINI)
    last = [progress for progress in bench.seen if progress.step == "compile"][-1]
    assert last.done == last.total > 5
    assert last.variant == "cpu"
    assert last.eta == 0
    assert any(progress.eta for progress in bench.seen)


def test_two_variants_of_one_checkout_stand_beside_each_other(bench: Bench) -> None:
    assert hello(bench.build(MINI).path).startswith("42 ")
    assert hello(bench.build(MINI, variant="loud").path).startswith("1000 ")
    assert not build_variant(bench.job(MINI), bench.ledger).fresh


def test_the_first_compiler_error_is_quoted_with_its_place_count_and_log(bench: Bench) -> None:
    files = BROKEN | {"deep.c": "int deep(void) { return }\n"}
    with pytest.raises(PatchctlError) as caught:
        bench.build(files, keep_going=True, jobs=1)
    message = caught.value.message
    assert caught.value.exit_code == Code.BUILD
    assert "compile failed: " in message
    assert any(f"{place}: error: " in message for place in ("greet.cpp:3:12", "deep.c:1:25"))
    assert "2 steps failed" in message
    log = bench.root / "logs" / "cpu.compile.log"
    assert str(log) in message
    assert "greet.cpp" in log.read_text()


def test_without_keep_going_the_first_failure_ends_the_build(bench: Bench) -> None:
    with pytest.raises(PatchctlError, match=r"1 step failed"):
        bench.build(BROKEN | {"deep.c": "int deep(void) { return }\n"}, jobs=1)


def test_after_a_failure_the_corrected_tree_is_built_without_compiling_the_rest_again(bench: Bench) -> None:
    with pytest.raises(PatchctlError):
        bench.build(BROKEN, keep_going=True)
    assert hello(bench.build(MINI).path).startswith("42 ")
    assert bench.compiled() <= 6


def test_the_gate_fails_before_anything_else_is_compiled(bench: Bench) -> None:
    with pytest.raises(PatchctlError) as caught:
        bench.build(BROKEN, touched=("greet.cpp", "README.md"))
    assert caught.value.message.startswith("gate failed: greet.cpp:3:12: error: ")
    assert "    3 |     return nothing;" in caught.value.message
    assert bench.steps() == ["configure", "gate"]


def test_a_touched_python_file_with_an_error_fails_before_cmake_runs(bench: Bench) -> None:
    files = MINI | {"tools/convert.py": "def broken(:\n    pass\n"}
    with pytest.raises(PatchctlError, match=r"gate failed: tools/convert\.py:1:12: error: invalid syntax") as caught:
        bench.build(files, touched=("tools/convert.py",))
    assert caught.value.exit_code == Code.BUILD
    assert bench.seen == []


def test_a_cmake_error_is_quoted_with_its_line(bench: Bench) -> None:
    files = MINI | {"CMakeLists.txt": MINI["CMakeLists.txt"] + 'message(FATAL_ERROR "no such backend")\n'}
    with pytest.raises(PatchctlError) as caught:
        bench.build(files)
    assert caught.value.exit_code == Code.BUILD
    assert "configure failed: CMakeLists.txt:20: no such backend" in caught.value.message
    assert "cpu.configure.log" in caught.value.message
    assert hello(bench.build(MINI).path).startswith("42 ")


def test_an_unknown_target_that_was_asked_for_is_a_usage_error_with_a_suggestion(bench: Bench) -> None:
    with pytest.raises(PatchctlError, match=r'no target "hallo"; did you mean "hello"') as caught:
        bench.build(MINI, targets=("hallo",))
    assert caught.value.exit_code == Code.USAGE


def test_other_targets_are_another_build(bench: Bench) -> None:
    built = bench.build(MINI, targets=("other",))
    assert sorted(path.name for path in (built.path / "bin").iterdir()) == ["other"]
    assert built.key != bench.job(MINI).key


def test_a_file_that_the_source_lacks_cannot_be_installed(bench: Bench) -> None:
    build = bench.job(MINI).build.model_copy(update={"files": ["nowhere.py"]})
    with pytest.raises(PatchctlError, match=r"no nowhere\.py to install"):
        bench.build(MINI, build=build)
    assert list((bench.root / "out" / "b12").iterdir()) == []


def test_a_missing_compiler_is_an_environment_error_by_name(bench: Bench) -> None:
    lacking = replace(bench.job(MINI).toolchain, cxx=None)
    with pytest.raises(PatchctlError, match=r"variant cpu needs a C\+\+ compiler; patchctl doctor") as caught:
        bench.build(MINI, toolchain=lacking)
    assert caught.value.exit_code == Code.ENVIRONMENT


def test_a_full_disk_while_compiling_is_an_environment_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    full = program(
        bench.root / "bin" / "cc",
        'case "$*" in *deep*) echo "fatal error: No space left on device" >&2; exit 1;; esac\nexec /usr/bin/cc "$@"',
    )
    monkeypatch.setenv("CC", str(full))
    with pytest.raises(PatchctlError, match=r"disk is full") as caught:
        bench.build(MINI)
    assert caught.value.exit_code == Code.ENVIRONMENT


def test_stray_flags_of_the_environment_change_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXXFLAGS", "-DSHOUT")
    monkeypatch.setenv("CMAKE_BUILD_TYPE", "Debug")
    assert hello(bench.build(MINI).path).startswith("42 ")


SLOW = 'sleep 1.5; exec /usr/bin/c++ "$@"'


def _start(bench: Bench) -> subprocess.Popen[bytes]:
    """Start a build of the mini project with a slow compiler in a process of its own; return once it compiles."""
    slow = program(bench.root / "bin" / "c++", f'case "$*" in *greet.cpp*) {SLOW};; esac\nexec /usr/bin/c++ "$@"')
    code = (
        "from pathlib import Path; from tests.build.project import *; "
        f"bench = Bench(Path({str(bench.root)!r})); bench.build(MINI)"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "CXX": str(slow), "CCACHE_DISABLE": "1"}
    )
    first = bench.root / "slot" / "build" / "cpu" / "CMakeFiles" / "greet.dir" / "parts" / "one.cpp.o"
    deadline = time.monotonic() + 60
    while not first.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if not first.exists():
        running.kill()
        running.wait()
    assert first.exists()
    return running


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_was_killed_is_resumed_and_gives_the_same(
    bench: Bench, sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = _start(bench)
    running.send_signal(sign)
    running.wait()
    assert not (bench.root / "out").exists() or not list((bench.root / "out").rglob("hello"))
    monkeypatch.setenv("CXX", str(bench.root / "bin" / "c++"))
    resumed = bench.build(MINI)
    assert bench.steps() == ["compile", "install"]
    assert hello(resumed.path).startswith("42 ")
    left = process.output(["pgrep", "-f", str(bench.root / "bin" / "c++")]) or ""
    assert left.strip() == ""
