"""Models with the attention of real ones and little else, for measuring: 24 query heads on 4, of 256 values, and so on.

A name is HEADSxKVxDIM. The first model is nothing but eight layers of such attention; the second adds the layers and
the MTP head of qwen35, and always says the alphabet, so that what its head drafts is always accepted: what MTP can give
at most. Both are narrow, so that the cache, not the weights, is what decoding at depth reads.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.files import cache_folder, disk_errors
from patchctl.smoke.models.kept import in_use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from patchctl.smoke.models.make import Model

KNOWN = ("24x4x256", "32x8x128")
TINY = "4x2x64"  # to try a bench with; says nothing of real models
LAYERS = 8
MOST = 2**31  # bytes of one model in memory while it is made


@dataclass(frozen=True)
class Measured:
    """The models of one bench: what ``llama-bench`` runs, what the server serves, and how both are called."""

    name: str
    alone: Path
    served: Path


@contextlib.contextmanager
def generated(name: str) -> Iterator[Measured]:
    """Give the models of a geometry, made where missing; they stay in the cache folder at least as long.

    Raises PatchctlError: exit code 2 for a name that is none or a size nobody has, 9 without gguf and numpy.
    """
    heads = _heads(name)
    try:
        from patchctl.bench import geometry_model as made_by
    except ImportError as error:
        why = f"models to measure with are made with gguf and numpy ({error}); pip install 'patchctl[models]'"
        raise PatchctlError(Code.ENVIRONMENT, why) from error
    source = Path(made_by.__file__).read_bytes()
    folder = cache_folder() / "models" / f"bench-{hashlib.sha256(source).hexdigest()[:12]}"
    makers = {f"{name}.gguf": made_by.attention, f"{name}-mtp.gguf": made_by.with_mtp}
    with in_use(folder):
        paths = [_kept(folder / file, functools.partial(make, *heads)) for file, make in makers.items()]
        yield Measured(name, *paths)


def _heads(name: str) -> tuple[int, int, int]:
    found = re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,2})x([1-9]\d{0,2})", name)
    if found is None:
        known = ", ".join(KNOWN)
        raise PatchctlError(Code.USAGE, f"{name} is neither a file nor a geometry (HEADSxKVxDIM, as in {known})")
    query, kv, width = map(int, found.groups())
    if query % kv or width % 4 or 24 * LAYERS * 256 * query * width > MOST:
        raise PatchctlError(Code.USAGE, f"no model has {query} query heads on {kv} KV heads of {width} values")
    return query, kv, width


def _kept(path: Path, make: Callable[[], Model]) -> Path:
    if not path.is_file():
        with disk_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            make().save(path)
    return path
