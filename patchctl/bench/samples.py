"""One repetition on one build: a run of ``llama-bench``, a start of the server; numbers, not yet compared."""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchctl.errors import Code, PatchctlError
from patchctl.process import output
from patchctl.smoke.child import CannotRunError, Deadline, FailedError, child, with_tail
from patchctl.smoke.gpu import metered
from patchctl.smoke.server import Server, command_line, free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from patchctl.bench.geometry import Measured
    from patchctl.smoke.gpu import Spent
    from patchctl.smoke.install import Install

Point = dict[str, int | str]
BENCH, SERVER = "llama-bench", "llama-server"
DRAFT = 3  # tokens that the MTP head drafts at once: 4 are verified
OUTPUT_LIMIT = 2**24  # bytes


@dataclass(frozen=True)
class Settings:
    """What is measured: depths and KV types of ``llama-bench``, tokens per measurement, the time one run may take."""

    depths: tuple[int, ...]
    kv: tuple[str, ...] = ("f16",)
    prompt: int = 512
    tokens: int = 64
    batches: tuple[int, ...] = (4,)
    timeout: float = 1800.0


@dataclass(frozen=True)
class Side:
    """One of the builds: what it is called in results, where it lies, where its logs go."""

    name: str
    install: Install
    logs: Path


@dataclass(frozen=True)
class Sample:
    """One number above 0 (a share can be 0): what was measured, in which unit, at which point."""

    measure: str
    unit: str
    value: float
    point: Point = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (0 < self.value < math.inf or (self.unit == "share" and self.value == 0)):
            raise ValueError(f"{self.measure} {self.value} {self.unit}")


@contextmanager
def _told(side: Side, what: str) -> Iterator[None]:
    try:
        yield
    except (FailedError, CannotRunError) as error:
        raise PatchctlError(Code.TEST, f"{side.name}, {what}: {error}") from error
    except (LookupError, TypeError, ValueError) as error:
        said = f"what it says is no measurement ({type(error).__name__}: {error})"
        raise PatchctlError(Code.TEST, f"{side.name}, {what}: {said}") from error


def require_measurable(name: str, install: Install) -> None:
    """Raise PatchctlError (exit code 2) for a build with neither of the programs whose words a bench knows."""
    if not (install.bin / BENCH).exists() and install.server != SERVER:
        why = f"a bench asks {BENCH} or {SERVER}, and {name} has neither among its targets"
        raise PatchctlError(Code.USAGE, f"{why}: nothing of it can be measured")


def supports(side: Side, kv: str) -> bool:
    """Return whether a build knows a type of KV cache; it reads its words in order, and stops at one it does not."""
    return output([side.install.bin / BENCH, "-ctk", kv, "--help"]) is not None


def run_alone(side: Side, model: Path, settings: Settings, kv: str) -> list[Sample]:
    """Return prefill, small batches and decoding at each depth, by one run of ``llama-bench``.

    Raises PatchctlError (exit code 6) with its last lines when it fails, takes too long, or is another build.
    """
    sizes = ",".join(map(str, (settings.prompt, *settings.batches)))
    depths = ",".join(map(str, settings.depths))
    words = [str(side.install.bin / BENCH), "-m", str(model), "-p", sizes, "-n", str(settings.tokens)]
    words += ["-d", depths, "-ctk", kv, "-ctv", kv, "-fa", "1", "-r", "1", "-o", "jsonl"]
    side.logs.mkdir(parents=True, exist_ok=True)
    log = side.logs / f"llama-bench-{kv}.log"
    log.write_bytes(b"")
    with _told(side, f"llama-bench with {kv}"):
        with child(words, log=log, env=side.install.judged_environment(), cwd=side.logs) as running:
            _wait(running.process, Deadline(settings.timeout), log)
        return [_sample(row, settings, kv) for row in _rows(side, log)]


def _wait(process: subprocess.Popen[bytes], deadline: Deadline, log: Path) -> None:
    try:
        status = process.wait(deadline.left)
    except subprocess.TimeoutExpired:
        raise FailedError(with_tail(f"it did not end within {deadline.seconds:g} s", log)) from None
    if status != 0:
        raise FailedError(with_tail(f"it ended with status {status}", log))


def _rows(side: Side, log: Path) -> list[dict[str, Any]]:
    lines = log.read_bytes()[-OUTPUT_LIMIT:].decode("utf-8", "replace").splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    if not rows:
        raise FailedError(with_tail("it measured nothing", log))
    said = {str(row.get("build_commit")) for row in rows}
    if said != {side.install.identity}:
        raise FailedError(f"it says it is {', '.join(sorted(said))}, not {side.install.identity}")
    return rows


