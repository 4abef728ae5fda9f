"""The last tokens of a long batch, cut: the state before them must be there. Then the same prompt twice under MTP."""

from pathlib import Path

from patchctl.smoke.library import NEAR, Model, after_cuts, library
from patchctl.smoke.library import PROMPT as TOKENS
from patchctl.smoke.probing import PROMPT, MissingError, Server, main, model

MTP = ["-np", 1, "--spec-type", "draft-mtp", "--spec-draft-n-max", 2, "-ctxcp", 0]


def check(folder: Path) -> str:
    path = model(folder, "rand")
    with library() as lib:
        served, off = after_cuts(Model(lib, path), TOKENS, [3])
    if not served:
        raise MissingError("3 of 10 tokens could not be cut")
    if off > NEAR:
        raise MissingError(f"nmse of the logits after a cut of 3 of 10 tokens: {off:.1e}")
    with Server(path, *MTP) as server:
        want = server.complete(PROMPT, 24)["content"]
    with Server(path, *MTP) as server:
        server.complete(PROMPT, 1)
        again = server.complete(PROMPT, 24)["content"]
    if again != want:
        raise MissingError(f"the same prompt gave {again!r}, at first {want!r}")
    return f"a cut of 3 of 10 tokens is right, nmse {off:.0e}; the same prompt gave the same text"


main(check)
