from __future__ import annotations

import pytest

from patchctl.config import config_path, load_config, mirror_for
from patchctl.errors import Code, InvalidError, PatchctlError

URL = "https://github.com/ggml-org/llama.cpp"


@pytest.fixture
def config(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    monkeypatch.setenv("PATCHCTL_CONFIG", str(path))
    monkeypatch.delenv("PATCHCTL_MIRROR", raising=False)
    return path


def test_without_configuration_a_url_is_its_own_place(config):
    assert mirror_for(URL) == URL
    config.write_text("# nothing yet\n")
    assert mirror_for(URL) == URL
    config.write_text("mirrors:\n")
    assert mirror_for(URL) == URL


def test_a_mirror_of_the_file_is_used(config, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config.write_text(f"mirrors:\n  {URL}: /srv/llama.cpp.git\n  https://x/y: ~/y.git\n  https://x/z: git@host:z.git\n")
    assert mirror_for(URL) == "/srv/llama.cpp.git"
    assert mirror_for("https://x/y") == str(tmp_path / "y.git")
    assert mirror_for("https://x/z") == "git@host:z.git"
    assert mirror_for("https://x/other") == "https://x/other"


@pytest.mark.parametrize("spelling", [URL + "/", URL + ".git", URL + ".git/"])
def test_spellings_of_one_url_are_one_url(config, spelling):
    config.write_text(f"mirrors: {{'{URL}.git': /srv/a}}\n")
    assert mirror_for(spelling) == "/srv/a"


def test_the_environment_wins_over_the_file(config, monkeypatch):
    config.write_text(f"mirrors:\n  {URL}: /srv/file\n  https://x/y: /srv/y\n")
    monkeypatch.setenv("PATCHCTL_MIRROR", f"{URL}=/srv/environment")
    assert mirror_for(URL) == "/srv/environment"
    assert mirror_for("https://x/y") == "/srv/y"


def test_the_environment_names_several_mirrors(config, monkeypatch):
    monkeypatch.setenv(
        "PATCHCTL_MIRROR", "https://a/a=/srv/a,https://b/b=https://mirror/b?x=1\n https://c/c?q=1 = /srv/c ,"
    )
    assert load_config().mirrors == {
        "https://a/a": "/srv/a",
        "https://b/b": "https://mirror/b?x=1",
        "https://c/c?q=1": "/srv/c",
    }


def test_the_last_sign_that_a_place_follows_parts_url_and_place(config, monkeypatch):
    monkeypatch.setenv("PATCHCTL_MIRROR", "https://a/x?y=/z=/srv/a=b.git")
    assert load_config().mirrors == {"https://a/x?y=/z": "/srv/a=b.git"}


@pytest.mark.parametrize("entry", ["nonsense", "https://a/a=relative/place", "=/srv/a", "https://a/a="])
def test_an_environment_without_url_and_place_is_a_usage_error(config, monkeypatch, entry):
    monkeypatch.setenv("PATCHCTL_MIRROR", entry)
    with pytest.raises(PatchctlError, match="is no URL=place") as caught:
        load_config()
    assert caught.value.exit_code == Code.USAGE


def test_every_problem_of_the_file_is_told_with_its_place(config):
    config.write_text("mirors: {}\nmirrors:\n  https://a/a: relative\n  https://b/b: 5\nmirrors: {}\n")
    with pytest.raises(InvalidError) as caught:
        load_config()
    assert [str(problem).removeprefix(str(config)) for problem in caught.value.problems] == [
        ':1:1: unknown key "mirors"; did you mean "mirrors"?',
        ":3:16: the mirror of https://a/a must be an absolute path or a URL",
        ":4:16: the mirror of https://b/b must be an absolute path or a URL",
        ':5:1: duplicate key "mirrors"; it is already on line 2',
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", r":1:1: must be a mapping"),
        ("mirrors: [a]\n", r':1:10: mirrors must be a mapping of "URL: place"'),
        ("a: [", ":1:5: a value is missing here"),
    ],
)
def test_a_file_of_another_shape_is_refused(config, text, message):
    config.write_text(text)
    with pytest.raises(InvalidError, match=message):
        load_config()


def test_the_file_is_in_the_configuration_folder_unless_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("PATCHCTL_CONFIG", raising=False)
    assert config_path() == tmp_path / "patchctl" / "config.yaml"
    monkeypatch.setenv("PATCHCTL_CONFIG", "~/x.yaml")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config_path() == tmp_path / "x.yaml"
