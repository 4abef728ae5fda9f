from __future__ import annotations

import csv
import io
import itertools
import json
import sys
import types
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.bench.limits import exit_code, judge
from patchctl.bench.results import as_csv, file_name, read_results, result_of, write_results
from patchctl.bench.run import measure
from patchctl.bench.samples import Settings, run_served
from patchctl.errors import Code, PatchctlError
from patchctl.manifest.model import Limit
from patchctl.smoke.hardware import Gpu, Hardware
from tests.bench.scripted import IDENTITY, model, side
from tests.smoke.scripted import running_below
from tests.smoke.test_gpu import driver

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = Settings(depths=(0, 1000), prompt=64, tokens=16, timeout=20)
HARDWARE = Hardware("x86_64", "Proc", (Gpu("G", "8.9"),))


def row(rows: list[dict[str, Any]], measure: str, **point: object) -> dict[str, Any]:
    (found,) = [it for it in rows if it["measure"] == measure and point.items() <= it["point"].items()]
    return found


def test_everything_is_measured_in_turns(tmp_path: Path) -> None:
    sides = [side(tmp_path, "base"), side(tmp_path, "mine", speed=130.0)]
    rows = measure(sides, model(tmp_path), SETTINGS, mtp=True)
    once = [f"{name} {what}" for what in ("f16", "ar", "mtp") for name in ("base", "mine")]
    assert (tmp_path / "journal").read_text().split("\n")[:12] == [*once, *once[::-1]]
    assert (tmp_path / "journal").read_text().count("\n") == 5 * 6
    assert {(it["measure"], it["unit"]) for it in rows} == {
        ("decode", "tokens/s"), ("prefill", "tokens/s"), ("batch", "tokens/s"), ("first token", "ms"),
        ("first token, warm cache", "ms"), ("served prefill", "tokens/s"), ("served decode", "tokens/s"),
        ("tokens per decode", "tokens"), ("acceptance", "share"), ("mtp against ar", "tokens/s"),
    }  # fmt: skip
    assert {len(one["values"]) for it in rows for one in it["series"]} == {5}


def test_a_faster_build_is_called_faster(tmp_path: Path) -> None:
    sides = [side(tmp_path, "base"), side(tmp_path, "mine", speed=130.0)]
    rows = measure(sides, model(tmp_path), SETTINGS, mtp=False)
    found = row(rows, "decode", depth=1000)
    assert [(one["name"], one["median"]) for one in found["series"]] == [("base", 50.0), ("mine", 65.0)]
    assert found["comparison"] == {
        "ratio": 1.3,
        "low": pytest.approx(1.3),
        "high": pytest.approx(1.3),
        "verdict": "faster",
    }
    assert row(rows, "batch", depth=0)["point"] == {"tokens": 4, "kv": "f16", "depth": 0}
    assert row(rows, "batch", depth=0)["series"][0]["median"] == 1000.0


def test_drafts_are_held_against_the_same_build_without_them(tmp_path: Path) -> None:
    rows = measure([side(tmp_path, "mine")], model(tmp_path), SETTINGS, mtp=True)
    gain = row(rows, "mtp against ar")
    assert [one["name"] for one in gain["series"]] == ["ar", "mtp"]
    assert gain["comparison"]["ratio"] == 2.0
    assert row(rows, "acceptance", mode="mtp")["series"][0]["median"] == 0.5
    assert row(rows, "tokens per decode", mode="mtp")["series"][0]["median"] == 2.0
    assert row(rows, "tokens per decode", mode="ar")["series"][0]["median"] == 1.0
    assert row(rows, "decode", depth=0)["comparison"] is None, "there is nothing to compare with"


def test_drafts_that_are_all_refused_are_shown_and_break_a_limit(tmp_path: Path) -> None:
    sides = [side(tmp_path, "base"), side(tmp_path, "mine", accepted=0)]
    rows = measure(sides, model(tmp_path), SETTINGS, mtp=True)
    found = row(rows, "acceptance")
    assert [(one["name"], one["median"]) for one in found["series"]] == [("base", 0.5), ("mine", 0)]
    assert found["comparison"] is None
    (judged,) = judge([Limit(measure="acceptance", least=0.9)], rows, "cpu")
    assert judged["result"] == "error"


