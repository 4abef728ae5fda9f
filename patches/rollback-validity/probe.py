"""A prompt whose last ubatch is one token, twice under MTP: no snapshot to go back to, and none must be invented."""

from pathlib import Path

from patchctl.smoke.probing import PROMPT, MissingError, Server, main, model, reused

MTP = ["-np", 1, "--spec-type", "draft-mtp", "--spec-draft-n-max", 2, "-ctxcp", 0]
ODD = PROMPT[:41]  # 5 ubatches of 8 tokens and one of 1


def check(folder: Path) -> str:
    path = model(folder, "rand")
    with Server(path, *MTP) as server:
        want = server.complete(ODD, 24)["content"]
    with Server(path, *MTP, "-ub", 8) as server:
        server.complete(ODD, 1)
        again = server.complete(ODD, 24)
    if again["content"] != want:
        raise MissingError(f"the same prompt gave {again['content']!r}, at first {want!r}")
    return f"the same prompt gave the same text, {reused(again)} tokens reused"


main(check)
