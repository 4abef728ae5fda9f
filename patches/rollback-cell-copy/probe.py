"""Two sequences with one state: each must be cut without harm to the other; the server never does so, by library."""

from pathlib import Path

from patchctl.smoke.library import NEAR, NEXT, PROMPT, Model, distance, library
from patchctl.smoke.probing import MissingError, main, model

CUT = 2


def check(folder: Path) -> str:
    with library() as lib:
        weights = Model(lib, model(folder, "rand"))
        keep = len(PROMPT) - CUT
        want_cut = weights.context(snapshots=3).decode(0, [*PROMPT[:keep], *NEXT], 0)
        want_less = weights.context(snapshots=3).decode(0, [*PROMPT[:-1], 72], 0)

        context = weights.context(snapshots=3)
        context.decode(0, PROMPT, 0)
        context.copy(0, 1)
        if not context.cut(1, keep):
            raise MissingError("the copy could not be cut")
        if not context.cut(0, len(PROMPT) - 1):
            raise MissingError("the original could not be cut")
        got_cut = context.decode(1, NEXT, keep)
        got_less = context.decode(0, [72], len(PROMPT) - 1)
    off = distance(got_cut, want_cut), distance(got_less, want_less)
    if max(off) > NEAR:
        raise MissingError(
            f"nmse of the logits after a cut of each: {off[0]:.1e} for the copy, {off[1]:.1e} for the original"
        )
    return f"both sequences are right after a cut of each, nmse {max(off):.0e}"


main(check)
