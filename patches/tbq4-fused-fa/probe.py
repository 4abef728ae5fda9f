#!/usr/bin/env python3
# 0: the build has the fused attention kernel for tbq4_0, 1: it has not, 125: cannot be tested.
# Looks for the kernel's symbol, which needs no GPU; with TBQ4_PROBE_GPU=1 also runs the tests of the kernel.
import glob
import mmap
import os
import subprocess
import sys

SYMBOL = b"flash_attn_ext_quantIL9ggml_type64E"
TEST = ["-o", "FLASH_ATTN_EXT", "-p", "type_K=tbq4_0"]

out = os.environ.get("PATCHCTL_OUT")
if not out:
    sys.exit(print("PATCHCTL_OUT is not set", file=sys.stderr) or 125)


def end(rc, msg):
    print(msg, file=sys.stderr)
    sys.exit(rc)


def contains(path, what):
    with open(path, "rb") as f:
        if os.fstat(f.fileno()).st_size == 0:
            return False
        with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
            return m.find(what) >= 0


libs = sorted(
    {os.path.realpath(p) for d in ("lib", "lib64", "bin") for p in glob.glob(os.path.join(out, d, "libggml-cuda*.so*"))}
)
if not libs:  # static build?
    libs = [
        p
        for p in glob.glob(os.path.join(out, "bin", "*"))
        if os.path.isfile(p) and os.access(p, os.X_OK) and contains(p, b"flash_attn_ext_vec")
    ]
if not libs:
    end(125, "the build has no CUDA backend")
if not any(contains(p, SYMBOL) for p in libs):
    end(1, "the CUDA backend has no kernel " + SYMBOL.decode())

test = os.path.join(out, "bin", "test-backend-ops")
if os.environ.get("TBQ4_PROBE_GPU") == "1" and os.access(test, os.X_OK):
    env = dict(os.environ)
    env["LD_LIBRARY_PATH"] = ":".join(
        [os.path.join(out, d) for d in ("lib", "lib64", "bin")] + [env.get("LD_LIBRARY_PATH", "")]
    ).rstrip(":")
    try:
        r = subprocess.run(
            [test, "test", "-b", "CUDA0", *TEST],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=900,
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        end(125, f"test-backend-ops could not be run: {e}")
    text = r.stdout.decode(errors="replace")
    if "tests passed" not in text:
        end(125, "test-backend-ops ran no tests, is there a GPU?")
    if r.returncode != 0 or "FAIL" in text:
        end(1, "test-backend-ops failed")
    end(0, "the kernel is there and its tests passed")
end(0, "the kernel is there")
