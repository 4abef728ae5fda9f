"""How long ``patchctl check`` takes beside ``git am -3`` and ``quilt push -a``, on the same patches in one run.

    python benchmarks/check.py [--patches 36 --patches 1000] [--files 2600] [--times 3]

``own base``: every patch stands on the files it was made on. ``moved``: upstream has inserted lines above a third of
the patched places since, so those need an offset or a merge.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import tempfile
from pathlib import Path

from common import URL, patchctl, run, seconds, table

FLAGS = ("--zero-commit", "--full-index", "--no-signature", "--no-stat", "--binary")


def content(file: int, moved: bool) -> str:
    """Return a file of 120 lines; ``moved`` puts ten lines on top of every third one."""
    lines = [f"line {n} of file {file}" for n in range(120)]
    top = [f"// new {n}" for n in range(10)] if moved and file % 3 == 0 else []
    return "\n".join([*top, *lines]) + "\n"


def name(file: int) -> str:
    """Return the path of a file: fifty to a folder."""
    return f"src/part{file // 50:03}/file{file:05}.c"


def stream(files: int, patches: int) -> bytes:
    """Return a fast-import stream: base, one commit per patch on it, and the moved base."""
    out: list[str] = []

    def commit(branch: str, mark: int, subject: str, source: str, edits: dict[str, str]) -> None:
        who = f"a <a@example.invalid> {1700000000 + mark} +0000"
        out.append(f"commit refs/heads/{branch}\nmark :{mark}\nauthor {who}\ncommitter {who}\n")
        out.append(f"data {len(subject)}\n{subject}\n{source}")
        out.extend(f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in edits.items())

    commit("main", 1, "base", "", {name(n): content(n, moved=False) for n in range(files)})
    texts = {n: content(n, moved=False) for n in range(files)}
    for patch in range(patches):
        file = (patch * 7) % min(files, 300)
        line = 5 + (patch // 300) * 20
        texts[file] = texts[file].replace(f"line {line} of file {file}\n", f"line {line} of file {file}, patched\n")
        commit("queue", patch + 2, f"patch {patch}", f"from :{patch + 1}\n", {name(file): texts[file]})
    commit("moved", patches + 2, "moved", "from :1\n", {name(n): content(n, moved=True) for n in range(0, files, 3)})
    return "".join(out).encode()


def prepare(folder: Path, files: int, patches: int) -> dict[str, str]:
    """Make upstream, queue and workspace; returns the ids of the two bases."""
    upstream = folder / "upstream.git"
    run("git", "init", "-q", "--bare", upstream, cwd=folder)
    run("git", "fast-import", "--quiet", cwd=upstream, stdin=stream(files, patches))
    bases = {name: run("git", "rev-parse", name, cwd=upstream).decode().strip() for name in ("main", "moved")}
    queue = folder / "queue"
    run("git", "format-patch", "-q", *FLAGS, "-o", queue, f"main..{'queue'}", cwd=upstream)
    (folder / "ws" / "stacks").mkdir(parents=True)
    ids = []
    for patch in sorted(queue.iterdir()):
        ids.append(patch.stem.lower())
        page = folder / "ws" / "patches" / ids[-1]
        page.mkdir(parents=True)
        (page / "README.md").write_text(f"---\ntitle: {ids[-1]}\n---\n")
        (page / "b1.patch").write_bytes(patch.read_bytes() + f"\nbase-commit: {bases['main']}\n".encode())
    for label, base in bases.items():
        stack = [f"schema: 1\nrelease: {label}\nupstream:\n  repo: {URL}\n  commit: {base}\npatches:\n"]
        stack += [f"  - {patch}\n" for patch in ids]
        stack.append("build:\n  targets: [x]\n  variants: {cpu: {}}\n")
        (folder / "ws" / "stacks" / f"{label}.yaml").write_text("".join(stack))
    return bases


def processes(folder: Path, label: str, cache: Path) -> int:
    """Return how many git processes one check starts."""
    from patchctl.cli import run_words as command
    from patchctl.git import COUNTER

    here = Path.cwd()
    os.environ |= {"PATCHCTL_CACHE": str(cache), "PATCHCTL_MIRROR": f"{URL}={folder / 'upstream.git'}"}
    COUNTER.processes = 0
    os.chdir(folder / "ws")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = command(["check", label, "--no-alone"])
    os.chdir(here)
    if code:
        raise SystemExit(f"check {label} ended with {code}")
    return COUNTER.processes


def measure(folder: Path, label: str, base: str, times: int) -> list[list[object]]:
    """Return the rows of one base."""
    upstream, queue, ws, cache = folder / "upstream.git", folder / "queue", folder / "ws", folder / "cache"
    work = folder / "work"
    patches = sorted(queue.iterdir())

    def checkout() -> None:
        shutil.rmtree(work, ignore_errors=True)
        run("git", "clone", "-q", "--shared", "--no-checkout", upstream, work, cwd=folder)
        run("git", "checkout", "-q", "--detach", base, cwd=work)

    def quilted() -> None:
        checkout()
        (work / "patches").mkdir()
        for patch in patches:
            shutil.copy(patch, work / "patches" / patch.name)
        (work / "patches" / "series").write_text("".join(f"{patch.name}\n" for patch in patches))

    def cold() -> None:
        shutil.rmtree(cache, ignore_errors=True)
        patchctl("check", label, "--no-alone", cwd=ws, cache=cache, mirror=upstream)
        for ledger in cache.glob("ledger.sqlite*"):
            ledger.unlink()

    def check(*more: str) -> None:
        patchctl("check", label, *more, cwd=ws, cache=cache, mirror=upstream)

    am = seconds(lambda: run("git", "am", "-q", "-3", *patches, cwd=work), checkout, times)
    has_quilt = shutil.which("quilt") is not None
    quilt = seconds(lambda: run("quilt", "push", "-a", "-q", cwd=work), quilted, times) if has_quilt else float("nan")
    first = seconds(lambda: check("--no-alone"), lambda: shutil.rmtree(cache, ignore_errors=True), times)
    cold()
    cold_count = processes(folder, label, cache)
    warm_count = processes(folder, label, cache)
    cold_seconds = seconds(lambda: check("--no-alone"), cold, times)
    warm = seconds(lambda: check("--no-alone"), times=times)
    alone = seconds(check, cold, times)
    return [
        ["git am -3", am, 1.0, ""],
        ["quilt push -a", quilt, quilt / am, ""],
        ["check, first ever (clones)", first, first / am, ""],
        ["check, cold", cold_seconds, cold_seconds / am, cold_count],
        ["check, cold, with the alone column", alone, alone / am, ""],
        ["check, warm", warm, warm / am, warm_count],
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patches", type=int, action="append")
    parser.add_argument("--files", type=int, default=2600)
    parser.add_argument("--times", type=int, default=3)
    words = parser.parse_args()
    for patches in words.patches or [36, 1000]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            bases = prepare(folder, words.files, patches)
            for label, base in bases.items():
                rows = measure(folder, label, base, words.times)
                place = "own base" if label == "main" else "moved base"
                head = [["", "seconds", "x git am -3", "git processes"]]
                table(f"{patches} patches, {words.files} files, {place}", head + rows)


if __name__ == "__main__":
    main()
