"""Make the situations of ``situations.yaml`` real: a bare upstream repository, a workspace, and what must come out.

    for row in load():
        made = make(row, tmp_path / row.name)
        environment = {"PATCHCTL_MIRROR": made.mirror}

The same row gives the same object ids everywhere. Nothing here uses patchctl.
"""

from __future__ import annotations

from tests.upstreams.maker import Made, make, make_all
from tests.upstreams.rows import Commit, PatchRow, Situation, load

__all__ = ["Commit", "Made", "PatchRow", "Situation", "load", "make", "make_all"]
