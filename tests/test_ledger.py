from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patchctl.errors import Code, PatchctlError
from patchctl.ledger import Ledger, digest
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "deep" / "ledger.sqlite")
    yield ledger
    ledger.close()


@given(value=JSON)
@settings(database=None, deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_kept_comes_back(ledger: Ledger, value: object) -> None:
    ledger.put("kind", "key", value)
    assert ledger.get("kind", "key") == value
    assert ledger.get("other", "key") is None


def test_many_at_once(ledger: Ledger) -> None:
    ledger.put_many("step", {f"k{n}": n for n in range(1200)})
    assert ledger.get_many("step", [f"k{n}" for n in range(0, 2400, 2)]) == {f"k{n}": n for n in range(0, 1200, 2)}
    ledger.put_many("step", {})
    ledger.forget("step", "k0")
    assert ledger.get("step", "k0") is None


def test_a_half_made_batch_is_none(ledger: Ledger) -> None:
    ledger.put("step", "a", 1)
    with pytest.raises(TypeError):
        ledger.put_many("step", {"b": 2, "c": object()})
    assert ledger.get("step", "b") is None
    ledger.put_many("step", {"b": 2})
    assert ledger.get("step", "b") == 2


@given(JSON, JSON)
@settings(database=None)
def test_a_key_is_made_of_what_its_parts_say(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == same
    assert digest([one, other]) != digest(one, other)
    assert digest({"a": 1, "b": one}) == digest({"b": one, "a": 1})


@pytest.mark.parametrize("how", ["no database", "empty", "a damaged page", "another schema", "removed while open"])
def test_a_damaged_ledger_is_made_anew(how: str, ledger: Ledger) -> None:
    ledger.put_many("kind", {f"key {n}": "x" * 400 for n in range(200)})
    ledger.close()
    for suffix in ("-wal", "-shm"):
        ledger.path.with_name(ledger.path.name + suffix).unlink(missing_ok=True)
    raw = bytearray(ledger.path.read_bytes())
    if how == "no database":
        ledger.path.write_bytes(b"no database " * 1000)
    elif how == "empty":
        ledger.path.write_bytes(b"")
    elif how == "a damaged page":
        raw[4096:40960] = b"\xff" * 36864
        ledger.path.write_bytes(raw)
    elif how == "removed while open":
        assert ledger.get("kind", "key 1")
        ledger.path.unlink()
    ledger.get_many("kind", [f"key {n}" for n in range(200)])
    ledger.put("kind", "new", 1)
    assert ledger.get("kind", "new") == 1
    ledger.close()


@pytest.mark.parametrize("how", ["folder", "file in the way"])
def test_a_ledger_that_cannot_be_written_is_told_in_one_line(how: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    if how == "folder":
        path.mkdir()
    else:
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / "ledger.sqlite"
    with pytest.raises(PatchctlError, match=r"cannot (use|write) the ledger") as error:
        Ledger(path).put("a", "b", 1)
    assert error.value.exit_code == Code.ENVIRONMENT
    assert "\n" not in error.value.message


def test_a_full_disk_is_told_in_one_line(ledger: Ledger) -> None:
    """SQLite's own limit stands for the disk's."""
    ledger.put("a", "b", 1)
    connection = ledger._connection()
    connection.execute("PRAGMA max_page_count=4")
    with pytest.raises(PatchctlError, match="full") as error:
        ledger.put_many("a", {str(n): "x" * 5000 for n in range(50)})
    assert error.value.exit_code == Code.ENVIRONMENT
    assert ledger.get("a", "b") == 1


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from patchctl.ledger import Ledger; l = Ledger(Path(sys.argv[1]));"
    code += "[l.put('k', sys.argv[2] + str(n), n) for n in range(40)]"
    path = tmp_path / "ledger.sqlite"
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), who], cwd=ROOT) for who in "abc"]
    assert [process.wait() for process in running] == [0, 0, 0]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM results").fetchone() == (120,)
    connection.close()


def test_several_that_make_the_same_new_ledger_all_succeed(tmp_path: Path) -> None:
    """SQLite tells all but one at once that the database is locked, however long they would wait."""
    together = threading.Barrier(4)

    def make(round_: int) -> None:
        together.wait()
        ledger = Ledger(tmp_path / f"{round_}.sqlite")
        ledger.put("kind", "key", 1)
        ledger.close()

    with ThreadPoolExecutor(4) as pool:
        for round_ in range(60):
            for made in [pool.submit(make, round_) for _ in range(4)]:
                made.result()


def test_how_long_something_took_is_found_by_its_log(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.put("test", "one", {}, seconds=1.5, log="/x/boots.log")
    ledger.put("test", "two", {}, seconds=2.5, log="/x/boots.log")
    ledger.put("build", "three", {}, seconds=9.0, log="/x/boots.log")
    assert ledger.seconds_of("test", "/x/boots.log") == 2.5
    assert ledger.seconds_of("test", "/x/other.log") is None
