"""The CUDA backend has the attention kernel that reads tbq4_0 directly."""

from pathlib import Path

from patchctl.smoke.probing import main, require_kernel


def check(_: Path) -> str:
    return require_kernel(b"flash_attn_ext_quantIL9ggml_type64E")


main(check)
