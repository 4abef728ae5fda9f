"""The test models by name and what each is for; light to import, unlike ``make``."""

from __future__ import annotations

MODELS = {
    "perm": "says the alphabet; its MTP head is always right",
    "half": "as perm, its MTP head wrong after every odd token",
    "rand": "random and dependent on its history; drafts are almost never right",
    "fp": "as perm; the accepted counts are a fingerprint of the MTP head's KV cache",
    "rand-tied": "as rand, with the embeddings as its output",
    "perm-moe": "as perm, with experts",
    "rand-moe": "as rand, with experts",
    "rand-narrow": "as rand, 128 wide: for heads that do not fit",
    "rand-other-vocab": "as rand, with 240 tokens: for heads that do not fit",
    "rand-h128": "as rand, with heads of 128 values, for KV cache types",
    "rand-h256": "as rand, with heads of 256 values, for KV cache types",
    "rand-nvfp4": "as rand, its feed-forward weights in NVFP4",
    "rand-nvfp4-f32": "the weights of rand-nvfp4 in F32",
    "large": "as rand, 8 blocks of 1024: for times, 90 MB",
}
SIDECARS = ("bare", "headless", "full")  # NAME-mtp-KIND.gguf: the MTP head by itself, with more and more of its target
USUAL = tuple(name for name in MODELS if name != "large")


def of_file(name: str) -> str:
    """Return the model that a file's name without ``.gguf`` is made with: itself, or the one it is a sidecar of."""
    for kind in SIDECARS:
        name = name.removesuffix(f"-mtp-{kind}")
    return name
