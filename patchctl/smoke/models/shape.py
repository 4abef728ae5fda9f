"""Sizes of a qwen35 model and the metadata that states them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gguf


@dataclass(frozen=True)
class Shape:
    """The defaults give one DeltaNet block, one attention block and one MTP block."""

    n_vocab: int = 256
    n_embd: int = 256
    n_ff: int = 256
    n_main: int = 2
    n_head: int = 4
    n_head_kv: int = 2
    head_dim: int = 64
    state: int = 64
    v_heads: int = 2
    k_heads: int = 1
    conv: int = 4
    interval: int = 2
    n_expert: int = 0
    n_expert_used: int = 2
    context: int = 4096

    @property
    def arch(self) -> str:
        """Return the architecture's name in the GGUF."""
        return "qwen35moe" if self.n_expert else "qwen35"

    @property
    def n_block(self) -> int:
        """Return the number of blocks, the MTP block included."""
        return self.n_main + 1

    @property
    def inner(self) -> int:
        """Return the inner width of a DeltaNet block."""
        return self.state * self.v_heads

    @property
    def conv_dim(self) -> int:
        """Return the channels of its convolution."""
        return 2 * self.state * self.k_heads + self.inner

    def is_recurrent(self, block: int) -> bool:
        """Return whether a block is a DeltaNet block."""
        return block < self.n_main and (block + 1) % self.interval != 0

    def write_attention(self, out: gguf.GGUFWriter, blocks: int) -> None:
        """Write the metadata that every architecture with attention has."""
        out.add_context_length(self.context)
        out.add_embedding_length(self.n_embd)
        out.add_block_count(blocks)
        out.add_feed_forward_length(self.n_ff)
        out.add_head_count(self.n_head)
        out.add_head_count_kv(self.n_head_kv)
        out.add_key_length(self.head_dim)
        out.add_value_length(self.head_dim)
        out.add_layer_norm_rms_eps(1e-6)
        out.add_rope_freq_base(10000.0)

    def write(self, out: gguf.GGUFWriter) -> None:
        """Write the metadata that states these sizes."""
        self.write_attention(out, self.n_block)
        out.add_rope_dimension_count(self.head_dim // 2)
        out.add_rope_dimension_sections([self.head_dim // 4, 0, 0, 0])
        out.add_ssm_conv_kernel(self.conv)
        out.add_ssm_inner_size(self.inner)
        out.add_ssm_state_size(self.state)
        out.add_ssm_time_step_rank(self.v_heads)
        out.add_ssm_group_count(self.k_heads)
        out.add_uint32(f"{self.arch}.full_attention_interval", self.interval)
        out.add_uint32(f"{self.arch}.nextn_predict_layers", 1)
        if self.n_expert:
            out.add_expert_count(self.n_expert)
            out.add_expert_used_count(self.n_expert_used)
            out.add_expert_feed_forward_length(self.n_ff)
            out.add_expert_shared_feed_forward_length(self.n_ff)
