"""A head whose target is on another device is refused, or right.

    PATCHCTL_OUT=out/b9187/rpc python benchmarks/devices.py

for a build with GGML_RPC and the target rpc-server.

A process of rpc-server is a second device on any machine. Target and head are never both there: at b9187 RPC mixes up
the graphs of two contexts, with or without the patches.
"""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patchctl.smoke.probing import PROMPT, AbortedError, MissingError, Server, UnableError, main, model, program
from patchctl.smoke.server import free_port

MTP = ["-np", 1, "--spec-type", "draft-mtp", "--spec-draft-n-max", 3]
HEADS = {"bare": [], "headless": [], "full": ["--spec-draft-share-tensors"]}


@contextmanager
def device() -> Iterator[str]:
    """Yield where rpc-server listens."""
    port = free_port()
    command = [program("rpc-server"), "-H", "127.0.0.1", "-p", str(port), "-t", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise UnableError("rpc-server was not ready in time")
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def run(target: Path, *args: object) -> tuple[str, int, int]:
    with Server(target, *MTP, *args) as server:
        answer = server.complete(PROMPT, 40)
        return answer["content"], answer["timings"].get("draft_n", 0), answer["timings"].get("draft_n_accepted", 0)


def check_refused(target: Path, *args: object) -> None:
    server = Server(target, *MTP, *args)
    try:
        with server:
            raise MissingError("a head was loaded that uses tensors of another device")
    except AbortedError as error:
        if error.code < 0 or "which this model does not use" not in server.text_of_log():
            raise


def check(folder: Path) -> str:
    target = model(folder, "half")
    built_in = run(target)
    with device() as one, device() as two:
        for kind, more in HEADS.items():
            head = ["--rpc", f"{one},{two}", "-ngl", 99, "-ngld", 99, "-md", model(folder, f"half-mtp-{kind}"), *more]
            away = run(target, *head, "-dev", "none", "-devd", "RPC0")
            if away != built_in:
                raise MissingError(f"{kind} head on another device {away}, built-in head {built_in}")
            check_refused(target, *head, "-dev", "RPC0", "-devd", "none")
            check_refused(target, *head, "-dev", "RPC0", "-devd", "RPC1")
            check_refused(target, *head, "-dev", "RPC0,RPC1", "-devd", "RPC0")
    return "right with a target in the processor's memory, refused with one on another device"


main(check)
