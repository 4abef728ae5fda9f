"""Hand upstream's converter an MTP layer with one tensor per expert; 0 it merges them, 1 it does not, 125 no torch."""

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

LAYERS, EXPERTS, WIDTH = 1, 2, 8
PARTS = ("down", "gate", "up")
CONFIG = {
    "architectures": ["Qwen3_5MoeForCausalLM"],
    "model_type": "qwen3_5_moe_text",
    "num_hidden_layers": LAYERS,
    "mtp_num_hidden_layers": 1,
    "hidden_size": WIDTH,
    "intermediate_size": WIDTH,
    "moe_intermediate_size": WIDTH,
    "shared_expert_intermediate_size": WIDTH,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "head_dim": WIDTH,
    "num_experts": EXPERTS,
    "num_experts_per_tok": 1,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "vocab_size": 16,
}


def end(code: int, why: str) -> None:
    """Say why and end."""
    print(why)
    sys.exit(code)


def load() -> tuple[Any, Any, Any]:
    """Return torch, upstream's Qwen converters and gguf, from the install under test."""
    sys.dont_write_bytecode = True
    out = Path(os.environ["PATCHCTL_OUT"])
    sys.path[:0] = [str(out / "gguf-py"), str(out)]
    try:
        return tuple(importlib.import_module(name) for name in ("torch", "conversion.qwen", "gguf"))  # type: ignore[return-value]
    except ImportError as error:
        end(125, f"the converter needs {error.name or error}; install torch and transformers beside patchctl")
        raise


def main() -> None:
    """Convert and judge."""
    torch, qwen, gguf = load()
    names = [f"mtp.layers.0.mlp.experts.{expert}.{part}_proj.weight" for expert in range(EXPERTS) for part in PARTS]
    tensors = {name: torch.full((WIDTH, WIDTH), float(at)) for at, name in enumerate(names)}
    made: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.json").write_text(json.dumps(CONFIG))
        torch.save(tensors, folder / "pytorch_model.bin")
        model = qwen.Qwen3_5MoeTextModel(folder, gguf.LlamaFileType.ALL_F32, folder / "out.gguf", hparams=dict(CONFIG))
        try:
            for tensor_name, tensor in tensors.items():
                made |= dict(model.modify_tensors(tensor, tensor_name, 0))
        except KeyError as error:
            end(1, f"KeyError: {error}")
    for part in PARTS:
        merged = made.get(f"blk.{LAYERS}.ffn_{part}_exps.weight")
        wanted = [float(names.index(f"mtp.layers.0.mlp.experts.{x}.{part}_proj.weight")) for x in range(EXPERTS)]
        if merged is None or [float(merged[x, 0, 0]) for x in range(EXPERTS)] != wanted:
            end(1, f"the {part} experts of the MTP layer are not merged; made: {sorted(made)}")
    end(0, f"{len(tensors)} expert tensors became {len(made)}")


main()
