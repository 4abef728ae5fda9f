"""The same prompt twice, without MTP: a server that cannot cut the recurrent state must answer again, not abort."""

from pathlib import Path

from patchctl.smoke.probing import PROMPT, MissingError, Server, main, model, reused


def check(folder: Path) -> str:
    path = model(folder, "rand")
    with Server(path, "-np", 1) as server:
        want = server.complete(PROMPT, 24)["content"]
    with Server(path, "-np", 1) as server:
        server.complete(PROMPT, 1)
        again = server.complete(PROMPT, 24)
    if again["content"] != want:
        raise MissingError(f"the same prompt gave {again['content']!r}, at first {want!r}")
    return f"answered the same prompt again, {reused(again)} tokens reused"


main(check)