def _sample(row: Mapping[str, Any], settings: Settings, kv: str) -> Sample:
    point: Point = {"kv": kv, "depth": int(row["n_depth"])}
    if row["n_gen"]:
        return Sample("decode", "tokens/s", float(row["avg_ts"]), point)
    if row["n_prompt"] == settings.prompt:
        return Sample("prefill", "tokens/s", float(row["avg_ts"]), point)
    return Sample("batch", "tokens/s", float(row["avg_ts"]), {"tokens": int(row["n_prompt"]), **point})


def run_served(side: Side, measured: Measured, settings: Settings, *, mtp: bool) -> list[Sample]:
    """Return what a client sees of a server with one model: first token, warm cache, speed, drafts, memory, energy.

    Raises PatchctlError (exit code 6) with its last lines when it fails or is another build.
    """
    mode = "mtp" if mtp else "ar"
    server = side.install.server or ""
    args = ["-m", str(measured.served), "-c", str(settings.prompt + settings.tokens + 512), "-np", "1", "-fit", "off"]
    args += ["-ctk", settings.kv[0], "-ctv", settings.kv[0], "--temp", "0"]
    args += ["--spec-type", "draft-mtp", "--spec-draft-n-max", str(DRAFT)] if mtp else []
    side.logs.mkdir(parents=True, exist_ok=True)
    log = side.logs / f"server-{mode}.log"
    log.write_bytes(b"")
    port = free_port()
    with _told(side, f"the server, {mode}"), tempfile.TemporaryDirectory(prefix="patchctl-bench-") as scratch:
        words = command_line(side.install, server, args, port)
        with (
            _metered(side) as spent,
            serving(
                words, port=port, ready="/health", log=log, env=side.install.judged_environment(), cwd=Path(scratch),
                deadline=Deadline(settings.timeout),
            ) as running,
        ):  # fmt: skip
            running.require_identity(side.install)
            found = _asked(running, settings, mode, _metered(side))
        if spent is not None:
            found.append(Sample("memory", "MiB", max(float(spent.memory_mib), 1.0), {"mode": mode}))
        return found


def _metered(side: Side) -> AbstractContextManager[Spent | None]:
    """Return what measures the GPUs, for a build that uses them."""
    return metered() if side.install.architectures else nullcontext()


def _asked(server: Server, settings: Settings, mode: str, meter: AbstractContextManager[Spent | None]) -> list[Sample]:
    at: Point = {"mode": mode}
    text = ("the quick brown fox jumps over the lazy dog, " * (1 + settings.prompt // 40))[: settings.prompt]
    _complete(server, "warm up, the kernels are compiled and loaded now", 8)
    first, seconds = _complete(server, text, 1)
    # It goes on from the same text, as the next turn of a talk does: nothing of the cache has to be taken back.
    _, again = _complete(server, f"{text} and so on", 1)
    with meter as spent:
        answer, _ = _complete(server, f"{text[:64]}!", settings.tokens)
    timings = answer["timings"]
    count, drafted, accepted = (int(timings.get(name, 0)) for name in ("predicted_n", "draft_n", "draft_n_accepted"))
    found = [
        Sample("first token", "ms", 1000 * seconds, at),
        Sample("first token, warm cache", "ms", 1000 * again, at),
        Sample("served prefill", "tokens/s", float(first["timings"]["prompt_per_second"]), at),
        Sample("served decode", "tokens/s", float(timings["predicted_per_second"]), at),
        Sample("tokens per decode", "tokens", count / max(count - accepted, 1), at),
    ]
    found += [Sample("acceptance", "share", accepted / drafted, at)] if drafted else []
    if spent is not None and spent.joules:
        found.append(Sample("energy", "tokens/J", count / spent.joules, at))
    return found


def _complete(server: Server, prompt: str, count: int) -> tuple[Any, float]:
    """Return the answer to a completion and the seconds it took, as a client counts them."""
    body = {"prompt": prompt, "n_predict": count, "temperature": 0, "ignore_eos": True, "cache_prompt": True}
    start = time.perf_counter()
    answer = server.ask("POST", "/completion", json.dumps(body).encode())
    seconds = time.perf_counter() - start
    if answer.status != 200:
        raise server.failed(
            f"POST /completion answered {answer.status}: {answer.body[:200].decode('utf-8', 'replace')}"
        )
    return json.loads(answer.body), seconds
