"""Settings, arguments and keys: pure values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchctl.build import recipe
from patchctl.build.toolchain import Tool, Toolchain, is_native
from patchctl.manifest.model import Build, Variant
from tests.build.project import MINI, source

CC = Tool("cc", Path("/usr/bin/cc"), "cc 12.2.0", "stamp")
TOOLS = Toolchain(
    cc=CC,
    cxx=replace(CC, name="cxx", path=Path("/usr/bin/c++")),
    nvcc=replace(CC, name="nvcc", path=Path("/opt/nvcc"), version="release 13.0"),
    ccache=Tool("ccache", Path("/usr/bin/ccache"), "ccache 4.7.5", "c"),
    cmake=None,
    ninja=Tool("ninja", Path("/usr/bin/ninja"), "1.11.1", "n"),
)


def build(**changes: object) -> Build:
    variants = {
        "cpu": Variant(),
        "gpu": Variant(cmake={"GGML_CUDA": True, "CMAKE_CUDA_ARCHITECTURES": "89-real", "N": 3}),
    }
    return Build(targets=["a"], cmake={"GGML_CUDA": False, "X": False}, variants=variants).model_copy(update=changes)


def test_a_variants_settings_win_and_booleans_are_on_and_off() -> None:
    gpu = recipe.configuration(build(), "gpu")
    assert (gpu["GGML_CUDA"], gpu["X"], gpu["N"], gpu["CMAKE_BUILD_TYPE"]) == ("ON", "OFF", "3", "Release")
    assert recipe.configuration(build(cmake={"CMAKE_BUILD_TYPE": "Debug"}), "cpu")["CMAKE_BUILD_TYPE"] == "Debug"


@pytest.mark.parametrize("name", ["GGML_CCACHE", "CMAKE_EXPORT_COMPILE_COMMANDS", "CMAKE_INSTALL_RPATH"])
def test_what_every_build_needs_is_always_passed(name: str) -> None:
    assert name in recipe.configuration(build(), "cpu")


def test_cuda_is_needed_when_the_merged_settings_say_so() -> None:
    assert recipe.needs_cuda(recipe.configuration(build(), "gpu"))
    assert not recipe.needs_cuda(recipe.configuration(build(), "cpu"))
    assert recipe.needs_cuda({"CMAKE_CUDA_ARCHITECTURES": "89"})
    assert not recipe.needs_cuda({"GGML_CUDA": "off"})


@pytest.mark.parametrize("value", ["", "0", "off", "No", "FALSE", "n", "NOTFOUND", "X-NOTFOUND"])
def test_cmakes_words_for_false(value: str) -> None:
    assert recipe.falsy(value)
    assert not recipe.falsy(f"{value}1")


def test_identity_and_machine_are_arguments_but_not_in_the_key() -> None:
    settings = recipe.configuration(build(), "gpu")
    machine = recipe.machine_settings(TOOLS, cuda=True)
    assert machine["CMAKE_CUDA_COMPILER_LAUNCHER"] == machine["CMAKE_C_COMPILER_LAUNCHER"] == "/usr/bin/ccache"
    assert machine["CMAKE_CUDA_COMPILER"] == "/opt/nvcc"
    assert "CMAKE_CUDA_COMPILER" not in recipe.machine_settings(TOOLS, cuda=False)
    made = source(MINI)
    words = recipe.arguments(machine, settings, recipe.identity_settings(made))
    assert words == sorted(words)
    assert f"-DLLAMA_BUILD_COMMIT={made.identity}" in words
    assert "-DLLAMA_BUILD_NUMBER=12" in words
    assert not {*machine, *recipe.identity_settings(made)} & settings.keys()


def test_a_stacks_own_launcher_wins_over_ccache() -> None:
    settings = recipe.configuration(build(cmake={"CMAKE_C_COMPILER_LAUNCHER": "sccache"}), "cpu")
    assert "-DCMAKE_C_COMPILER_LAUNCHER=sccache" in recipe.arguments(
        recipe.machine_settings(TOOLS, cuda=False), settings
    )


def key(**changes: object) -> str:
    given_values: dict[str, object] = {
        "source": source(MINI), "settings": {"A": "1"}, "identity": {"cc": "12"}, "targets": ["x", "y"], "files": ["f"],
    }  # fmt: skip
    return recipe.build_key(**{**given_values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"source": replace(source(MINI), tree="d" * 40)},
        {"source": replace(source(MINI), base="d" * 40)},
        {"source": replace(source(MINI), build_number=13)},
        {"settings": {"A": "2"}},
        {"identity": {"cc": "13"}},
        {"targets": ["x"]},
        {"files": []},
    ],
    ids=str,
)
def test_every_part_is_in_the_key(change: dict[str, object]) -> None:
    assert key(**change) != key()


def test_the_recipe_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr(recipe, "RECIPE_VERSION", recipe.RECIPE_VERSION + 1)
    assert key() != before


@given(st.permutations(["a", "b", "c"]), st.dictionaries(st.text(), st.text()))
def test_order_and_repetition_do_not_change_the_key(targets: list[str], settings: dict[str, str]) -> None:
    turned = dict(reversed(settings.items()))
    assert key(targets=[*targets, "a"], settings=turned) == key(targets=["a", "b", "c"], settings=settings)


def test_the_identity_names_nvcc_and_the_processor_only_where_they_count() -> None:
    assert "nvcc" not in TOOLS.identity(cuda=False, native=False)
    assert TOOLS.identity(cuda=True, native=False)["nvcc"] == "release 13.0"
    assert "processor" in TOOLS.identity(cuda=False, native=True)
    assert "processor" not in TOOLS.identity(cuda=False, native=False)
    assert is_native({})
    assert not is_native({"GGML_NATIVE": "OFF"})


def test_ccache_hits_across_slots_and_flags_do_not_leak_in() -> None:
    made = recipe.environment({"CFLAGS": "-O0", "PATH": "/bin", "CCACHE_DIR": "/c"}, Path("/slot"), TOOLS)
    assert made["CCACHE_BASEDIR"] == "/slot"
    assert made["CCACHE_NOHASHDIR"] == "1"
    assert (made["PATH"], made["CCACHE_DIR"]) == ("/bin", "/c")
    assert not {"CFLAGS", "CCACHE_NODIRECT", "CCACHE_COMPILERCHECK"} & made.keys()
    assert recipe.environment({}, Path("/slot"), TOOLS, direct=False)["CCACHE_NODIRECT"] == "1"


def test_a_compiler_behind_a_wrapper_script_is_told_apart_by_what_it_starts() -> None:
    wrapped = replace(TOOLS, nvcc=replace(CC, script=True, stamp="one"))
    other = replace(TOOLS, nvcc=replace(CC, script=True, stamp="two"))
    checks = [recipe.environment({}, Path("/s"), tools)["CCACHE_COMPILERCHECK"] for tools in (wrapped, other)]
    assert checks[0].startswith("string:")
    assert checks[0] != checks[1]