def test_a_kv_type_that_only_the_stack_has_is_held_against_the_base(tmp_path: Path) -> None:
    settings = Settings(depths=(0,), kv=("f16", "tbq4_0"), prompt=64, tokens=16, timeout=20)
    sides = [side(tmp_path, "base", kv=("f16",)), side(tmp_path, "mine", kv=("f16", "tbq4_0"), speed=140.0)]
    rows = measure(sides, model(tmp_path), settings, mtp=False)
    assert [one["name"] for one in row(rows, "decode", kv="tbq4_0")["series"]] == ["mine"]
    against = row(rows, "decode against f16", kv="tbq4_0")
    assert [one["name"] for one in against["series"]] == ["base f16", "mine tbq4_0"]
    assert against["comparison"]["ratio"] == 1.4


def test_what_the_gpus_spend_counts_for_builds_that_use_them_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count(1)
    monkeypatch.setitem(
        sys.modules,
        "pynvml",
        driver(nvmlDeviceGetMemoryInfo=lambda _: types.SimpleNamespace(used=2**30 * min(next(looks), 3))),
    )
    on_cpu = side(tmp_path, "mine")
    on_gpu = replace(on_cpu, install=replace(on_cpu.install, architectures=("sm_89",)))
    kinds = {"memory", "energy"}
    assert not kinds & {it.measure for it in run_served(on_cpu, model(tmp_path), SETTINGS, mtp=False)}
    found = {it.measure: it for it in run_served(on_gpu, model(tmp_path), SETTINGS, mtp=False)}
    assert (found["memory"].value, found["memory"].unit) == (3072.0, "MiB")
    assert found["energy"].unit == "tokens/J"
    assert found["energy"].value > 0


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"before": "sys.exit('out of memory')"}, "mine, llama-bench with f16: it ended with status 1"),
        ({"before": "sys.exit(0)"}, "it measured nothing"),
        ({"identity": "999999999-abcdefabc"}, f"it says it is 999999999-abcdefabc, not {IDENTITY}"),
        ({"before": "import time; time.sleep(60)"}, "it did not end within 1 s"),
        ({"server": "\ndef answer(connection): os.kill(os.getpid(), 9)\n"}, "mine, the server, ar: POST /completion"),
        ({"server": "\ndef answer(connection): connection.sendall(reply(500, {}))\n"}, "answered 500"),
        (
            {"server": "\ndef props(c): c.sendall(reply(200, {'build_info': 'b6-x'}))\n"},
            "not the binary that was built",
        ),
        ({"server": "\ndef answer(connection): connection.sendall(reply(200, b'{'))\n"}, "is no measurement"),
        (
            {"server": "\ndef answer(connection): connection.sendall(reply(200, {}))\n"},
            "is no measurement (KeyError: 'timings')",
        ),
        ({"before": "speed = 0"}, "is no measurement (ValueError: prefill 0.0 tokens/s)"),
        ({"before": "print('{')"}, "is no measurement"),
    ],
)
def test_what_cannot_be_measured_is_a_clear_line_and_leaves_nothing(
    tmp_path: Path, broken: dict[str, str], said: str
) -> None:
    made = side(tmp_path, "mine", **broken)  # type: ignore[arg-type]
    settings = Settings(depths=(0,), prompt=64, tokens=16, timeout=1 if "sleep" in str(broken) else 20)
    with pytest.raises(PatchctlError) as error:
        measure([made], model(tmp_path), settings, mtp=False)
    assert error.value.code is Code.TEST
    assert said in error.value.message
    assert running_below(tmp_path) == []


