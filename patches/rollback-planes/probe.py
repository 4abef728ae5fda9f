"""The same prompt twice under MTP: the state one token before the end of a long batch must be there."""

from pathlib import Path

from patchctl.smoke.probing import PROMPT, MissingError, Server, main, model

MTP = ["-np", 1, "--spec-type", "draft-mtp", "--spec-draft-n-max", 2, "-ctxcp", 0]


def check(folder: Path) -> str:
    path = model(folder, "rand")
    with Server(path, *MTP) as server:
        want = server.complete(PROMPT, 24)["content"]
    with Server(path, *MTP) as server:
        server.complete(PROMPT, 1)
        again = server.complete(PROMPT, 24)["content"]
    if again != want:
        raise MissingError(f"the same prompt gave {again!r}, at first {want!r}")
    return "the same prompt gave the same text"


main(check)
