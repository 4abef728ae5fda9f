"""A prompt whose last ubatch is short: a cut that reaches into the ubatch before it must be served, and be right.

By library, since from b9231 on the server goes back to a checkpoint instead; then a prompt twice from the server.
"""

from pathlib import Path

from patchctl.smoke.library import NEAR, Model, after_cuts, library
from patchctl.smoke.library import PROMPT as TOKENS
from patchctl.smoke.probing import PROMPT, MissingError, Server, main, model

MTP = ["-np", 1, "--spec-type", "draft-mtp", "--spec-draft-n-max", 2, "-ctxcp", 0]
ODD = PROMPT[:41]  # 5 ubatches of 8 tokens and one of 1


def check(folder: Path) -> str:
    path = model(folder, "rand")
    with library() as lib:
        served, off = after_cuts(Model(lib, path), TOKENS, [3], ubatch=8)
    if not served:
        raise MissingError("3 tokens after ubatches of 8 and 2 could not be cut")
    if off > NEAR:
        raise MissingError(f"nmse of the logits after a cut of 3 tokens: {off:.1e}")
    with Server(path, *MTP) as server:
        want = server.complete(ODD, 24)["content"]
    with Server(path, *MTP, "-ub", 8) as server:
        server.complete(ODD, 1)
        again = server.complete(ODD, 24)["content"]
    if again != want:
        raise MissingError(f"the same prompt gave {again!r}, at first {want!r}")
    return f"a cut of 3 tokens was served, nmse {off:.0e}; the same prompt gave the same text"


main(check)
