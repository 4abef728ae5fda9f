"""Run a comparison that comes with patchctl on a device that is a GPU to llama.cpp and this processor in truth.

    over_rpc.py NAME

What a test of the GPU says can so be seen on any machine. Ends as a test does: 0, 1, or 125 where it cannot run.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.smoke.child import child
from patchctl.smoke.install import Install, read_install
from patchctl.smoke.kinds import run_kind
from patchctl.smoke.plan import GENERAL, general_test
from patchctl.smoke.server import free_port, is_taken
from patchctl.smoke.setting import Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patchctl.manifest.model import Test

STATUS = {"pass": 0, "fail": 1}


@contextlib.contextmanager
def device(install: Install, folder: Path) -> Iterator[str]:
    """Give the address of the build's RPC server."""
    port = free_port()
    words = [str(install.bin / "rpc-server"), "-H", "127.0.0.1", "-p", str(port), "-t", "1"]
    with child(words, log=folder / "rpc.log", env=install.judged_environment(), cwd=folder) as running:
        while not is_taken(port):
            if running.ended():
                sys.exit(f"rpc-server {running.ended()}")
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"


def on(test: Test, address: str) -> Test:
    """Return a comparison whose servers use the device at this address."""
    assert test.compare is not None
    args = [*test.compare.args, "--rpc", address]
    return test.model_copy(update={"compare": test.compare.model_copy(update={"args": args})})


def main(name: str) -> int:
    """Run the test and say how it ended."""
    install, models = read_install(Path(os.environ["PATCHCTL_OUT"])), Path(os.environ["PATCHCTL_MODELS"])
    test = general_test(name)
    with tempfile.TemporaryDirectory() as scratch, device(install, folder := Path(scratch)) as address:
        setting = Setting(install, GENERAL, folder / "server.log", folder, test.timeout, models)
        verdict = run_kind(on(test, address), setting)
    first, *more = verdict.detail.split("\n")
    sys.stdout.write("\n".join([*more, f"{verdict.result}: {first}\n"]))
    return STATUS.get(verdict.result, 125)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
