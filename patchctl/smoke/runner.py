"""Run the tests of a stack on what was built."""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.files import disk_errors, write_atomic
from patchctl.ledger import digest
from patchctl.sandbox import python_paths
from patchctl.smoke.door import Doors
from patchctl.smoke.gpu import metered
from patchctl.smoke.hardware import Hardware, cannot_run, detect
from patchctl.smoke.kinds import invalid, programs, run_kind
from patchctl.smoke.models import kept
from patchctl.smoke.placeholders import fill
from patchctl.smoke.plan import is_for
from patchctl.smoke.result import Result, Verdict
from patchctl.smoke.setting import Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from patchctl.ledger import Ledger
    from patchctl.manifest.model import Test
    from patchctl.sandbox import Sandbox
    from patchctl.smoke.install import Install
    from patchctl.smoke.plan import Case

KIND = "test"
RECIPE = 3  # of how tests are run; a higher number makes every test run again


def run_tests(
    cases: Sequence[Case],
    install: Install,
    *,
    logs: Path,
    ledger: Ledger | None = None,
    fresh: bool = False,
    hardware: Hardware | None = None,
    part: bool = False,
    sandbox: Sandbox | None = None,
    tell: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Run those of ``cases`` that are for this install's variant, in order, and return their results.

    A test that passed before on the same binary, definition and hardware is not run again unless ``fresh``. ``tell``
    is handed each result as it comes; in a ``part`` build, tests of programs that it lacks are skipped. Raises
    PatchctlError (exit code 3), before anything runs, for a placeholder that stands for nothing or a broken regular
    expression. A test that fails is a result, not an error.
    """
    wanted = [case for case in cases if is_for(case.test, install.variant, install.architectures)]
    lacking = {case.test.name: lack for case in wanted if part and (lack := _lacks(case.test, install))}
    _require_valid([case for case in wanted if case.test.name not in lacking], install)
    results = []
    with contextlib.ExitStack() as stack:
        if any(case.test.models for case in wanted):
            stack.enter_context(kept.in_use(kept.folder()))
        doors = stack.enter_context(contextlib.closing(Doors()))
        room = _Room(install, logs, ledger, fresh, hardware or detect(), lacking, doors, sandbox)
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
    doors: Doors
    sandbox: Sandbox | None = None


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
    try:
        models = kept.sha256(case.test.models)
    except kept.NoMakerError as error:
        return _result(case, room.install, Verdict("skip", error.message))
    if room.ledger is None:
        return _run_one(case, room)
    key = result_key(case, room.install, room.hardware, models)
    known = None if room.fresh else room.ledger.get(KIND, key)
    if known is not None:
        variant, definition = room.install.variant, definition_key(case)
        return replace(Result(**known), variant=variant, definition=definition, remembered=True)
    result = _run_one(case, room)
    if result.result == "pass":
        room.ledger.put(KIND, key, asdict(result), seconds=result.seconds, log=result.log)
    else:
        # It may have passed before a fresh run; the next run is not to believe that.
        room.ledger.forget(KIND, key)
    return result


def result_key(case: Case, install: Install, hardware: Hardware, models: Mapping[str, str]) -> str:
    """Return the key of a test's result: what was built, the definition with its scripts, the models, the hardware."""
    definition = case.test.model_dump(mode="json")
    return digest("test", RECIPE, install.build_key, definition, _scripts(case), dict(models), hardware.key())


def definition_key(case: Case) -> str:
    """Return what tells one definition of a test, with its scripts, from another."""
    # Without what was not said: a key that tests get in a later patchctl makes no other tests of those without it.
    return digest("definition", case.test.model_dump(mode="json", exclude_defaults=True), _scripts(case))


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


def _run_one(case: Case, room: _Room) -> Result:
    log = room.logs / f"{case.test.name}.log"
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        with disk_errors():
            made = tempfile.TemporaryDirectory(prefix="patchctl-test-", ignore_cleanup_errors=True)
            place = Path(stack.enter_context(made))
            # What a test said is read from its log: while it runs, that is no one else's.
            scratch, own = place / "scratch", place / "log"
            scratch.mkdir()
            own.touch()
        models = kept.folder() if case.test.models else None
        sandbox = _sandbox(case, room, scratch)
        boxed = None if sandbox is None else (sandbox, room.doors)
        setting = Setting(room.install, case.here, own, scratch, case.test.timeout, models, boxed)
        try:
            with metered() if room.install.architectures else contextlib.nullcontext() as spent:
                verdict = run_kind(case.test, setting)
        finally:
            with disk_errors():
                room.logs.mkdir(parents=True, exist_ok=True)
                write_atomic(log, own.read_bytes())
    gpu = None if spent is None else {"memory_mib": spent.memory_mib, "joules": spent.joules}
    return replace(_result(case, room.install, verdict, time.monotonic() - start, str(log)), gpu=gpu)


def _sandbox(case: Case, room: _Room, scratch: Path) -> Sandbox | None:
    """Return the box of one test: it reads the install, its definition, its models and Python, and has its scratch."""
    if room.sandbox is None:
        return None
    seen = [room.install.folder, case.here, *([kept.folder()] if case.test.models else []), *python_paths()]
    return replace(  # a test compiles nothing
        room.sandbox,
        readable=tuple(seen),
        writable=(scratch,),
        variables={"PYTHONPATH": str(python_paths()[-1].parent)},
        devices=bool(room.install.architectures),
    )


def _result(case: Case, install: Install, verdict: Verdict, seconds: float = 0.0, log: str = "") -> Result:
    final, attention = expected(case.test, verdict, seconds)
    return Result(
        test=case.test.name,
        variant=install.variant,
        result=final.result,
        detail=final.detail,
        seconds=round(seconds, 3),
        log=log,
        patch=case.patch,
        definition=definition_key(case),
        attention=attention,
    )


def expected(test: Test, verdict: Verdict, seconds: float = 0.0) -> tuple[Verdict, bool]:
    """Return the verdict seen with what the test expects, and whether a person should look.

    A known defect that fails is a pass, and says how it failed; one that passes is a fail that wants attention; skip
    and error stay. What ran out of its time after ``seconds`` is no known defect: a slow machine does that too.
    """
    if test.expect == "pass" or verdict.result not in {"pass", "fail"}:
        return verdict, False
    if verdict.result == "fail" and seconds >= test.timeout:
        return Verdict(
            "fail", f"ran out of time, which is not the known defect ({test.reason}): {verdict.detail}"
        ), False
    if verdict.result == "fail":
        how = verdict.detail.split("\n")[0]
        return Verdict("pass", f"fails as expected: {test.reason}\n  {how}"), False
    return Verdict(
        "fail", f"passes, but is expected to fail ({test.reason}); remove expect: fail if that is right"
    ), True
