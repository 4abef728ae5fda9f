"""The server takes tbq4_0 as the type of a KV cache."""

import re
import subprocess
from pathlib import Path

from patchctl.smoke.probing import MissingError, UnableError, main, program


def check(_: Path) -> str:
    help_text = subprocess.run([program("llama-server"), "--help"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"--cache-type-k .*?allowed values:(.*?)\(default", help_text, re.DOTALL)
    if not found:
        raise UnableError("llama-server --help does not list the KV cache types")
    if "tbq4_0" not in re.split(r"[\s,]+", found[1]):
        raise MissingError(f"llama-server lists {' '.join(found[1].split())}, not tbq4_0")
    return "llama-server takes tbq4_0"


main(check)
