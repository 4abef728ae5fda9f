"""What the probes share: a server on loopback, tiny models, and the three ways to end.

A probe reads PATCHCTL_OUT, the folder a build was installed into, and exits 0 when the patch's
behaviour is there, 1 when it is not, 125 when this machine cannot tell.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from patchctl.smoke.server import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

PASS, FAIL, SKIP = 0, 1, 125
PROMPT = "The quick brown fox jumps over the lazy dog"


class UnableError(Exception):
    """This machine or this build cannot answer."""


class MissingError(Exception):
    """The patch's behaviour is not there; the message says what was seen."""


class AbortedError(Exception):
    """The server ended by itself; a negative code is a signal."""

    def __init__(self, what: str, code: int):
        super().__init__(what)
        self.code = code


def out_folder() -> Path:
    """Return the folder of the build under test."""
    if "PATCHCTL_OUT" not in os.environ:
        raise UnableError("PATCHCTL_OUT is not set")
    return Path(os.environ["PATCHCTL_OUT"])


def program(name: str) -> Path:
    """Return one of its programs."""
    path = out_folder() / "bin" / name
    if not path.exists():
        raise UnableError(f"{name} is not in this build")
    return path


def model(folder: Path, name: str) -> Path:
    """One of the models of `models.make`; NAME-mtp-bare and NAME-mtp-full are its sidecars.

    Made by a process of its own: CUDA's libraries were seen to crash one that had loaded numpy before them.
    """
    path = folder / f"{name}.gguf"
    if not path.exists():
        trunk = re.sub(r"-mtp-(bare|headless|full)$", "", name)
        where = [str(out_folder() / "gguf-py"), os.environ.get("PYTHONPATH", "")]
        done = subprocess.run(
            [sys.executable, "-m", "patchctl", "model", "make", trunk, "--into", str(folder)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, where))},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UnableError(f"cannot make the test models: {done.stderr.strip()}")
    return path


def require_kernel(symbol: bytes) -> str:
    """Return in which library a CUDA kernel is, found by its mangled name; needs no GPU."""
    libraries = sorted({path.resolve() for path in (out_folder() / "lib").glob("libggml-cuda*.so*")})
    if not libraries:
        raise UnableError("this build has no CUDA backend")
    for path in libraries:
        if symbol in path.read_bytes():
            return f"{symbol.decode()} is in {path.name}"
    raise MissingError(f"the CUDA backend has no kernel {symbol.decode()}")


class Server:
    """llama-server with one model, on loopback, for as long as the `with` block lasts."""

    def __init__(self, model_path: Path, *args: object, binary: Path | None = None, env: dict[str, str] | None = None):
        self.port = free_port()
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log", errors="replace")  # noqa: SIM115 - lives as long as the server
        command = [binary or program("llama-server"), "-m", model_path, "--host", "127.0.0.1", "--port", self.port]
        # One thread: the models are tiny, and threads that wait for each other by spinning starve on a busy machine.
        command += ["-c", 1024, "-t", 1, "--no-warmup", "--temp", 0, "-fit", "off", *args]
        self.process = subprocess.Popen(
            [str(c) for c in command],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env=os.environ | (env or {}),
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + float(os.environ.get("PROBE_START_SECONDS", "60"))
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AbortedError(f"the server did not start: {self.last_line()}", self.process.returncode)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                    return self
            except OSError:
                time.sleep(0.05)
        self.__exit__(None, None, None)
        raise UnableError("the server was not ready in time")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def text_of_log(self) -> str:
        """Return all the server has said."""
        return Path(self.log.name).read_text(errors="replace")

    def last_line(self) -> str:
        """Return the last line that tells why it ended."""
        lines = [line for line in self.text_of_log().splitlines() if line.strip() and line[:1] != "#"]
        lines = lines or ["nothing in its log"]
        told = [line for line in lines if re.search(r"error|abort|assert|failed", line, re.IGNORECASE)]
        return (told or lines)[-1].strip()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return the JSON answer to one request."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:  # noqa: S310 - loopback
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise MissingError(
                f"the server answered {error.code}: {error.read().decode(errors='replace')[:200]}"
            ) from error
        except (OSError, json.JSONDecodeError) as error:
            code = self.process.wait(30)
            raise AbortedError(f"the server ended with {code}: {self.last_line()}", code) from error

    def complete(self, prompt: str, n_predict: int, **more: Any) -> Any:
        """Return the server's answer to a completion at temperature 0."""
        body = {"prompt": prompt, "n_predict": n_predict, "temperature": 0, "top_k": 1}
        return self.post("/completion", {**body, "cache_prompt": True, "ignore_eos": True, **more})


def reused(answer: Any) -> int:
    """How many prompt tokens were taken from the cache."""
    return int(answer["timings"]["cache_n"])


def main(check: Callable[[Path], str]) -> NoReturn:
    """Run one probe in a folder of its own; its return value is what was seen to work."""
    try:
        with tempfile.TemporaryDirectory(prefix="probe-") as folder:
            seen, code = check(Path(folder)), PASS
    except (MissingError, AbortedError) as error:
        seen, code = str(error), FAIL
    except UnableError as error:
        seen, code = str(error), SKIP
    except Exception:  # noqa: BLE001 - whatever breaks a probe is not an answer about the patch
        seen, code = traceback.format_exc(limit=3), SKIP
    sys.stderr.write(f"{seen}\n")
    sys.exit(code)
