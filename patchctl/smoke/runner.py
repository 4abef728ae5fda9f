"""Run the tests of a stack on what was built."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.files import disk_errors
from patchctl.ledger import digest
from patchctl.smoke.hardware import Hardware, cannot_run, detect
from patchctl.smoke.kinds import Setting, invalid, programs, run_kind
from patchctl.smoke.placeholders import fill
from patchctl.smoke.result import Result, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from patchctl.ledger import Ledger
    from patchctl.manifest.model import Test
    from patchctl.smoke.install import Install
    from patchctl.smoke.plan import Case

KIND = "test"
RECIPE = 1  # of how tests are run; a higher number makes every test run again


def run_tests(
    cases: Sequence[Case],
    install: Install,
    *,
    logs: Path,
    ledger: Ledger | None = None,
    fresh: bool = False,
    hardware: Hardware | None = None,
    part: bool = False,
    tell: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Run those of ``cases`` that are for this install's variant, in order, and return their results.

    A test that passed before on the same binary, definition and hardware is not run again unless ``fresh``. ``tell``
    is handed each result as it comes; in a ``part`` build, tests of programs that it lacks are skipped. Raises
    PatchctlError (exit code 3), before anything runs, for a placeholder that stands for nothing or a broken regular
    expression. A test that fails is a result, not an error.
    """
    wanted = [case for case in cases if case.test.variants is None or install.variant in case.test.variants]
    lacking = {case.test.name: lack for case in wanted if part and (lack := _lacks(case.test, install))}
    _require_valid([case for case in wanted if case.test.name not in lacking], install)
    room = _Room(install, logs, ledger, fresh, hardware or detect(), lacking)
    results = []
    for case in wanted:
        result = _judge(case, room)
        tell(result)
        results.append(result)
    return results


@dataclass(frozen=True)
class _Room:
    """What all tests of one run share."""

    install: Install
    logs: Path
    ledger: Ledger | None
    fresh: bool
    hardware: Hardware
    lacking: Mapping[str, str]


def _lacks(test: Test, install: Install) -> str:
    """Return which of the test's programs the install has not, in words; empty when it has all of them."""
    names = {word: install.server if word == "{server}" else word for word in sorted(programs(test))}
    gone = [name or "a server" for name in names.values() if name is None or not (install.bin / name).exists()]
    return f"{gone[0]} is not in this part build" if gone else ""


def _require_valid(cases: Sequence[Case], install: Install) -> None:
    problems = []
    for case in cases:
        found = invalid(case.test, {**install.values(), "here": str(case.here)})
        problems += [f"test {case.test.name}: {problem}" for problem in sorted({problem for _, problem in found})]
    if problems:
        raise PatchctlError(Code.INVALID, "\n".join(problems))


def _judge(case: Case, room: _Room) -> Result:
    refusal = room.lacking.get(case.test.name) or cannot_run(room.install.architectures, room.hardware)
    if refusal:
        return _result(case, room.install, Verdict("skip", refusal))
    if room.ledger is None:
        return _run_one(case, room.install, room.logs)
    key = result_key(case, room.install, room.hardware)
    kept = None if room.fresh else room.ledger.get(KIND, key)
    if kept is not None:
        return replace(Result(**kept), variant=room.install.variant, remembered=True)
    result = _run_one(case, room.install, room.logs)
    if result.result == "pass":
        room.ledger.put(KIND, key, asdict(result), seconds=result.seconds, log=result.log)
    else:
        # It may have passed before a fresh run; the next run is not to believe that.
        room.ledger.forget(KIND, key)
    return result


def result_key(case: Case, install: Install, hardware: Hardware) -> str:
    """Return the key of a test's result: what was built, the definition with its scripts, the hardware."""
    definition = case.test.model_dump(mode="json")
    return digest("test", RECIPE, install.build_key, definition, _scripts(case), hardware.key())


def _scripts(case: Case) -> dict[str, str]:
    """Return the hash of each file beside the definition that the test names with ``{here}``."""
    words = re.findall(r"\{here\}/[^\s\"']+", case.test.model_dump_json())
    files = {word: Path(fill(word, {"here": str(case.here)})) for word in words}
    return {word: _sha256(path) for word, path in sorted(files.items())}


def _sha256(path: Path) -> str:
    digests = hashlib.sha256()
    for file in _files(path):
        digests.update(f"{file.relative_to(path)}\0".encode())
        digests.update(hashlib.sha256(file.read_bytes()).digest())
    return digests.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(inner for inner in path.rglob("*") if inner.is_file())
    elif path.is_file():
        yield path


def _run_one(case: Case, install: Install, logs: Path) -> Result:
    log = logs / f"{case.test.name}.log"
    with disk_errors():
        logs.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        scratch = Path(tempfile.mkdtemp(prefix="patchctl-test-"))
    start = time.monotonic()
    try:
        verdict = run_kind(case.test, Setting(install, case.here, log, scratch, case.test.timeout))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _result(case, install, verdict, time.monotonic() - start, str(log))


def _result(case: Case, install: Install, verdict: Verdict, seconds: float = 0.0, log: str = "") -> Result:
    final, attention = expected(case.test, verdict)
    return Result(
        test=case.test.name,
        variant=install.variant,
        result=final.result,
        detail=final.detail,
        seconds=round(seconds, 3),
        log=log,
        patch=case.patch,
        attention=attention,
    )


def expected(test: Test, verdict: Verdict) -> tuple[Verdict, bool]:
    """Return the verdict seen with what the test expects, and whether a person should look.

    A known defect that fails is a pass; one that passes is a fail that wants attention; skip and error stay.
    """
    if test.expect == "pass" or verdict.result not in {"pass", "fail"}:
        return verdict, False
    if verdict.result == "fail":
        return Verdict("pass", f"fails as expected: {test.reason}"), False
    return Verdict(
        "fail", f"passes, but is expected to fail ({test.reason}); remove expect: fail if that is right"
    ), True