def test_results_are_written_read_and_named_alike_for_the_same_settings(tmp_path: Path) -> None:
    sides = [side(tmp_path, "base"), side(tmp_path, "mine")]
    rows = measure(sides, model(tmp_path), SETTINGS, mtp=False)
    limits = [Limit(measure="decode", least=0.9), Limit(measure="decode", least=0.9, variants=["sm_89"])]
    result = result_of(sides, model(tmp_path), SETTINGS, rows, hardware=HARDWARE, limits=limits)
    assert file_name(result) == file_name({**result, "date": "another", "rows": []})
    assert file_name(result) != file_name({**result, "vs": None})
    assert file_name(result).startswith("cpu-m-vs-base-")
    paths = write_results(tmp_path / "out" / "r1" / "bench" / file_name(result), result)
    assert [path.suffix for path in paths] == [".json", ".csv"]
    (tmp_path / "out" / "r1" / "bench" / "broken.json").write_text("{")
    (tmp_path / "out" / "r1" / "bench" / "other.json").write_text("[]")
    assert read_results(tmp_path / "out") == [json.loads(json.dumps(result))]
    assert result["build"]["identity"] == IDENTITY
    assert result["hardware"]["words"] == "G, Proc, x86_64"
    assert [it["result"] for it in result["limits"]] == ["pass"], "the other limit is about another variant"


def test_the_csv_has_a_line_for_each_number_with_the_identity(tmp_path: Path) -> None:
    sides = [side(tmp_path, "base"), side(tmp_path, "mine")]
    rows = measure(sides, model(tmp_path), SETTINGS, mtp=False)
    result = result_of(sides, model(tmp_path), SETTINGS, rows, hardware=HARDWARE, limits=[])
    lines = list(csv.DictReader(io.StringIO(as_csv(result))))
    assert len(lines) == sum(len(one["values"]) for it in rows for one in it["series"])
    decode = [it for it in lines if it["measure"] == "decode" and it["depth"] == "1000" and it["series"] == "mine"]
    assert [(it["repetition"], float(it["value"])) for it in decode] == [(str(n), 50.0) for n in range(1, 6)]
    assert {(it["identity"], it["hardware"], it["vs"]) for it in lines} == {(IDENTITY, "G, Proc, x86_64", IDENTITY)}


def compared(low: float | None, high: float | None, **point: int | str) -> dict[str, Any]:
    found = {"ratio": 1.0, "low": low, "high": high, "verdict": "unknown"}
    return {"measure": "decode", "point": point, "comparison": found}


@pytest.mark.parametrize(
    ("limit", "rows", "result", "code"),
    [
        ({"least": 0.98}, [compared(0.99, 1.2)], "pass", Code.OK),
        ({"least": 0.98}, [compared(0.9, 0.97)], "fail", Code.TEST),
        ({"least": 0.98}, [compared(0.97, 1.2)], "unknown", Code.ATTENTION),
        ({"least": 0.98}, [compared(None, None)], "unknown", Code.ATTENTION),
        ({"most": 1.02}, [compared(0.9, 1.01)], "pass", Code.OK),
        ({"most": 1.02}, [compared(1.03, 1.2)], "fail", Code.TEST),
        ({"most": 1.02}, [compared(1.0, 1.2)], "unknown", Code.ATTENTION),
        ({"most": 1.02}, [compared(None, None)], "unknown", Code.ATTENTION),
        ({"least": 0.98}, [], "error", Code.TEST),
        ({"least": 0.98}, [{**compared(1, 1), "comparison": None}], "error", Code.TEST),
        ({"least": 0.98}, [{**compared(1, 1), "measure": "prefill"}], "error", Code.TEST),
        ({"least": 0.98, "at": {"depth": 4096}}, [compared(0.5, 0.6, depth=0), compared(1, 1, depth=4096)], "pass", 0),
        ({"least": 0.98}, [compared(1, 1, depth=0), compared(0.5, 0.6, depth=4096)], "fail", Code.TEST),
        ({"least": 0.98}, [compared(0.5, 1.6, depth=0), compared(0.5, 0.6, depth=4096)], "fail", Code.TEST),
    ],
)
def test_limits(limit: dict[str, Any], rows: list[dict[str, Any]], result: str, code: int) -> None:
    judged = judge([Limit(measure="decode", **limit)], rows, "cpu")
    assert [it["result"] for it in judged] == [result]
    assert exit_code(judged) == code


def test_a_limit_is_one_bound() -> None:
    for both in ({}, {"least": 1.0, "most": 1.0}):
        with pytest.raises(ValueError, match="exactly one of: least, most"):
            Limit(measure="decode", **both)  # type: ignore[arg-type]
