from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from patchctl.ship.remote import is_remote, normal, same_repository, transport_settings

if TYPE_CHECKING:
    from pathlib import Path

UPSTREAM = "https://github.com/ggml-org/llama.cpp"


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/ggml-org/llama.cpp.git",
        "https://github.com/ggml-org/llama.cpp/",
        "https://github.com//ggml-org/./llama.cpp.git/",
        "HTTPS://GitHub.com/GGML-Org/LLaMA.cpp",
        "https://token:x-oauth@github.com/ggml-org/llama.cpp",
        "https://github.com:443/ggml-org/llama.cpp",
        "https://www.github.com/ggml-org/llama.cpp",
        "git@github.com:ggml-org/llama.cpp.git",
        "github.com:ggml-org/llama.cpp",
        "ssh://git@github.com/ggml-org/llama.cpp.git",
        "ssh://git@ssh.github.com:443/ggml-org/llama.cpp.git",
        "git://github.com/ggml-org/llama.cpp",
        "https://github.com/%67gml-org/llama%2Ecpp",
        "https://github.com/me/../ggml-org/llama.cpp",
    ],
)
def test_upstream_is_known_however_it_is_written(url: str) -> None:
    assert same_repository(url, [UPSTREAM])
    assert is_remote(url)


@pytest.mark.parametrize(
    "url", ["https://github.com/me/llama.cpp", "git@gitlab.com:ggml-org/llama.cpp", "https://github.com/ggml-org/ggml"]
)
def test_a_fork_is_not_upstream(url: str) -> None:
    assert not same_repository(url, [UPSTREAM])


def test_folders_are_the_same_through_links_and_file_urls(tmp_path: Path) -> None:
    (tmp_path / "bare.git").mkdir()
    (tmp_path / "checkout" / ".git").mkdir(parents=True)
    (tmp_path / "link").symlink_to("bare.git")
    assert len({normal(str(tmp_path / name)) for name in ("bare.git", "link", "link/", "checkout/../bare.git")}) == 1
    assert normal(f"file://{tmp_path}/link") == normal(str(tmp_path / "bare.git"))
    assert normal(str(tmp_path / "checkout")) == normal(str(tmp_path / "checkout" / ".git"))
    assert not is_remote("origin")


def test_only_credentials_proxies_and_ssh_are_taken_from_a_persons_git(isolated: Path) -> None:
    (isolated / ".gitconfig").write_text(
        '[credential]\n\thelper = store\n[http]\n\tproxy = p:1\n[url "x"]\n\tpushInsteadOf = y\n'
        "[core]\n\thooksPath = /evil\n\tsshCommand = ssh -i key\n[include]\n\tpath = more\n"
    )
    (isolated / "more").write_text("[http]\n\tcookieFile = c\n")
    found = transport_settings()  # after what this machine's own configuration has
    mine = ["credential.helper=store", "http.proxy=p:1", "core.sshcommand=ssh -i key", "http.cookiefile=c"]
    assert found[-4:] == mine
    assert not any(setting.startswith(("url.", "core.hookspath")) for setting in found)
