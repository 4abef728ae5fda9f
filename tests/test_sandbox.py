"""Hostile code in the sandbox: it tries, it is seen trying, and nothing outside changes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from patchctl import process
from patchctl.build.box import build_box
from patchctl.errors import PatchctlError
from patchctl.manifest.lockfile import lock_path
from patchctl.manifest.trust import require_committed
from patchctl.sandbox import (
    SYSTEM,
    USERS,
    Host,
    Sandbox,
    _judge,
    _tried,
    programs,
    remove_unsound,
    require_inside,
    require_sandbox,
    require_sound,
    this_host,
    try_early,
    why_not,
    wrapped,
)
from patchctl.series.source import AppliedPatch
from tests.series.world import World
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Patchctl = Callable[..., Any]

PLAIN = ("bwrap", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "true")
# Asked of bubblewrap itself: were patchctl's own answer believed, a box without walls would have no tests.
HOST_CAN = shutil.which("bwrap") is not None and subprocess.run(PLAIN, capture_output=True, check=False).returncode == 0
needs_sandbox = pytest.mark.skipif(not HOST_CAN, reason="bubblewrap cannot make namespaces on this machine")
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has boxes without a user namespace")
SLEEP = 3600 + os.getpid() % 1000  # seconds: what leftover processes are known by
# Every process starts another in each generation, all of which stay: 2,048 after eleven, were there no bound. In C, as
# a shell that is refused a process tries again for 15 seconds.
BOMB = """\
cat > bomb.c << 'END'
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **words) {
    int line[2], first = getpid();
    char byte;
    if (count != 3 || pipe2(line, O_CLOEXEC)) return 1;
    for (int left = atoi(words[1]); left; left--)
        if (fork() < 0) {
            if (write(line[1], "!", 1) < 0) return 1;
            break;
        }
    if (getpid() != first) {
        int log = open("/dev/null", O_RDWR);
        setsid(), dup2(log, 1), dup2(log, 2);
        return execlp("sleep", "sleep", words[2], NULL);
    }
    close(line[1]);
    puts(read(line[0], &byte, 1) ? "refused" : "unbounded");
    return 0;
}
END
cc -o bomb bomb.c || exit
"""


def left() -> list[str]:
    """Return the processes of this machine that an attack of this test run left behind."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"sleep", str(SLEEP).encode()]:
                found.append(entry.name)
    return found


def end(pids: list[str]) -> None:
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)


