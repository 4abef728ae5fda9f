"""Code that nobody reviewed runs in a box: no network, nothing to read but sources and system, one folder to write.

Bubblewrap makes it from the kernel's namespaces. What runs inside has a network with nothing in it, a home folder that
is empty, no tokens in its environment, a bounded number of processes each of which is bounded in size (not all
together: when memory runs out, they are the first that the kernel ends), and ends with patchctl. The kernel counts
processes by user and does not bound root's: root's box runs as a user without an account, another one for each place
of work, or the bomb in one box would starve what runs in all the others.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import site
import stat
import sys
import tempfile
import threading
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl import process
from patchctl.errors import Code, PatchctlError
from patchctl.files import disk_errors, remove_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

GIB = 1 << 30
TRYING = threading.Lock()
USERS = range(60578, 61184)  # without accounts on any system: https://systemd.io/UIDS-GIDS
TEMPORARY = "/tmp"  # noqa: S108 - the box's own, where nobody else can write
ACCOUNT = f"{TEMPORARY}/home"
OWN = {"HOME": ACCOUNT, "TMPDIR": TEMPORARY, "USER": "sandbox", "LOGNAME": "sandbox"}
TOOLS = ("bwrap", "sh")
ROOTS = "nsenter"  # what root's box needs besides
BELOW = "/box"  # where root's lies: who has a part of the files for a root gets no user namespace from the kernel
# What a compiler needs of the system. All else is not there: /home, /root, /run with its sockets, /var, /srv, /mnt.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
SETTINGS = ("alternatives", "group", "hosts", "ld.so.cache", "nsswitch.conf", "passwd")
GPU = ("nvidia", "dxg")  # how the device files of graphics cards begin
# The environment of a person or a CI system holds tokens under any name; only these names are known to hold none.
HARMLESS = re.compile(
    r"PATH|LANG|LANGUAGE|LC_\w+|TZ|TERM|NO_COLOR|LD_LIBRARY_PATH|LIBRARY_PATH|CPATH|\w*_INCLUDE_PATH|SOURCE_DATE_EPOCH"
    r"|CUDA_\w+|NVIDIA_\w+|OMP_\w+|GGML_\w+|LLAMA_\w+|PROBE_\w+|PYTHONHASHSEED|PYTHONDONTWRITEBYTECODE"
)
# The first process of the box ends when its child does, and with it, at once, whatever else was left running. Root's
# stays root: the kernel ends it when bubblewrap dies only if both are one user.
# When memory runs out, the kernel ends what is in the box before anything of the user's.
FIRST = """\
echo 1000 > /proc/self/oom_score_adj
if [ -n "$BASH_VERSION" ]; then processes=-u; else processes=-p; fi
ulimit -c 0 && ulimit $processes "$1" && ulimit "$2" "$3" || exit 126
shift 3
"$@"
exit $?
"""
# The last line starts one process in another: a shell that may start no more tries again for 15 seconds if it is bash.
TRIAL = """\
test ! -e "$1" || { echo 'the home folder is visible'; exit 1; }
! (: > "$2/written") 2> /dev/null || { echo 'the system can be written'; exit 1; }
while read -r name rest; do case $name in lo:) ;; *:) echo 'there is a network'; exit 1 ;; esac; done < /proc/net/dev
: > "$3/written" || { echo 'its own folder cannot be written'; exit 1; }
echo sound
exec timeout 5 timeout 5 timeout 5 timeout 5 echo 'processes are not bounded'
"""


@dataclass(frozen=True)
class Host:
    """What of this machine a box depends on: its programs by name, whether patchctl is root, its memory in bytes."""

    tools: Mapping[str, str]
    root: bool
    memory: int
    processors: int

    @property
    def missing(self) -> list[str]:
        """Return the programs that a box needs and that are not here."""
        return [name for name in (*TOOLS, *((ROOTS,) if self.root else ())) if name not in self.tools]


@functools.cache
def this_host() -> Host:
    """Return this machine."""
    found = {name: path for name in (*TOOLS, ROOTS) if (path := shutil.which(name))}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Host(found, os.geteuid() == 0, memory, os.cpu_count() or 1)


@dataclass(frozen=True)
class Sandbox:
    """A box: the paths that it may read and write beside the system, and its bounds.

    ``processes`` counts threads too; ``memory`` is what one process may hold, in bytes, 0 for what the machine allows;
    ``devices`` lets it use graphics cards; ``variables`` are set inside; ``tell`` is the number of an open file that
    bubblewrap tells which process is its first, and closes.
    """

    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    processes: int = 0
    memory: int = 0
    devices: bool = False
    tell: int | None = None
    host: Host = field(default_factory=this_host)

    @property
    def user(self) -> int:
        """Return who root becomes: boxes that write the same folder first are the same user, others hardly ever."""
        place = os.fspath(self.writable[0]) if self.writable else ""
        return USERS[zlib.crc32(os.fsencode(place)) % len(USERS)]

    def also(
        self,
        *,
        readable: Iterable[Path] = (),
        writable: Iterable[Path] = (),
        variables: Mapping[str, str] | None = None,
        devices: bool | None = None,
    ) -> Sandbox:
        """Return a box that may read and write these besides."""
        return replace(
            self,
            readable=(*self.readable, *readable),
            writable=(*self.writable, *writable),
            variables={**self.variables, **(variables or {})},
            devices=self.devices if devices is None else devices,
        )

    def command(self, words: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path) -> list[str]:
        """Return the command line that runs ``words`` inside, in the folder ``cwd``. Changes nothing.

        Of ``env`` goes in what patchctl set itself and what is known to hold no secret.
        """
        tools, inside = self.host.tools, {**_known(env, os.environ), **self.variables, **OWN}
        return [
            tools["bwrap"],
            *(() if self.tell is None else ("--info-fd", str(self.tell))),
            "--clearenv",
            *(word for name, value in sorted(inside.items()) for word in ("--setenv", name, value)),
            *self._namespaces(),
            *_system(self._below),
            *self._mounts(),
            *("--remount-ro", "/", "--chdir", f"{self._below}{cwd}", "--"),
            *(tools["sh"], "-c", FIRST, "sh"),
            *self._bounds(),
            *self._becomes(cwd),
            *(os.fspath(word) for word in words),
        ]

    def wrap(self, words: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path) -> list[str]:
        """Return ``command``'s line, having handed the writable folders to the user that the box runs as."""
        if self.host.root:
            for folder in self.writable:
                _hand_over(folder, self.user)
        return self.command(words, env=env, cwd=cwd)

    def _namespaces(self) -> list[str]:
        apart = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        # Root needs no user namespace to make the others, and in one of its own it could not become nobody.
        user = [] if self.host.root else ["--unshare-user", "--disable-userns"]
        return [*apart, *user, "--hostname", "sandbox", "--die-with-parent", "--as-pid-1"]

    @property
    def _below(self) -> str:
        return BELOW if self.host.root else ""

    def _mounts(self) -> list[str]:
        to = self._below
        words = ["--proc", f"{to}/proc", *(("--symlink", f"{to}/proc", "/proc") if to else ()), "--dev", f"{to}/dev"]
        words += ["--size", str(max(self.host.memory // 4, GIB)), "--perms", "1777", "--tmpfs", f"{to}{TEMPORARY}"]
        words += ["--perms", "0777", "--dir", f"{to}{ACCOUNT}"]
        words += [word for path in _devices() for word in ("--dev-bind", path, f"{to}{path}")] if self.devices else []
        bound = [(path, "--ro-bind") for path in self.readable] + [(path, "--bind") for path in self.writable]
        entries = _needed(sorted({(place, how) for path, how in bound for place in _places(path)}, key=_depth))
        # What bubblewrap makes by itself on the way to a folder, only its owner may pass.
        way = {part for place, _ in entries for part in _parents(place)} - {TEMPORARY}
        words += [word for part in sorted(way) for word in ("--dir", f"{to}{part}")]
        # A folder before what lies in it; of one path named twice the one that may be written comes last.
        return [*words, *(word for place, option in entries for word in (option, place, f"{to}{place}"))]

    def _bounds(self) -> list[str]:
        """Return what the first process is told: how many processes, which option of ulimit, KiB."""
        count = self.processes or 512 + 64 * self.host.processors
        memory = self.memory or max(self.host.memory // 2, 2 * GIB)
        # A graphics card's driver reserves more addresses than there is memory, and uses few of them.
        return [str(count), "-d" if self.devices else "-v", str(memory // 1024)]

    def _becomes(self, cwd: Path) -> list[str]:
        if not self.host.root:
            return []
        place = (f"--root={BELOW}", f"--wd={BELOW}{cwd}")
        return [self.host.tools[ROOTS], *place, f"--setuid={self.user}", f"--setgid={self.user}", "--"]


def wrapped(
    sandbox: Sandbox | None, words: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path
) -> list[str | Path]:
    """Return ``words``, inside the box if there is one."""
    return list(words) if sandbox is None else [*sandbox.wrap(words, env=env, cwd=cwd)]


def _known(env: Mapping[str, str], inherited: Mapping[str, str]) -> dict[str, str]:
    """Return of ``env`` what differs from what patchctl was started with, and what is known to hold no secret."""
    return {
        name: value
        for name, value in env.items()
        if inherited.get(name) != value or (HARMLESS.fullmatch(name) and value)
    }


@functools.cache
def _system(to: str) -> list[str]:
    words = ["--dir", to] if to else []
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink():
            words += ["--symlink", os.fspath(path.readlink()), f"{to}{name}"]
        elif path.is_dir():
            words += ["--ro-bind", name, f"{to}{name}"]
        if to and path.is_dir():  # what starts the rest is found without
            words += ["--symlink", f"{to}{name}", name]
    words += ["--dir", f"{to}/etc"]
    for name in SETTINGS:
        words += ["--ro-bind-try", f"/etc/{name}", f"{to}/etc/{name}"]
    return words


def _devices() -> list[str]:
    return sorted(str(path) for path in Path("/dev").iterdir() if path.name.startswith(GPU))


def _places(path: Path) -> tuple[str, ...]:
    """Return the path, and where it leads: tools may use either name."""
    return tuple(dict.fromkeys((os.fspath(path.absolute()), os.path.realpath(path))))


def _needed(entries: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the entries that none above them brings along: each mount makes bubblewrap read all there are."""
    how = dict.fromkeys((name for name in SYSTEM if Path(name).is_dir()), "--ro-bind")
    needed = []
    for place, option in entries:
        above = next((part for part in _parents(place) if part in how), "")
        if how.get(above) != option or place in how:
            needed.append((place, option))
            how[place] = option
    return needed


def _parents(place: str) -> list[str]:
    """Return the folders above a place, the nearest first, without the root."""
    parts = place.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts) - 1, 1, -1)]


def _depth(entry: tuple[str, str]) -> tuple[int, str, bool]:
    place, option = entry
    return place.count("/"), place, option == "--bind"


def programs(paths: Iterable[Path | None]) -> list[Path]:
    """Return what has to be readable so that these programs run: the folder above ``bin``, or the file itself."""
    places = {place for path in filter(None, paths) for place in (path.absolute(), path.resolve())}
    return sorted({_above(place) for place in places if not any(place.is_relative_to(part) for part in SYSTEM)})


def _above(program: Path) -> Path:
    above = program.parent.parent if program.parent.name == "bin" else program
    # ``~/bin`` and ``~/.local/bin`` are nobody's installation: what lies above them is the home folder.
    private = above == Path.home() or above in Path.home().parents or above.name == ".local"
    return program if private else above


@functools.cache
def python_paths() -> tuple[Path, ...]:
    """Return what has to be readable so that this Python runs with patchctl and the packages it has."""
    own = [Path(prefix) for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)]
    own = [path for path in own if path != Path("/usr")]
    user = Path(site.getusersitepackages())
    libraries = [Path(name) for name in sys.path if name and Path(name).name in {"site-packages", "dist-packages"}]
    return tuple(dict.fromkeys([*own, *libraries, *([user] if user.is_dir() else []), Path(__file__).parent]))


def _hand_over(folder: Path, user: int) -> None:
    """Make everything in a folder the property of ``user``; no link is followed."""
    with disk_errors():
        folder.mkdir(parents=True, exist_ok=True)
        for _, _, files, handle in os.fwalk(folder, follow_symlinks=False):
            if os.fstat(handle).st_uid != user:
                os.fchown(handle, user, user)
            for name in files:
                if os.stat(name, dir_fd=handle, follow_symlinks=False).st_uid != user:
                    os.chown(name, user, user, dir_fd=handle, follow_symlinks=False)


def require_sound(folder: Path, allowed: Iterable[Path] = ()) -> None:
    """Refuse what would turn on whoever reads the folder after the box: links out of it, pipes, programs with rights.

    Links may lead into ``folder`` and ``allowed``. Raises PatchctlError (exit code 8) naming the first.
    """
    inside = [os.path.realpath(path) for path in (folder, *allowed)]
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(top) / name
            why = _unsound(path, inside)
            if why:
                raise PatchctlError(Code.POLICY, f"the sandbox left {path}, {why}; nothing of it is used")


def remove_unsound(folder: Path, allowed: Iterable[Path] = ()) -> None:
    """Remove a folder that a box was stopped in the middle of, if ``require_sound`` would refuse it."""
    try:
        require_sound(folder, allowed)
    except PatchctlError:
        remove_folder(folder)


def _unsound(path: Path, inside: Iterable[str]) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return "" if _below(path, inside) else "a link that leads out of its folder"
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return "which is neither file nor folder"
    return "which runs with its owner's rights" if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID) else ""


def require_inside(folder: Path, paths: Iterable[Path]) -> None:
    """Refuse what a hostile build names as its own and lies elsewhere. Raises PatchctlError (exit code 8)."""
    inside = [os.path.realpath(folder)]
    for path in paths:
        if not _below(path, inside):
            raise PatchctlError(Code.POLICY, f"the build names {path} as its own, which lies outside {folder}")


def _below(path: Path, inside: Iterable[str]) -> bool:
    real = os.path.realpath(path)
    return any(real == part or real.startswith(part + os.sep) for part in inside)


def try_early() -> None:
    """Begin to find out ``why_not``, to know it when it is needed."""
    threading.Thread(target=why_not).start()


def why_not() -> str:
    """Return why there can be no sandbox on this machine, empty when there can: by making one and trying its walls."""
    with TRYING:
        return _tried()


@functools.cache
def _tried() -> str:
    host = this_host()
    if host.missing:
        packages = {"bwrap": "bubblewrap"}
        needed = sorted({packages.get(name, "util-linux") for name in host.missing})
        return f"{', '.join(host.missing)} not found; apt install {' '.join(needed)}"
    with tempfile.TemporaryDirectory(prefix="patchctl-sandbox-") as name:
        folder = Path(name) / "own"
        folder.mkdir()
        box = Sandbox(writable=(folder,), processes=2 if host.root else 3, host=host)
        words = [host.tools["sh"], "-c", TRIAL, "sh", str(Path.home()), "/usr", str(folder)]
        log = Path(name) / "log"
        done = process.run(box.wrap(words, env=os.environ, cwd=folder), log=log, timeout=30)
        said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return _judge(done, said)


def _judge(done: process.Outcome, said: Sequence[str]) -> str:
    if "sound" not in said:
        return f"{said[-1] if said else f'bwrap ended with {done.status}'}; {_advice(said)}"
    # The last word is that of the program that could start no more.
    return said[-1] if done.status == 0 else ""


def _advice(said: Sequence[str]) -> str:
    if any("uid map" in line or "namespace" in line or "not permitted" in line for line in said):
        return (
            "the kernel or a container forbids user namespaces: on Ubuntu 24.04 "
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, in Docker --security-opt seccomp=unconfined"
        )
    return "bwrap --version and a recent kernel may tell more"


def require_sandbox() -> Sandbox:
    """Return an empty box. Raises PatchctlError (exit code 9) where this machine cannot make one."""
    why = why_not()
    if why:
        raise PatchctlError(Code.ENVIRONMENT, f"no sandbox on this machine: {why}; or trust the code, and do without")
    return Sandbox()
