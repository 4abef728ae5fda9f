"""Tensors of each kind of block, random, with numpy shapes (rows first)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.smoke.models.numbers import Floats, ones, uniform, zeros

if TYPE_CHECKING:
    from collections.abc import Callable

    from patchctl.smoke.models.shape import Shape

Tensors = dict[str, Floats]


@dataclass(frozen=True)
class Gains:
    """Standard deviation of a block's outputs per unit of input; 0 turns it off."""

    delta: float = 0.0
    attn: float = 0.0
    ffn: float = 0.0


def _matrix(seed: int, name: str, rows: int, cols: int, gain: float = 1.0) -> Floats:
    return uniform(seed, name, (rows, cols), gain / cols**0.5) if gain else zeros(rows, cols)


def _norms(shape: Shape, at: str) -> Tensors:
    return {f"{at}.attn_norm.weight": ones(shape.n_embd), f"{at}.post_attention_norm.weight": ones(shape.n_embd)}


def _ffn(shape: Shape, seed: int, at: str, gain: float) -> Tensors:
    e, f, n = shape.n_embd, shape.n_ff, shape.n_expert

    def many(name: str, rows: int, cols: int, g: float = 1.0) -> Floats:
        return uniform(seed, name, (n, rows, cols), g / cols**0.5) if g else zeros(n, rows, cols)

    if not n:
        return {
            f"{at}.ffn_gate.weight": _matrix(seed, f"{at}.ffn_gate", f, e),
            f"{at}.ffn_up.weight": _matrix(seed, f"{at}.ffn_up", f, e),
            f"{at}.ffn_down.weight": _matrix(seed, f"{at}.ffn_down", e, f, gain),
        }
    return {
        f"{at}.ffn_gate_inp.weight": _matrix(seed, f"{at}.ffn_gate_inp", n, e, 4.0),
        f"{at}.ffn_gate_exps.weight": many(f"{at}.ffn_gate_exps", f, e),
        f"{at}.ffn_up_exps.weight": many(f"{at}.ffn_up_exps", f, e),
        f"{at}.ffn_down_exps.weight": many(f"{at}.ffn_down_exps", e, f, gain),
        f"{at}.ffn_gate_inp_shexp.weight": uniform(seed, f"{at}.ffn_gate_inp_shexp", (e,), e**-0.5),
        f"{at}.ffn_gate_shexp.weight": _matrix(seed, f"{at}.ffn_gate_shexp", f, e),
        f"{at}.ffn_up_shexp.weight": _matrix(seed, f"{at}.ffn_up_shexp", f, e),
        f"{at}.ffn_down_shexp.weight": _matrix(seed, f"{at}.ffn_down_shexp", e, f, gain),
    }


def _attention(shape: Shape, seed: int, at: str, gain: float, sharpness: float = 1.0) -> Tensors:
    e, q = shape.n_embd, shape.n_head * shape.head_dim
    kv = shape.n_head_kv * shape.head_dim
    return {
        f"{at}.attn_q.weight": _matrix(seed, f"{at}.attn_q", 2 * q, e),
        f"{at}.attn_k.weight": _matrix(seed, f"{at}.attn_k", kv, e),
        f"{at}.attn_v.weight": _matrix(seed, f"{at}.attn_v", kv, e),
        f"{at}.attn_q_norm.weight": ones(shape.head_dim) * sharpness,
        f"{at}.attn_k_norm.weight": ones(shape.head_dim),
        f"{at}.attn_output.weight": _matrix(seed, f"{at}.attn_output", e, q, gain),
    }


def _delta_net(shape: Shape, seed: int, at: str, gain: float) -> Tensors:
    e, heads = shape.n_embd, shape.v_heads
    return {
        f"{at}.attn_qkv.weight": _matrix(seed, f"{at}.attn_qkv", shape.conv_dim, e),
        f"{at}.attn_gate.weight": _matrix(seed, f"{at}.attn_gate", shape.inner, e),
        f"{at}.ssm_conv1d.weight": uniform(seed, f"{at}.ssm_conv1d", (shape.conv_dim, shape.conv), 0.5),
        f"{at}.ssm_dt.bias": uniform(seed, f"{at}.ssm_dt", (heads,), 0.5),
        f"{at}.ssm_a": ones(heads) * -0.1,
        f"{at}.ssm_beta.weight": _matrix(seed, f"{at}.ssm_beta", heads, e),
        f"{at}.ssm_alpha.weight": _matrix(seed, f"{at}.ssm_alpha", heads, e),
        f"{at}.ssm_norm.weight": ones(shape.state),
        f"{at}.ssm_out.weight": _matrix(seed, f"{at}.ssm_out", e, shape.inner, gain),
    }


def trunk(shape: Shape, seed: int, gains: Gains) -> Tensors:
    """All blocks below the MTP block."""
    tensors: Tensors = {}
    for i in range(shape.n_main):
        at = f"blk.{i}"
        tensors |= _norms(shape, at) | _ffn(shape, seed, at, gains.ffn)
        if shape.is_recurrent(i):
            tensors |= _delta_net(shape, seed, at, gains.delta)
        else:
            tensors |= _attention(shape, seed, at, gains.attn)
    return tensors


def mtp(shape: Shape, seed: int, gains: Gains, eh_proj: Floats | None = None, sharpness: float = 1.0) -> Tensors:
    """The MTP block; `eh_proj` reads [token embedding; hidden state]."""
    at, e = f"blk.{shape.n_main}", shape.n_embd
    proj = _matrix(seed, f"{at}.eh_proj", e, 2 * e) if eh_proj is None else eh_proj
    tensors = _norms(shape, at) | _ffn(shape, seed, at, gains.ffn)
    tensors |= _attention(shape, seed, at, gains.attn, sharpness)
    norms: dict[str, Callable[[int], Floats]] = {"enorm": ones, "hnorm": ones, "shared_head_norm": ones}
    tensors |= {f"{at}.nextn.{n}.weight": make(e) for n, make in norms.items()}
    return tensors | {f"{at}.nextn.eh_proj.weight": proj}