@pytest.fixture
def ear() -> Iterator[int]:
    """Listen on a port of this machine: what a network would reach."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


def inside(box: Sandbox, script: str, folder: Path, *words: str, seconds: float = 60) -> tuple[int, str]:
    """Run a shell script in the box; returns its status and what it said."""
    log = folder.parent / "log"
    log.unlink(missing_ok=True)
    line = box.wrap(["bash", "-c", script, "bash", *words], env=os.environ, cwd=folder)
    done = process.run(line, log=log, timeout=seconds)
    return done.status, log.read_text()


# --- one wall at a time -----------------------------------------------------------------------------------------------


@needs_sandbox
def test_where_bubblewrap_works_so_does_the_sandbox() -> None:
    assert why_not() == ""


def test_a_trial_that_was_begun_early_is_not_made_twice(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    made: list[int] = []
    host = this_host()

    def slow() -> Host:
        made.append(1)
        time.sleep(0.05)
        return replace(host, tools={})

    _tried.cache_clear()
    request.addfinalizer(_tried.cache_clear)
    monkeypatch.setattr("patchctl.sandbox.this_host", slow)
    try_early()
    while not made:
        time.sleep(0.001)
    assert "bwrap" in why_not()
    assert made == [1]


@needs_sandbox
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_where_sh_is_bash_the_trial_takes_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    host = this_host()  # a bash that may start no process tries again and again, for 15 seconds
    tools = {**host.tools, "sh": shutil.which("bash") or ""}
    monkeypatch.setattr("patchctl.sandbox.this_host", lambda: replace(host, tools=tools))
    before = time.monotonic()
    assert _tried.__wrapped__() == ""
    assert time.monotonic() - before < 4.5


@needs_sandbox
def test_what_is_not_named_is_not_there(own: Path, tmp_path: Path, isolated: Path) -> None:
    seen, hidden = tmp_path / "seen", tmp_path / "hidden"
    for folder in (seen, hidden):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    (isolated / "secret").write_text("secret")
    box = Sandbox(readable=(seen,), writable=(own,))
    script = 'cat "$1/file"; ls -A "$2" "$3" "$4" /root /home /run /var /srv /mnt; ls -A ~; echo'
    _, said = inside(box, script, own, str(seen), str(hidden), str(isolated), str(Path.home()))
    assert said.startswith("seen")
    assert said.count("No such file") == 9
    assert "secret" not in said
    assert "hidden\n" not in said


@needs_sandbox
def test_only_its_own_folder_can_be_written_and_what_it_writes_stays(own: Path, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "a.c").write_text("int a;\n")
    box = Sandbox(readable=(sources,), writable=(own,))
    places = '"$1/a.c" "$1/new" /usr/new /etc/new /new /bin/sh "$2"'
    script = f'for at in {places}; do echo x > "$at" && echo "wrote $at"; done'
    _, said = inside(box, script, own, str(sources), str(own / "mine"))
    assert [line for line in said.splitlines() if line.startswith("wrote")] == [f"wrote {own / 'mine'}"]
    assert (own / "mine").read_text() == "x\n"
    assert (sources / "a.c").read_text() == "int a;\n"
    assert sorted(path.name for path in sources.iterdir()) == ["a.c"]


@needs_sandbox
def test_its_network_has_nothing_in_it_but_itself(own: Path, ear: int) -> None:
    reach = f"exec 3<>/dev/tcp/127.0.0.1/{ear} && echo reached"
    assert subprocess.run(["bash", "-c", reach], capture_output=True, text=True, check=True).stdout == "reached\n"
    _, said = inside(Sandbox(writable=(own,)), f"{reach}; grep -o '^ *[a-z0-9]*:' /proc/net/dev", own)
    assert "reached" not in said
    assert said.split()[-1] == "lo:"


@needs_sandbox
def test_tokens_stay_outside_and_what_patchctl_sets_goes_in(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_TOKEN", "topsecret")
    monkeypatch.setenv("SSH_AUTH_SOCK", "topsecret")
    monkeypatch.setenv("MY_HARMLESS_NAME", "topsecret")
    monkeypatch.setenv("GGML_CUDA_DISABLE_GRAPHS", "1")
    log = own.parent / "log"
    box = Sandbox(writable=(own,), variables={"CCACHE_DIR": "/there"})
    script = "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'"
    line = box.wrap(["sh", "-c", script], env={**os.environ, "NINJA_STATUS": "[%f]"}, cwd=own)
    assert process.run(line, log=log).status == 0
    said = log.read_text()
    assert "topsecret" not in said
    for word in ("GGML_CUDA_DISABLE_GRAPHS=1", "NINJA_STATUS=[%f]", "CCACHE_DIR=/there", "HOME=/tmp/home"):
        assert word in said.splitlines()


@needs_sandbox
def test_a_fork_bomb_stops_at_the_bound_and_ends_with_the_box(own: Path) -> None:
    script = f"{BOMB}./bomb 9 {SLEEP}; set -- /proc/[0-9]*; echo $#"
    _, said = inside(Sandbox(writable=(own,), processes=60), script, own)
    assert said.split()[0] == "refused"
    assert 30 < int(said.split()[1]) <= 62
    assert left() == []


@needs_sandbox
def test_a_process_that_takes_all_memory_gets_none(own: Path) -> None:
    box = Sandbox(writable=(own,), memory=64 << 20)
    script = "head -c 100M /dev/zero | tail -c 100M | wc -c; cat /proc/self/oom_score_adj"
    _, said = inside(box, script, own)
    assert "exhausted" in said or "allocate" in said
    assert said.split()[-1] == "1000"  # the first that the kernel ends when the machine has no more
    _, roomy = inside(replace(box, memory=1 << 30), script, own)
    assert str(100 << 20) in roomy


@needs_sandbox
@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_nothing_is_left_running(how: str, own: Path) -> None:
    script = f"setsid sleep {SLEEP} & (trap '' TERM HUP INT; exec sleep {SLEEP}) & sleep 0.2; : > started; "
    if how == "ends":
        status, _ = inside(Sandbox(writable=(own,)), script + "exit 7", own)
        assert status == 7
    else:
        line = Sandbox(writable=(own,)).wrap(["bash", "-c", script + "wait"], env=os.environ, cwd=own)
        code = "import subprocess, sys; subprocess.run(sys.argv[1:])"
        parent = subprocess.Popen([sys.executable, "-c", code, *line])
        deadline = time.monotonic() + 20
        while not (own / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert left()
        parent.kill()
        parent.wait()
        while left() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert left() == []


@needs_sandbox
def test_nothing_can_be_mounted_inside_and_nobody_is_root(own: Path) -> None:
    script = "id -u; grep -E '^Cap[IPEA]|^NoNew' /proc/self/status; mount -t tmpfs x /tmp"
    _, said = inside(Sandbox(writable=(own,)), script, own)
    assert said.split()[0] != "0"
    assert [line.split()[1] for line in said.splitlines() if line.startswith(("Cap", "No"))] == [*["0" * 16] * 4, "1"]
    assert "mount" in said.splitlines()[-1]


@needs_sandbox
@pytest.mark.parametrize("root", [pytest.param(True, marks=only_root), False])
def test_no_second_namespace_can_be_made_inside(root: bool, own: Path) -> None:
    words = ("unshare", "--user", "echo", "made")
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "made\n"
    box = Sandbox(writable=(own,))
    _, said = inside(replace(box, host=replace(box.host, root=root)), " ".join(words), own)
    assert said.startswith("unshare: ")


# --- the command line -------------------------------------------------------------------------------------------------


HOST = Host({name: f"/t/{name}" for name in ("bwrap", "nsenter", "sh")}, False, 8 << 30, 4)


def test_the_command_line_is_a_value() -> None:
    box = Sandbox(host=HOST).also(readable=[Path("/a/b/c"), Path("/a")], writable=[Path("/a/b")])
    line = box.command(["ninja", Path("/x")], env={}, cwd=Path("/a/b"))
    assert line == box.command(["ninja", Path("/x")], env={}, cwd=Path("/a/b"))
    assert line[-2:] == ["ninja", "/x"]
    binds = [(word, line[at + 1]) for at, word in enumerate(line) if word in {"--bind", "--ro-bind"}]
    assert [entry for entry in binds if entry[1].startswith("/a")] == [
        ("--ro-bind", "/a"),
        ("--bind", "/a/b"),
        ("--ro-bind", "/a/b/c"),
    ]
    assert {
        "--unshare-user",
        "--disable-userns",
        "--unshare-net",
        "--die-with-parent",
        "--as-pid-1",
        "--remount-ro",
    } <= set(line)
    assert line[-5:-2] == ["768", "-v", str(4 << 20)]


def test_what_a_folder_above_brings_along_is_not_mounted_again() -> None:
    box = Sandbox(host=HOST, readable=(Path("/a"), Path("/a/b"), Path("/w/r/s"), Path("/w/r"), Path("/usr/share")))
    line = box.also(writable=[Path("/w"), Path("/w/x"), Path("/a/w"), Path("/a/w/r")]).command(
        ["true"], env={}, cwd=Path("/")
    )
    binds = [(word, line[at + 1]) for at, word in enumerate(line) if word in {"--bind", "--ro-bind"}]
    assert [entry for entry in binds if entry[1] not in SYSTEM] == [
        ("--ro-bind", "/a"),
        ("--bind", "/w"),
        ("--bind", "/a/w"),
        ("--ro-bind", "/w/r"),
    ]


def test_root_becomes_a_user_without_account_the_same_for_boxes_that_share_a_folder() -> None:
    box = Sandbox(host=replace(HOST, root=True), writable=(Path("/a"),))
    line = box.command(["true"], env={}, cwd=Path("/a"))
    assert "--unshare-user" not in line
    at = line.index("/t/nsenter")
    assert line[at:] == [
        "/t/nsenter",
        "--root=/box",
        "--wd=/box/a",
        f"--setuid={box.user}",
        f"--setgid={box.user}",
        "--",
        "true",
    ]
    assert box.user in USERS
    assert box.also(writable=[Path("/c")]).user == box.user
    assert len({Sandbox(writable=(Path(f"/{at}"),)).user for at in range(20)}) > 15


def test_graphics_cards_are_there_only_when_asked_for() -> None:
    box = Sandbox(host=HOST)
    assert "--dev-bind" not in box.command(["true"], env={}, cwd=Path("/"))
    line = box.also(devices=True).command(["true"], env={}, cwd=Path("/"))
    assert line[-4:-1] == ["768", "-d", str(4 << 20)]


def test_without_a_box_words_stay_as_they_are() -> None:
    assert wrapped(None, ["a", Path("b")], env={}, cwd=Path("/")) == ["a", Path("b")]


def test_a_home_folder_is_never_the_place_of_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    places = ["bin/gcc", ".local/bin/gcc", "conda/bin/gcc"]
    for name in places:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    found = programs([tmp_path / name for name in places] + [Path("/usr/bin/cc"), None])
    assert found == sorted([tmp_path / "bin/gcc", tmp_path / ".local/bin/gcc", tmp_path / "conda"])


# --- what is left in the folder ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["link", "pipe", "rights", "folder link"])
def test_what_would_turn_on_its_reader_is_refused_by_name(what: str, own: Path, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    (sources / "deep").mkdir(parents=True)
    (own / "a").write_text("a")
    (own / "fine").symlink_to("a")
    (own / "into-sources").symlink_to(sources / "deep")
    require_sound(own, [sources])
    path = own / "sub" / "bad"
    path.parent.mkdir()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "rights":
        path.touch()
        path.chmod(0o4755)
    else:
        path.symlink_to("../../log" if what == "link" else "/etc")
    with pytest.raises(PatchctlError, match="sub/bad") as refused:
        require_sound(own, [sources])
    assert refused.value.exit_code == 8
    remove_unsound(own, [sources])
    assert not own.exists()


def test_a_product_outside_of_the_build_folder_is_refused(own: Path, tmp_path: Path) -> None:
    (own / "app").touch()
    require_inside(own, [own / "app"])
    (tmp_path / "own-not").touch()
    for path in (own / ".." / "own-not", tmp_path / "own-not"):
        with pytest.raises(PatchctlError, match="lies outside"):
            require_inside(own, [path])


# --- where there is none ----------------------------------------------------------------------------------------------


def test_a_machine_without_bubblewrap_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path))
    for cached in (this_host, _tried):
        cached.cache_clear()
        request.addfinalizer(cached.cache_clear)
    with pytest.raises(PatchctlError, match=r"bwrap\S* .*not found; apt install bubblewrap.*trust the code") as refused:
        require_sandbox()
    assert refused.value.exit_code == 9
    assert Host({}, root=True, memory=0, processors=1).missing == ["bwrap", "sh", "nsenter"]
    assert Host({}, root=False, memory=0, processors=1).missing == ["bwrap", "sh"]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ('exec "$@"', "there is a network"),
        ("echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1", "apparmor_restrict_unprivileged_userns"),
        ("exit 3", "bwrap ended with 3"),
    ],
)  # fmt: skip
def test_a_bubblewrap_that_makes_no_walls_is_none(
    script: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift\n' + script + "\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for cached in (this_host, _tried):
        cached.cache_clear()
        request.addfinalizer(cached.cache_clear)
    host = replace(this_host(), root=False)  # root's box is not even there without one
    monkeypatch.setattr("patchctl.sandbox.this_host", lambda: host)
    assert why in why_not().replace("the home folder is visible", "there is a network")


def test_a_box_that_bounds_no_processes_is_none() -> None:
    done = process.Outcome(0, 0.1, 0.1)
    assert _judge(done, ["sound", "processes are not bounded"]) == "processes are not bounded"
    assert _judge(replace(done, status=2), ["sound", "sh: 0: Cannot fork"]) == ""


# --- the whole way: patchctl build --sandbox --------------------------------------------------------------------------

ATTACK = """\
test -e {home}/secret && : > home
env | grep -q topsecret && : > token
(echo bad > {outside}/written) 2> /dev/null && : > outside
test -n "$1" && (echo bad >> "$1/app.c") 2> /dev/null && : > source
(exec 3<>/dev/tcp/127.0.0.1/{port}) 2> /dev/null && : > network
test -z "$1" && test -e {ccache} && : > ccache
setsid sleep {sleep} > /dev/null 2>&1 < /dev/null &
: > tried
echo broke out: $(ls home token outside source network ccache 2> /dev/null)
true
"""
PEACEFUL = "int main(void) { return 0; }\n"
PROJECT = "cmake_minimum_required(VERSION 3.20)\nproject(small C)\nadd_executable(app app.c)\n"
RUN = "COMMAND bash ${CMAKE_SOURCE_DIR}/attack.sh ${CMAKE_SOURCE_DIR}"
CONFIGURE = f"execute_process({RUN} WORKING_DIRECTORY ${{CMAKE_BINARY_DIR}})\n"
COMPILE = (
    f"add_custom_command(OUTPUT tried {RUN})\n"
    "set_source_files_properties(app.c PROPERTIES OBJECT_DEPENDS ${CMAKE_BINARY_DIR}/tried)\n"
)
TEST = "#include <stdlib.h>\nint main(void) {{ return system({script}) != 0; }}\n"
WALLS = {"home", "token", "outside", "network"}


class Hostile:
    """A workspace whose one patch attacks when it is configured, compiled or tested."""

    def __init__(self, folder: Path, home: Path, port: int) -> None:
        self.world = World(folder)
        self.outside = folder / "outside"
        self.outside.mkdir()
        (home / "secret").write_text("secret")
        places = {"home": home, "outside": self.outside, "ccache": folder / "cache" / "ccache"}
        self.script = ATTACK.format(**places, port=port, sleep=SLEEP)

    def write(self, when: str, script: str = "") -> Path:
        """Write upstream, patch and stack; returns the workspace."""
        script = script or self.script
        self.world.commit({"CMakeLists.txt": PROJECT, "app.c": PEACEFUL})
        files = {
            "configure": {"CMakeLists.txt": PROJECT + CONFIGURE, "attack.sh": script},
            "compile": {"CMakeLists.txt": PROJECT + COMPILE, "attack.sh": script},
            "test": {"app.c": TEST.format(script=json.dumps(f"exec bash -c '{script}'"))},
        }[when]
        self.world.patch("evil", files)
        stack = self.world.stack("evil")
        build = "targets: [app], cmake: {GGML_NATIVE: false}"
        test = "tests: [{name: runs, command: {run: ['{bin}/app']}}]\n"
        stack.write_text(stack.read_text().replace("targets: [all]", build) + test)
        return self.world.workspace


@pytest.fixture
def hostile(tmp_path: Path, isolated: Path, ear: int, monkeypatch: pytest.MonkeyPatch) -> Hostile:
    made = Hostile(tmp_path, isolated, ear)
    monkeypatch.setenv("PATCHCTL_MIRROR", made.world.mirror)
    monkeypatch.setenv("PATCHCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GITHUB_TOKEN", "topsecret")
    return made


def broke(cache: Path) -> set[str]:
    """Return what the attack says in the logs that it got through; it must have said something."""
    said = [line for path in cache.glob("logs/**/*.log") for line in path.read_text().splitlines()]
    told = [line.partition("broke out:")[2].split() for line in said if "broke out:" in line and "echo" not in line]
    assert told, "the attack did not run"
    return {word for words in told for word in words}


@needs_sandbox
@pytest.mark.parametrize("when", ["configure", "compile", "test"])
def test_a_hostile_patch_is_harmless_in_the_sandbox_and_only_there(
    when: str, hostile: Hostile, tmp_path: Path, patchctl: Patchctl
) -> None:
    workspace = hostile.write(when)
    ran = patchctl("build", "s", "--sandbox", cwd=workspace)
    assert ran.code == 0, ran
    assert broke(tmp_path / "cache") == set()
    assert list(hostile.outside.iterdir()) == []
    assert left() == []
    shutil.rmtree(tmp_path / "cache")
    shutil.rmtree(workspace / "out")
    patchctl("build", "s", cwd=workspace)
    end(left())
    # The same attack, trusted: it was no toy.
    assert broke(tmp_path / "cache") >= WALLS
    assert (hostile.outside / "written").exists()


@needs_sandbox
def test_a_hostile_probe_is_harmless_when_status_asks_it_and_only_then(
    hostile: Hostile, tmp_path: Path, patchctl: Patchctl
) -> None:
    workspace = hostile.write("configure", "echo never")
    folder = workspace / "patches" / "evil"
    (folder / "attack.sh").write_text(hostile.script)
    (folder / "probe.yaml").write_text("schema: 1\ncommand: {run: [bash, '{here}/attack.sh']}\n")
    assert patchctl("status", "s", "--probe", cwd=workspace).code == 0
    assert broke(tmp_path / "cache") == set()
    assert left() == []
    shutil.rmtree(tmp_path / "cache")
    shutil.rmtree(workspace / "out")
    assert patchctl("status", "s", "--probe", "--no-sandbox", cwd=workspace).code == 0
    end(left())
    assert broke(tmp_path / "cache") >= WALLS


@needs_sandbox
def test_a_fork_bomb_in_a_build_ends_with_the_build(hostile: Hostile, tmp_path: Path, patchctl: Patchctl) -> None:
    # It fails, for a compiler that is refused a process tries again for half a minute.
    script = f"{BOMB}echo broke out: $(./bomb 11 {SLEEP})\nexit 1\n"
    assert patchctl("build", "s", "--sandbox", cwd=hostile.write("compile", script)).code == 5
    assert broke(tmp_path / "cache") == {"refused"}
    assert left() == []


@needs_sandbox
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("ln -s /etc/passwd extra; : > tried", "extra, a link that leads out of its folder"),
        ("mkfifo .ninja_deps2; : > tried", "neither file nor folder"),
        (
            'sed -i \'s|"path" : "app"|"path" : "/etc/passwd"|\' .cmake/api/v1/reply/target-app*; : > tried',
            "which lies outside",
        ),
        ("rm -rf .cmake; ln -s / .cmake; : > tried", ".cmake, a link that leads out"),
    ],
)
def test_what_a_hostile_build_leaves_for_its_reader_is_refused(
    script: str, said: str, hostile: Hostile, patchctl: Patchctl
) -> None:
    workspace = hostile.write("compile", script)
    ran = patchctl("build", "s", "--sandbox", cwd=workspace)
    assert (ran.code, said in ran.stderr) == (8, True), ran
    assert not (workspace / "out").exists()


@needs_sandbox
def test_what_runs_unattended_is_in_a_committed_lock(hostile: Hostile, patchctl: Patchctl) -> None:
    workspace = hostile.write("configure", "echo ran")
    command = ("build", "s", "--sandbox", "--locked")
    assert patchctl("lock", "s", cwd=workspace).code == 0
    lock = workspace / "stacks" / "s.lock.yaml"
    assert_refused(patchctl(*command, cwd=workspace), "is not committed as it is")
    git("-C", workspace, "init", "-q")
    assert_refused(patchctl(*command, cwd=workspace), "is not committed as it is")
    commit(workspace)
    assert patchctl(*command, cwd=workspace).code == 0
    said = lock.read_text()
    lock.write_text(said + "# a word more\n")
    assert_refused(patchctl(*command, cwd=workspace), "is not committed as it is")
    lock.write_text(said)
    revision = next((workspace / "patches" / "evil").glob("*.patch"))
    revision.write_bytes(revision.read_bytes().replace(b"evil it", b"evil it, again"))
    assert_refused(patchctl(*command, cwd=workspace), "out of date")


def commit(workspace: Path) -> None:
    git("-C", workspace, "add", "stacks", "patches")
    git("-C", workspace, "-c", "user.name=T", "-c", "user.email=t@t", "commit", "-q", "-m", "all")


def assert_refused(ran: Any, why: str) -> None:
    assert (ran.code, why in ran.stderr) == (3, True), ran


def test_a_revision_that_the_committed_lock_does_not_list_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    base = world.commit({"a.c": "int a;\n"})
    stack = world.stack("one")
    entry = {"id": "one", "revision": "b1.patch", "sha256": "5" * 64, "patch_id": "6" * 40, "commit": "7" * 40}
    result = {"commit": "7" * 40, "tree": "8" * 40}
    lock = {"schema": 1, "base": {"commit": base, "build": 1, "tree": "9" * 40}, "patches": [entry]}
    lock_path(stack).write_text(json.dumps({**lock, "result": result}))
    (world.workspace / "patches").mkdir()
    git("-C", world.workspace, "init", "-q")
    commit(world.workspace)
    require_committed(stack, [("one", "5" * 64)])
    for patch in (("one", "4" * 64), ("two", "5" * 64)):
        with pytest.raises(PatchctlError, match=f"does not list these revisions: {patch[0]}"):
            require_committed(stack, [patch])


@needs_sandbox
def test_the_compiler_cache_belongs_to_one_set_of_patches(tmp_path: Path) -> None:
    def patches(*shas: str) -> list[AppliedPatch]:
        return [AppliedPatch(f"p{sha}", "b1.patch", sha * 64, "clean") for sha in shas]

    folders = {build_box(tmp_path, patches(*shas)).variables["CCACHE_DIR"] for shas in ("12", "1", "21", "13")}
    assert len(folders) == 4
    box, reader = (build_box(tmp_path, patches("1"), locked_base=locked) for locked in (True, False))
    assert box.variables["CCACHE_DIR"] == reader.variables["CCACHE_DIR"]
    assert (len(box.writable), len(reader.writable), len(reader.readable)) == (1, 0, 1)


def test_a_machine_without_a_sandbox_refuses_before_anything_runs(
    hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    workspace = hostile.write("configure")
    monkeypatch.setattr("patchctl.sandbox.why_not", lambda: "bwrap not found; apt install bubblewrap")
    ran = patchctl("build", "s", "--sandbox", cwd=workspace)
    assert (ran.code, "no sandbox on this machine: bwrap not found; apt install bubblewrap" in ran.stderr) == (9, True)
    assert not list((tmp_path / "cache").glob("logs/**/*.log"))
