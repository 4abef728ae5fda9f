"""An MTP head in a file of its own, without the tensors it shares, must draft as the built-in one does."""

import re
from pathlib import Path

from patchctl.smoke.probing import PROMPT, AbortedError, MissingError, Server, main, model

MTP = ["-np", 1, "--spec-type", "draft-mtp", "--spec-draft-n-max", 3]
SHARE = "--spec-draft-share-tensors"


def weights(server: Server) -> float:
    """MiB of weights of the target and the draft model."""
    return sum(float(s) for s in re.findall(r"model buffer size = +([\d.]+) MiB", server.text_of_log()))


def run(target: Path, *args: object) -> tuple[tuple[str, int, int], float]:
    with Server(target, *MTP, "-lv", 4, "--no-mmap", *args) as server:
        answer = server.complete(PROMPT, 40)
        timings = answer["timings"]
        return (answer["content"], timings.get("draft_n", 0), timings.get("draft_n_accepted", 0)), weights(server)


def check(folder: Path) -> str:
    for name in ("fp", "rand-moe"):
        target = model(folder, name)
        built_in, _ = run(target)
        bare, _ = run(target, "-md", model(folder, f"{name}-mtp-bare"))
        if bare != built_in:
            raise MissingError(f"{name}: bare head {bare}, built-in head {built_in}")
        full, before = run(target, "-md", model(folder, f"{name}-mtp-full"))
        shared, after = run(target, "-md", model(folder, f"{name}-mtp-full"), SHARE)
        if full != built_in or shared != built_in:
            raise MissingError(f"{name}: full head {full}, shared {shared}, built-in head {built_in}")
        if before - after < 0.4:
            raise MissingError(f"{name}: {before:.2f} MiB of weights, {after:.2f} MiB when shared")
    try:
        run(model(folder, "rand"), "-md", model(folder, "rand-narrow-mtp-bare"))
    except AbortedError as error:
        if error.code < 0:
            raise
    else:
        raise MissingError("a head of another width was loaded")
    return f"text and counts as built in, {before - after:.2f} MiB saved when shared"


main(check)
