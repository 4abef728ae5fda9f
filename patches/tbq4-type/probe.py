#!/usr/bin/env python3
# 0: the build has the KV cache type tbq4_0, 1: it has not, 125: cannot be tested.
import os
import re
import subprocess
import sys

out = os.environ.get("PATCHCTL_OUT")
if not out:
    sys.exit(print("PATCHCTL_OUT is not set", file=sys.stderr) or 125)
env = dict(os.environ)
env["LD_LIBRARY_PATH"] = ":".join(
    [os.path.join(out, d) for d in ("lib", "lib64", "bin")] + [env.get("LD_LIBRARY_PATH", "")]
).rstrip(":")


def end(rc, msg):
    print(msg, file=sys.stderr)
    sys.exit(rc)


def run(name, *args):
    p = os.path.join(out, "bin", name)
    if not os.access(p, os.X_OK):
        return None
    try:
        r = subprocess.run(
            [p, *args], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        end(125, f"{name} could not be run: {e}")
    return r.returncode, r.stdout.decode(errors="replace")


tested = []
for name in ("llama-server", "llama-cli", "llama-completion"):
    r = run(name, "--help")
    if r is None:
        continue
    m = re.search(r"--cache-type-k .*?allowed values:(.*?)\(default", r[1], re.DOTALL)
    if not m:
        end(125, f"{name} --help does not list the KV cache types")
    if "tbq4_0" not in re.split(r"[\s,]+", m.group(1)):
        end(1, f"{name} --help does not list tbq4_0 as KV cache type")
    tested.append(name)

r = run("test-quantize-fns", "-v")
if r is not None:
    ok = [l for l in r[1].splitlines() if l.strip().startswith("tbq4_0 ") and ": ok" in re.sub(r": +ok", ": ok", l)]
    if len(ok) != 3:
        end(1, "test-quantize-fns: the checks for tbq4_0 are missing or failed")
    tested.append("test-quantize-fns")

if not tested:
    r = run("llama-bench", "-ctk", "tbq4_0", "-ctv", "tbq4_0", "--list-devices")
    if r is None:
        end(125, "none of llama-server, llama-cli, llama-completion, test-quantize-fns, llama-bench was built")
    if r[0] != 0:
        end(1, "llama-bench does not accept tbq4_0 as KV cache type")
    tested.append("llama-bench")

end(0, "tbq4_0 is there: " + ", ".join(tested))
