"""A test model as a Hugging Face checkpoint: what upstream's converter reads, so that its work can be held to the GGUF.

Written by hand, a few lines of JSON and one safetensors file: making it needs neither torch nor transformers.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from patchctl.smoke.models.vocab import CHAT_TEMPLATE, Vocab

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.smoke.models.make import Model
    from patchctl.smoke.models.numbers import Floats
    from patchctl.smoke.models.shape import Shape

GLOBAL = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
BLOCK = {
    "attn_norm.weight": "input_layernorm.weight",
    "post_attention_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_q_norm.weight": "self_attn.q_norm.weight",
    "attn_k_norm.weight": "self_attn.k_norm.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "attn_qkv.weight": "linear_attn.in_proj_qkv.weight",
    "attn_gate.weight": "linear_attn.in_proj_z.weight",
    "ssm_conv1d.weight": "linear_attn.conv1d.weight",
    "ssm_dt.bias": "linear_attn.dt_bias",
    "ssm_a": "linear_attn.A_log",
    "ssm_beta.weight": "linear_attn.in_proj_b.weight",
    "ssm_alpha.weight": "linear_attn.in_proj_a.weight",
    "ssm_norm.weight": "linear_attn.norm.weight",
    "ssm_out.weight": "linear_attn.out_proj.weight",
}
MTP = {
    "nextn.eh_proj.weight": "mtp.fc.weight",
    "nextn.enorm.weight": "mtp.pre_fc_norm_embedding.weight",
    "nextn.hnorm.weight": "mtp.pre_fc_norm_hidden.weight",
    "nextn.shared_head_norm.weight": "mtp.norm.weight",
}


def write_checkpoint(model: Model, folder: Path) -> None:
    """Write a dense test model as a checkpoint of Qwen3_5ForCausalLM into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = dict(_renamed(name, tensor, model.shape) for name, tensor in model.tensors.items())
    _write_safetensors(folder / "model.safetensors", tensors)
    vocab = Vocab(model.shape.n_vocab)
    for name, content in (
        ("config.json", _config(model.shape)),
        ("tokenizer.json", _tokenizer(vocab)),
        ("tokenizer_config.json", _tokenizer_config()),
    ):
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")


def _renamed(name: str, tensor: Floats, shape: Shape) -> tuple[str, Floats]:
    """Return a tensor as the checkpoint has it: norms less one, the decay as its logarithm."""
    if name in GLOBAL:
        new = GLOBAL[name]
    else:
        _, block, part = name.split(".", 2)
        inner = f"mtp.layers.{int(block) - shape.n_main}" if int(block) >= shape.n_main else f"model.layers.{block}"
        new = MTP[part] if part in MTP else f"{inner}.{BLOCK[part]}"
    if new.endswith("A_log"):
        return new, np.log(-tensor)
    if new.endswith("conv1d.weight"):
        return new, tensor[:, None, :]
    plus_one = new.endswith("norm.weight") or ".pre_fc_norm_" in new
    return new, tensor - np.float32(1) if plus_one and "linear_attn" not in new else tensor


def _write_safetensors(path: Path, tensors: dict[str, Floats]) -> None:
    """Write the format of the safetensors project: the length of a JSON header, the header, the data."""
    header: dict[str, Any] = {}
    at = 0
    for name, tensor in sorted(tensors.items()):
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, tensor in sorted(tensors.items()):
            file.write(np.ascontiguousarray(tensor, dtype="<f4").tobytes())


def _config(shape: Shape) -> dict[str, Any]:
    kinds = ["linear_attention" if shape.is_recurrent(at) else "full_attention" for at in range(shape.n_main)]
    return {
        "architectures": ["Qwen3_5ForCausalLM"],
        "model_type": "qwen3_5_text",
        "vocab_size": shape.n_vocab,
        "hidden_size": shape.n_embd,
        "intermediate_size": shape.n_ff,
        "num_hidden_layers": shape.n_main,
        "mtp_num_hidden_layers": 1,
        "num_attention_heads": shape.n_head,
        "num_key_value_heads": shape.n_head_kv,
        "head_dim": shape.head_dim,
        "layer_types": kinds,
        "full_attention_interval": shape.interval,
        "linear_conv_kernel_dim": shape.conv,
        "linear_key_head_dim": shape.state,
        "linear_value_head_dim": shape.state,
        "linear_num_key_heads": shape.k_heads,
        "linear_num_value_heads": shape.v_heads,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-6,
        "partial_rotary_factor": 0.5,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
            "mrope_section": [shape.head_dim // 4, 0, 0],
        },
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
    }


def _tokenizer(vocab: Vocab) -> dict[str, Any]:
    special = {name for name in vocab.tokens if name.startswith("<|im_") or name == "<|endoftext|>"}
    plain = {text: number for number, text in enumerate(vocab.tokens) if not text.startswith("<|")}
    added = [
        {"id": number, "content": text, "special": True, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False}
        for number, text in enumerate(vocab.tokens)
        if text in special
    ]  # fmt: skip
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
    return {
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": plain, "merges": ["~ ~"]},
    }


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": CHAT_TEMPLATE,
        "eos_token": "<|im_end|>",
        "bos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "add_bos_token": False,
    }
