from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from patchctl.errors import Code
from patchctl.manifest.model import Test
from patchctl.smoke.hardware import Hardware
from patchctl.smoke.models import kept, make, names
from patchctl.smoke.plan import Case
from patchctl.smoke.runner import run_tests
from tests.smoke.scripted import make_install

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from patchctl.smoke.result import Result
    from tests.conftest import Ran


def test_the_names_are_those_of_the_maker() -> None:
    assert list(names.MODELS) == list(make.MODELS)
    assert list(names.SIDECARS) == list(make.SIDECARS)
    assert [names.of_file(name) for name in ("fp", "fp-mtp-full", "rand-moe-mtp-bare")] == ["fp", "fp", "rand-moe"]


def test_a_model_is_made_once_with_its_sidecars() -> None:
    folder = kept.ensure(["perm-mtp-bare"])
    assert {path.name for path in folder.iterdir()} == {
        "perm.gguf", "perm-mtp-bare.gguf", "perm-mtp-headless.gguf", "perm-mtp-full.gguf",
    }  # fmt: skip
    stamp = (folder / "perm.gguf").stat().st_mtime_ns
    assert kept.ensure(["perm"]) == folder
    assert (folder / "perm.gguf").stat().st_mtime_ns == stamp


def test_a_model_that_was_cut_while_it_was_made_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(make.gguf.GGUFWriter, "write_tensors_to_file", killed)
        with pytest.raises(KeyboardInterrupt):
            kept.ensure(["perm"])
    assert list(kept.folder().iterdir()) == []
    assert (kept.ensure(["perm"]) / "perm.gguf").is_file()


def run(tmp_path: Path, **definition: object) -> Result:
    test = Test.model_validate({"name": "t", "command": {"run": ["ls", "{models}"]}, "models": ["perm"], **definition})
    install = make_install(tmp_path / "install")
    return run_tests([Case(test, tmp_path)], install, logs=tmp_path, hardware=Hardware("m", "p", ()))[0]


def test_a_test_finds_the_models_it_names(tmp_path: Path) -> None:
    result = run(tmp_path, command={"run": ["ls", "{models}"], "output": r"^perm\.gguf$"})
    assert (result.result, result.detail) == ("pass", "")


def test_models_in_use_are_not_freed_and_any_number_may_use_them(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    folder = kept.ensure(["perm"])
    with kept.in_use(folder), kept.in_use(folder):
        ran = patchctl("cache", "--free", "models", cwd=tmp_path)
        assert (ran.code, folder.name in ran.stderr, (folder / "perm.gguf").is_file()) == (9, True, True)
    freeing = f"{sys.executable} -m patchctl cache --free models"
    assert run(tmp_path, command={"run": ["sh", "-c", f"! {freeing}"]}).result == "pass", "a test that runs uses them"
    assert patchctl("cache", "--free", "models", cwd=tmp_path).code == 0
    assert not folder.exists()
    with kept.in_use(folder):
        assert kept.ensure(["perm"]) == folder


def test_without_what_makes_them_a_test_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "patchctl.smoke.models.make", None)
    monkeypatch.delattr("patchctl.smoke.models.make")
    with pytest.raises(kept.NoMakerError, match=r"pip install 'patchctl\[models\]'") as error:
        kept.ensure(["perm"])
    assert error.value.code == Code.ENVIRONMENT
    result = run(tmp_path)
    assert (result.result, "pip install 'patchctl[models]'" in result.detail) == ("skip", True)
