"""Two cuts with no decode between, and one of what has no snapshot: served and right, or refused with nothing changed.

By library, since from b9231 on the server goes back to a checkpoint instead; then a prompt whose last ubatch is one
token, twice under MTP, from the server.
"""

from pathlib import Path

from patchctl.smoke.library import NEAR, Model, after_cuts, library
from patchctl.smoke.library import PROMPT as TOKENS
from patchctl.smoke.probing import PROMPT, MissingError, Server, main, model

MTP = ["-np", 1, "--spec-type", "draft-mtp", "--spec-draft-n-max", 2, "-ctxcp", 0]
ODD = PROMPT[:41]  # 5 ubatches of 8 tokens and one of 1
TRIED = {"1 token and 1 more": ([1, 1], 64), "2 after ubatches of 8 and 2, then 2 more": ([2, 2], 8)}


def check(folder: Path) -> str:
    path = model(folder, "rand")
    with library() as lib:
        weights = Model(lib, path)
        found = {what: after_cuts(weights, TOKENS, cuts, ubatch=size) for what, (cuts, size) in TRIED.items()}
    for what, (served, off) in found.items():
        if off > NEAR:
            raise MissingError(f"{what}: {served} cuts were served, nmse of the logits after them {off:.1e}")
    with Server(path, *MTP) as server:
        want = server.complete(ODD, 24)["content"]
    with Server(path, *MTP, "-ub", 8) as server:
        server.complete(ODD, 1)
        again = server.complete(ODD, 24)["content"]
    if again != want:
        raise MissingError(f"the same prompt gave {again!r}, at first {want!r}")
    return f"right after every cut: {', '.join(f'{what}: {served} served' for what, (served, _) in found.items())}"


main(check)
