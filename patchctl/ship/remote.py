"""Which repository a URL means, however it is written; and what a user's own git needs to reach one."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from patchctl.git import run_git

if TYPE_CHECKING:
    from collections.abc import Iterable

URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^/@]*@)?(?P<host>[^/:]*)(?::(?P<port>\d+))?(?P<path>/.*)?", re.IGNORECASE
)
SCP = re.compile(r"(?:[^/@:]+@)?(?P<host>[^/:]+):(?!//)(?P<path>.+)")
# What a person says about reaching servers; nothing that rewrites where a URL leads.
TRANSPORT = r"^(credential|http|ssh)\.|^core\.(sshcommand|askpass)$"


def is_remote(word: str) -> bool:
    """Return whether a word is a URL or the path of a folder."""
    return bool(URL.fullmatch(word) or SCP.fullmatch(word)) or Path(word).is_dir()


def normal(url: str) -> str:
    """Return the same text for all ways to write one repository's URL: no scheme, user, port, case, ``.git``."""
    found = URL.fullmatch(url)
    if found is not None and found["scheme"].lower() != "file":
        host, path = found["host"], found["path"] or ""
    elif found is None and (short := SCP.fullmatch(url)) and not Path(url).exists():
        host, path = short["host"], short["path"]
    else:
        return _folder(found["path"] or "" if found else url)
    # A server decodes the path, and what leads up in it is followed before it is asked.
    plain = posixpath.normpath(f"/{unquote(path)}").strip("/").lower().removesuffix(".git")
    return f"{host.lower().removeprefix('www.').removeprefix('ssh.').rstrip('.')}/{plain}"


def _folder(path: str) -> str:
    real = os.path.realpath(Path(path).expanduser())
    inner = os.path.join(real, ".git")  # noqa: PTH118 - text in, text out
    return inner if os.path.isdir(inner) else real  # noqa: PTH112


def same_repository(url: str, others: Iterable[str]) -> bool:
    """Return whether ``url`` means the repository of one of ``others``."""
    return normal(url) in {normal(other) for other in others}


def place(word: str) -> str:
    """Return what git is given for a remote: a path in full, a URL as it is."""
    return word if URL.fullmatch(word) or not Path(word).is_dir() else os.path.realpath(word)


def transport_settings() -> list[str]:
    """Return the user's own settings for credentials, proxies and ssh; everything else of theirs stays out."""
    home = Path.home()
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [path for path in (folder / "git" / "config", home / ".gitconfig") if path.is_file()]
    places = [["--system"], *(["--file", str(path)] for path in files)]
    found = []
    for place in places:
        words = ("config", *place, "--includes", "--null", "--get-regexp", TRANSPORT)
        listed = run_git(*words, env={"GIT_CONFIG_NOSYSTEM": "0"}, accept=(0, 1))
        found += [entry.replace("\n", "=", 1) for entry in listed.fields()]
    return found
