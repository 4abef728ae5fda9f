"""What a GGUF holds: held against the gguf package where both can tell, and damaged files in every way."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patchctl.smoke.models import header, make
from patchctl.smoke.models.facts import CACHE_TYPES, inspect
from patchctl.smoke.models.header import GgufError, read_header
from patchctl.smoke.models.mtp import read_mtp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make.write(folder, ["rand", "rand-moe", "rand-nvfp4", "rand-h256", "rand-tied"])
    return folder


@pytest.fixture
def change(tmp_path: Path) -> Callable[..., Path]:
    """Write a model with some tensors left out or changed and other metadata, as a converter that errs would."""

    def call(
        *,
        of: str = "rand",
        drop: str = "\0",
        zero: str = "\0",
        nextn: int | None = 1,
        kinds: dict[str, Any] | None = None,
    ) -> Path:
        path = tmp_path / "changed.gguf"
        rand = make.MODELS[of]()
        out = gguf.GGUFWriter(path, rand.shape.arch)
        rand.shape.write(out)
        written = out.kv_data[0]
        del written[f"{rand.shape.arch}.nextn_predict_layers"]
        if nextn is not None:
            out.add_uint32(f"{rand.shape.arch}.nextn_predict_layers", nextn)
        for name, tensor in sorted(rand.tensors.items()):
            if drop not in name:
                kind = (kinds or {}).get(name, gguf.GGMLQuantizationType.F32)
                data = np.zeros_like(tensor) if zero in name else tensor
                out.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_tensors_to_file()
        out.close()
        return path

    return call


@pytest.mark.parametrize("name", ["rand", "rand-moe", "rand-nvfp4", "rand-mtp-bare"])
def test_the_header_is_what_the_gguf_package_reads(name: str, models: Path) -> None:
    ours, theirs = read_header(models / f"{name}.gguf"), gguf.GGUFReader(models / f"{name}.gguf")
    assert [(it.name, it.shape, it.type, it.start, it.size) for it in ours.tensors] == [
        (it.name, tuple(map(int, it.shape)), int(it.tensor_type), it.data_offset, it.n_bytes) for it in theirs.tensors
    ]
    assert ours.metadata["general.architecture"] == theirs.fields["general.architecture"].contents()
    assert ours.metadata["tokenizer.ggml.tokens"] == theirs.fields["tokenizer.ggml.tokens"].contents()


def test_every_type_of_the_gguf_package_is_known_by_name_and_size() -> None:
    known = {number: (name, *sizes) for number, (name, *sizes) in header.TYPES.items()}
    for kind, (values, size) in gguf.GGML_QUANT_SIZES.items():
        if kind.name != "Q8_1":  # in no file; the package counts the scales of an old layout
            assert known[int(kind)] == (kind.name, values, size)


def test_a_long_array_is_counted_not_kept(tmp_path: Path) -> None:
    out = gguf.GGUFWriter(tmp_path / "long.gguf", "qwen35")
    out.add_token_list([f"token {number}" for number in range(5000)])
    out.add_token_scores([0.5] * 5000)
    out.add_block_count(7)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    read = read_header(tmp_path / "long.gguf").metadata
    assert (read["tokenizer.ggml.tokens"], read["tokenizer.ggml.scores"], read["qwen35.block_count"]) == (5000, 5000, 7)
    assert inspect(tmp_path / "long.gguf").vocabulary == 5000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_says_so_wherever_it_ends(share: float, models: Path, tmp_path: Path) -> None:
    content = (models / "rand-mtp-bare.gguf").read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(GgufError, match=r"^is (truncated: |empty$|no GGUF: )"):
        inspect(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(4, 9000), value=st.binary(min_size=1, max_size=8))
def test_a_damaged_header_is_an_error_in_words_or_read_never_a_crash(
    at: int, value: bytes, models: Path, tmp_path: Path
) -> None:
    content = bytearray((models / "rand-mtp-bare.gguf").read_bytes())
    content[at : at + len(value)] = value
    path = tmp_path / "damaged.gguf"
    path.write_bytes(content)
    with contextlib.suppress(GgufError):
        inspect(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + b"x" * 99, "is no GGUF: it begins with 'PK\\x03\\x04', not with GGUF"),
        (b"GGUF" + struct.pack("<I", 1) + b"x" * 99, "is a GGUF of version 1; only 2 and 3 are known"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "is damaged: its metadata names no architecture"),
        (
            b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 9, 1),
            "is damaged: the entries of a have the type 9, which there is not",
        ),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "is truncated: its header goes on past its end at 24 bytes"),
    ],
)
def test_what_is_no_model_is_told_in_a_line(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(GgufError) as error:
        inspect(path)
    assert str(error.value) == said


def test_kv_bytes_count_attention_blocks_and_whole_blocks_of_a_type(models: Path) -> None:
    small, large = inspect(models / "rand.gguf"), inspect(models / "rand-h256.gguf")
    values = 2 * 2 * 64  # K and V, two KV heads of 64 values; one of the three blocks is recurrent, one is the MTP head
    assert (small.blocks, small.kv_blocks) == (3, 1)
    assert small.kv_bytes["f16"] == 2 * values
    assert small.kv_bytes["q8_0"] == values / 32 * 34
    assert small.kv_bytes["tbq4_0"] is None
    assert large.kv_bytes["tbq4_0"] == 4 * values / 128 * 68
    assert small.mtp_kv_bytes == small.kv_bytes
    assert set(small.kv_bytes) == set(CACHE_TYPES)


def test_quantisation_is_told_per_group(models: Path) -> None:
    groups = {group.name: group for group in inspect(models / "rand-nvfp4.gguf").groups}
    assert groups["ffn"].types == {"NVFP4": 9}
    assert groups["ffn"].size == 9 * 256 * 256 // 64 * 36
    assert (groups["mtp"].types, groups["recurrent"].tensors) == ({"F32": 4}, 7)
    assert sum(group.tensors for group in groups.values()) == 43
    assert "experts" in {group.name for group in inspect(models / "rand-moe.gguf").groups}


def test_a_complete_head_has_nothing_to_be_said_against(models: Path) -> None:
    for name in ("rand", "rand-moe", "rand-mtp-full"):
        mtp = inspect(models / f"{name}.gguf").mtp
        assert (mtp.complete, mtp.layers, mtp.why, mtp.missing, mtp.remarks) == (True, 1, "", (), ())
    assert inspect(models / "rand.gguf").mtp.tensors["blk.2.nextn.eh_proj.weight"] == "F32"


KEY = "qwen35.nextn_predict_layers"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"drop": ".nextn.", "nextn": None}, "the file has no MTP head: nothing is drafted"),
        ({"nextn": None}, f"{KEY} is missing, so its 4 nextn tensors are ignored: nothing is drafted"),
        ({"nextn": 0}, f"{KEY} is 0, so its 4 nextn tensors are ignored: nothing is drafted"),
        ({"drop": ".nextn."}, f"{KEY} is 1, but no nextn tensor is in the file: nothing is drafted"),
        ({"drop": ".enorm."}, "the MTP head is not complete, blk.2.nextn.enorm.weight is missing: it cannot be loaded"),
        ({"drop": "blk.2.attn_"}, "the MTP head is not complete, blk.2.attn_norm.weight is missing and 6 more: it"),
        ({"zero": ".eh_proj."}, "blk.2.nextn.eh_proj.weight is all zeros: each draft is the same"),
    ],
)
def test_why_acceptance_would_be_nothing_is_a_plain_sentence(
    changes: dict[str, Any], why: str, change: Callable[..., Path]
) -> None:
    found = inspect(change(**changes)).mtp.why
    assert found.startswith(why)
    assert " 0 %" in found


@pytest.mark.parametrize("model", ["rand", "rand-moe"])
def test_a_head_without_any_tensor_that_llama_cpp_loads_it_with_is_not_complete(
    model: str, change: Callable[..., Path]
) -> None:
    block = sorted(name for name in make.MODELS[model]().tensors if name.startswith("blk.2."))
    complete = [name for name in block if inspect(change(of=model, drop=name)).mtp.complete]
    assert complete == ["blk.2.nextn.shared_head_norm.weight"], "the only one it can do without"
    assert len(block) == {"rand": 15, "rand-moe": 20}[model]


def test_a_head_whose_tensors_were_merged_is_complete(models: Path) -> None:
    separate = {f"blk.2.{name}.weight" for name in ("attn_q", "attn_k", "attn_v", "ffn_gate_exps", "ffn_up_exps")}
    read = read_header(models / "rand-moe.gguf")
    names = [it.name for it in read.tensors if it.name not in separate]
    merged = [*names, "blk.2.attn_qkv.weight", "blk.2.ffn_gate_up_exps.weight"]
    tensors = tuple(replace(read.tensors[0], name=name) for name in merged)
    assert read_mtp(replace(read, tensors=tensors), models / "rand-moe.gguf", "qwen35moe", 2).missing == ()


def test_a_sidecar_is_judged_by_what_it_speaks_with(models: Path) -> None:
    headless = inspect(models / "rand-mtp-headless.gguf").mtp
    assert "speaks by the embeddings: acceptance is about 0 %" in headless.why
    bare = inspect(models / "rand-mtp-bare.gguf").mtp
    assert (bare.why, bare.complete) == ("", True)
    assert bare.remarks[0].startswith("a head by itself without token_embd.weight: it loads only where")
    assert inspect(models / "rand-tied.gguf").mtp.why == ""


def test_a_head_in_few_bits_is_remarked(change: Callable[..., Path]) -> None:
    name = "blk.2.nextn.eh_proj.weight"
    assert inspect(change(kinds={name: gguf.GGMLQuantizationType.Q8_0})).mtp.remarks == ()
    (remark,) = inspect(change(kinds={name: gguf.GGMLQuantizationType.TQ1_0})).mtp.remarks
    assert remark == f"{name} is TQ1_0: so few bits lower the acceptance"
