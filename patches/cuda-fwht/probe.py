"""The CUDA backend has a kernel for the Hadamard rotation."""

from pathlib import Path

from patchctl.smoke.probing import main, require_kernel


def check(_: Path) -> str:
    return require_kernel(b"k_fwhtILi64E")


main(check)
