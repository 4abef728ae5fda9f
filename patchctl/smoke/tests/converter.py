"""Convert a generated checkpoint with the installed converter and hold the GGUF to the model made directly.

0: all is as it must be; 1: it is not; 125: what the converter needs (torch, transformers) is not here.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

NEEDED = ("torch", "transformers", "safetensors", "sentencepiece")
OUT = Path(os.environ["PATCHCTL_OUT"])
# Of these the checkpoint holds another form, which no float gives back to the last bit.
ROUNDED = ("ssm_a",)


def end(code: int, why: str) -> NoReturn:
    """Say why and end."""
    sys.stderr.write(f"{why}\n")
    sys.exit(code)


def load() -> Any:
    """Return upstream's converter, as a module, with the one name told that it looks up by a list of known models."""
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(OUT / "gguf-py"), str(OUT)]
    try:
        for name in NEEDED:
            importlib.import_module(name)
        converter = importlib.import_module("convert_hf_to_gguf")
        base = importlib.import_module("conversion.base")
    except ImportError as error:
        end(125, f"the converter needs {error.name or error}; install torch and transformers beside patchctl")
    # A tokenizer is known by the hash of what it makes of a text; that of a made-up vocabulary is on no list.
    base.TextModel.get_vocab_base_pre = lambda *_: "qwen35"
    return converter


def convert(converter: Any, checkpoint: Path, made: Path) -> None:
    """Run the converter as its command line does."""
    sys.argv = ["convert_hf_to_gguf.py", str(checkpoint), "--outfile", str(made), "--outtype", "f32"]
    converter.main()


def compare(made: Path, wanted: Path) -> int:
    """Return how many tensors are the same in both; ends the program at the first that is not."""
    gguf, np = importlib.import_module("gguf"), importlib.import_module("numpy")
    one, other = ({tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors} for path in (made, wanted))
    if one.keys() != other.keys():
        end(1, f"tensors that only one has: {', '.join(sorted(one.keys() ^ other.keys()))}")
    for name in sorted(other):
        near = np.allclose(one[name], other[name], rtol=1e-6) if name.endswith(ROUNDED) else False
        if not near and not np.array_equal(one[name], other[name]):
            end(1, f"{name} is not as in the model")
    return len(one)


def look(path: Path) -> str:
    """Return what patchctl finds in a file; ends the program when its MTP head could not draft."""
    from patchctl.smoke.models.facts import inspect

    facts = inspect(path)
    if facts.architecture != "qwen35" or not facts.mtp.complete or facts.mtp.why:
        end(1, f"{path.name}: {facts.architecture}, MTP {facts.mtp.why or 'not complete'}")
    return ", ".join(f"{group.name} {'+'.join(group.types)}" for group in facts.groups)


def quantised(made: Path) -> str:
    """Return what llama-quantize makes of it, empty where that is not built."""
    from patchctl.process import run

    program = OUT / "bin" / "llama-quantize"
    if not program.exists():
        return ""
    small = made.with_name("small.gguf")
    log = made.with_name("quantize.log")
    if run([program, made, small, "Q8_0"], log=log, timeout=60).status:
        end(1, f"llama-quantize failed: {log.read_text(errors='replace')[-200:]}")
    return f"; quantised: {look(small)}"


def main() -> None:
    """Make a checkpoint, convert it, judge it."""
    converter = load()
    from patchctl.smoke.models.checkpoint import write_checkpoint
    from patchctl.smoke.models.make import MODELS

    here = Path.cwd()
    write_checkpoint(MODELS["rand"](), here / "checkpoint")
    convert(converter, here / "checkpoint", here / "made.gguf")
    count = compare(here / "made.gguf", Path(os.environ["PATCHCTL_MODELS"]) / "rand.gguf")
    end(0, f"{count} tensors as they must be; {look(here / 'made.gguf')}{quantised(here / 'made.gguf')}")


main()
