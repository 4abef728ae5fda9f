"""The CUDA backend has the kernel that rotates Q, K and V and stores K and V."""

from pathlib import Path

from patchctl.smoke.probing import main, require_kernel


def check(_: Path) -> str:
    return require_kernel(b"k_kv_rotate")


main(check)
