"""Break patchctl on purpose and see which rows notice: a row that cannot fail says nothing. Run by hand:

    python -m tests.upstreams.mutate                 every mutant, on the rows that must notice it
    python -m tests.upstreams.mutate never-merges    these mutants only
    python -m tests.upstreams.mutate --table         the list, as Markdown, without running anything

Each mutant is a copy of the package with a few words replaced. Ends with 1 when a mutant survives on one of its rows,
when its words are no longer in the code, when a row fails without any mutant, or when a row is in no mutant's list.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.upstreams.mutants import Mutant
from tests.upstreams.mutants import load as load_mutants
from tests.upstreams.rows import load

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
MUTANTS = load_mutants()
TESTS = "tests/series/test_situations.py"
FAILED = re.compile(r"^(?:FAILED|ERROR) .*::(test_\w+)\[(.+?)\]", re.MULTILINE)
# What asks for the answer once in a session; the others ask again, for speed and for people.
ASKING = "test_check_judges_every_patch or test_only_finished_stacks_have_a_result or test_commits_say"


@dataclass(frozen=True)
class Seen:
    """Which rows failed, and what the run printed."""

    rows: frozenset[str]
    text: str


def main(words: list[str]) -> int:
    """Run the mutants named (all, when none is) and return the exit status."""
    if words == ["--table"]:
        sys.stdout.write(table())
        return 0
    package = ROOT
    if words[:1] == ["--package"]:
        package, words = Path(words[1]), words[2:]
    chosen = [mutant for mutant in MUTANTS if not words or mutant.name in words]
    with tempfile.TemporaryDirectory(prefix="patchctl-mutants-") as folder:
        problems = [] if words else _problems_without_mutant(package, Path(folder))
        for mutant in chosen:
            found = _problems(mutant, package, Path(folder))
            sys.stdout.write(f"{'SURVIVES' if found else 'noticed '}  {mutant.name}  ({len(mutant.rows)} rows)\n")
            sys.stdout.flush()
            problems += found
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    return 1 if problems else 0


def table() -> str:
    """Return the list of mutants as Markdown."""
    lines = ["| mutant | what it breaks | rows that notice |", "|---|---|---|"]
    lines += [f"| {mutant.name} | {mutant.breaks} | {', '.join(sorted(mutant.rows))} |" for mutant in MUTANTS]
    return "\n".join(lines) + "\n"


def unnoticed() -> list[str]:
    """Return the rows that no mutant names."""
    named = {row for mutant in MUTANTS for row in mutant.rows}
    return [row.name for row in load() if row.name not in named]


def _problems_without_mutant(package: Path, folder: Path) -> list[str]:
    problems = [f"no mutant is noticed by {name}" for name in unnoticed()]
    seen = _run(_copy(package, folder / "original"), [row.name for row in load()])
    return problems + [f"{name} fails without any mutant" for name in sorted(seen.rows)]


def _problems(mutant: Mutant, package: Path, folder: Path) -> list[str]:
    copy = _copy(package, folder / mutant.name)
    for edit in mutant.edits:
        path = copy / "patchctl" / edit.file
        text = path.read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            return [f"{mutant.name}: {edit.file} has {edit.old!r} {text.count(edit.old)} times"]
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    seen = _run(copy, mutant.rows)
    shutil.rmtree(copy)
    return [f"{mutant.name} survives {name}" for name in sorted(set(mutant.rows) - seen.rows)]


def _copy(package: Path, folder: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package / "patchctl", folder / "patchctl", ignore=ignore)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _run(copy: Path, rows: Iterable[str]) -> Seen:
    """Run the tests of ``rows`` in a copy of the package."""
    (copy / "rows.txt").write_text("\n".join(rows), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.upstreams.chosen", "--chosen", "rows.txt", "-k", ASKING]
    command += ["-p", "no:warnings", "-p", "no:unraisableexception", "--tb=no", "-rfE", TESTS]
    done = subprocess.run(command, cwd=copy, capture_output=True, check=False)
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode not in {0, 1}:
        raise RuntimeError(text + done.stderr.decode("utf-8", "replace"))
    return Seen(frozenset(row for _, row in FAILED.findall(text)), text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
