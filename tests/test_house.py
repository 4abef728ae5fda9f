"""The rules of the house, read from the source itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from patchctl.cli import COMMANDS, cli
from tests.conftest import ROOT

PACKAGE = ROOT / "patchctl"
MODULES = sorted(PACKAGE.rglob("*.py"))
# Each room may import those after it; rooms in one row do not know each other.
ROWS = (
    {"cli"},
    {"author", "ship"},
    {"report"},
    {"bisect"},
    {"bench"},
    {"smoke"},
    {"build", "upstream"},
    {"series"},
    {"manifest"},
    {"demo"},
)
HEAVY = ("git", "pydantic", "requests", "jinja2", "rich", "yaml", "filelock", "sqlite3", "email", "asyncio")
LONGEST = 450
STARTERS = {
    "run",
    "output",
    "started",
    "Popen",
    "call",
    "check_call",
    "check_output",
    "execute",
    "create_subprocess_exec",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str | None:
    """Return the room of a module, None for those at the root."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else None


def imported(path: Path) -> set[str]:
    """Return every module that a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)} imports relatively"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def row_of(room: str) -> int:
    return next(number for number, row in enumerate(ROWS) if room in row)


def test_every_room_has_its_place() -> None:
    rooms = {room_of(path) for path in MODULES} - {None}
    assert rooms <= set().union(*ROWS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    room = room_of(path)
    known = set().union(*ROWS)
    asked = {name.split(".")[1] for name in imported(path) if name.startswith("patchctl.")} & known - {room}
    if room is None:
        # The root knows no room; only the entry knows the command line, and the store the upstream that comes with it.
        allowed = {"__main__.py": {"cli"}, "store.py": {"demo"}}.get(path.name, set())
    else:
        allowed = {other for other in known if row_of(other) > row_of(room)}
    assert asked <= allowed, f"{name_of(path)} imports {sorted(asked - allowed)}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_needs_scrolling_for_long(path: Path) -> None:
    assert len(path.read_bytes().splitlines()) <= LONGEST


def starts_git(node: ast.AST) -> bool:
    """Return whether a call hands a command line that begins with git to something."""
    if not isinstance(node, ast.Call) or not node.args:
        return False
    if ast.unparse(node.func).rsplit(".", 1)[-1] not in STARTERS:
        return False
    first = node.args[0]
    words = first.elts if isinstance(first, (ast.List, ast.Tuple)) else [first]
    head = words[0] if words else None
    value = head.value if isinstance(head, ast.Constant) else None
    return isinstance(value, str) and (value == "git" or value.startswith("git "))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_one_module_runs_git_and_none_a_shell_or_another_folder(path: Path) -> None:
    tree = ast.parse(path.read_bytes())
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"os.system", "os.popen", "os.chdir", "contextlib.chdir", "subprocess.getoutput"} & set(calls)
    assert "print" not in calls
    if path != PACKAGE / "git.py":
        assert not [ast.unparse(node) for node in ast.walk(tree) if starts_git(node)]
        assert not any(name == "git" or name.startswith("git.") for name in imported(path))
    shells = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "shell"]
    assert not shells


def test_help_is_there_before_anything_heavy() -> None:
    code = "import sys; from patchctl.cli import run_words; code = run_words(['--help']); "
    code += f"print(*sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "\n")
    assert "build" in done.stdout


def commands() -> list[str]:
    return list(COMMANDS)


@pytest.mark.parametrize("name", commands())
def test_every_command_shows_an_example_and_speaks_json(name: str) -> None:
    said = CliRunner().invoke(cli, [name, "--help"])
    assert said.exit_code == 0
    command = cli.get_command(click.Context(cli), name)
    names = [name, *getattr(command, "commands", {})]
    assert any(re.search(rf"^ +patchctl {word}\b", said.output, re.MULTILINE) for word in names), said.output
    for inner in getattr(command, "commands", {}):
        assert f"patchctl {name} {inner}" in said.output + CliRunner().invoke(cli, [name, inner, "--help"]).output
    if not hasattr(command, "commands"):
        for option in ("--json", "--quiet", "--verbose"):
            assert option in said.output


def tracked() -> list[Path]:
    """Return the files of this checkout; those of an unpacked source release where there is no git."""
    words = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached"]
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode == 0 and done.stdout:
        return [path for name in done.stdout.decode().split("\0")[:-1] if (path := ROOT / name).is_file()]
    folders = ("patchctl", "patches", "stacks", "templates", "tests", "benchmarks")
    return [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    places = re.compile(rb"(?<![\w.~}/-])/(?:home/\w+|root/\w|work/(?:main|shared|lab)|Users/\w+)/?")
    found = {name_of(path): places.search(path.read_bytes()) for path in tracked() if path != Path(__file__)}
    assert {name: match.group() for name, match in found.items() if match} == {}


def test_nothing_is_left_to_be_done_or_passed_over() -> None:
    words = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, r"pytest\.sk" + r"ip\(", "assert " + "True"]))
    found = [name_of(path) for path in tracked() if path.suffix == ".py" and words.search(path.read_text("utf-8"))]
    assert found == []
