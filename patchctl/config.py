"""What a user says once for all workspaces: where copies of upstream repositories are.

The file is ``config.yaml`` in the platform's configuration folder (``~/.config/patchctl/``; ``PATCHCTL_CONFIG`` names
another): ``mirrors: {URL: place}``, a place being an absolute path, a path from ``~``, or a URL. The environment wins:
``PATCHCTL_MIRROR='URL=place'``, several separated by commas or line ends. Of several ``=`` the last that a place
follows parts the two.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.errors import Code, InvalidError, PatchctlError, Problem, closest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from patchctl.document import Document

PLACE = re.compile(r"/|~|[A-Za-z][A-Za-z0-9+.-]*://|[\w.-]+@[\w.-]+:")
KEYS = ("mirrors",)


@dataclass(frozen=True)
class Config:
    """The user's configuration, file and environment together."""

    mirrors: Mapping[str, str] = field(default_factory=dict)

    def mirror_for(self, url: str) -> str:
        """Return where to fetch ``url`` from: its mirror, or ``url`` itself."""
        return self.mirrors.get(_plain(url), url)


def config_path() -> Path:
    """Return the file of the user's configuration; ``PATCHCTL_CONFIG`` overrides the platform's."""
    override = os.environ.get("PATCHCTL_CONFIG")
    if override:
        return Path(override).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_config_dir("patchctl")) / "config.yaml"


def load_config() -> Config:
    """Return the user's configuration; no file is an empty one.

    Raises InvalidError with every problem of the file, PatchctlError (exit code 2) for the environment.
    """
    path = config_path()
    mirrors: dict[str, str] = {}
    if path.exists():
        from patchctl.document import load

        mirrors |= _mirrors(load(path))
    mirrors |= dict(_from_environment(os.environ.get("PATCHCTL_MIRROR", "")))
    return Config(mirrors)


def mirror_for(url: str) -> str:
    """Return where the user wants ``url`` fetched from: a mirror's path or URL, or ``url`` itself."""
    return load_config().mirror_for(url)


def _plain(url: str) -> str:
    return url.strip().rstrip("/").removesuffix(".git")


def _place(text: str) -> str:
    return str(Path(text).expanduser()) if text.startswith("~") else text


def _mirrors(document: Document) -> dict[str, str]:
    from patchctl.document import plain

    data = plain(document.root)
    problems = [*document.problems, *_problems(document, data)]
    if problems:
        raise InvalidError(sorted(problems))
    return {_plain(url): _place(place) for url, place in ((data or {}).get("mirrors") or {}).items()}


def _problems(document: Document, data: object) -> Iterator[Problem]:
    if data is None:
        return
    if not isinstance(data, dict):
        yield document.problem((), 'must be a mapping of "key: value", such as "mirrors:"')
        return
    for key in data:
        if key not in KEYS:
            yield document.problem((key,), f'unknown key "{key}"{closest(key, KEYS)}', key=True)
    mirrors = data.get("mirrors")
    if mirrors is not None and not isinstance(mirrors, dict):
        yield document.problem(("mirrors",), 'mirrors must be a mapping of "URL: place"')
        return
    for url, place in (mirrors or {}).items():
        if not isinstance(place, str) or not PLACE.match(place):
            yield document.problem(("mirrors", url), f"the mirror of {url} must be an absolute path or a URL")


def _from_environment(text: str) -> Iterator[tuple[str, str]]:
    for entry in filter(None, (part.strip() for part in re.split(r"[,\n]", text))):
        at = entry.rfind("=")
        while at > 0 and not PLACE.match(entry[at + 1 :].lstrip()):
            at = entry.rfind("=", 0, at)
        if at <= 0:
            message = f'PATCHCTL_MIRROR: "{entry}" is no URL=place (a place is an absolute path or a URL)'
            raise PatchctlError(Code.USAGE, message)
        yield _plain(entry[:at]), _place(entry[at + 1 :].strip())
