"""A byte-level BPE vocabulary of ASCII, one merge, a few specials and filler."""

from __future__ import annotations

from dataclasses import dataclass, field

import gguf

PRINTABLE = [chr(c) for c in range(0x21, 0x7F)]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_MERGED = "~~"


def _byte_char(byte: int) -> str:
    """GPT-2's visible stand-in for one ASCII byte."""
    if 0x21 <= byte <= 0x7E:
        return chr(byte)
    return chr(0x100 + (byte if byte <= 0x20 else 0x21))  # 0x7F follows 0x20 among the unprintable


@dataclass(frozen=True)
class Vocab:
    """Token texts by id; the first 128 are the ASCII bytes in order."""

    size: int = 256
    tokens: list[str] = field(init=False)
    types: list[int] = field(init=False)

    def __post_init__(self) -> None:
        plain = [_byte_char(b) for b in range(128)] + [_MERGED]
        filler = [f"<|unused_{i}|>" for i in range(self.size - len(plain) - len(_SPECIALS))]
        types = [gguf.TokenType.NORMAL] * len(plain)
        types += [gguf.TokenType.CONTROL] * len(_SPECIALS) + [gguf.TokenType.UNUSED] * len(filler)
        object.__setattr__(self, "tokens", plain + _SPECIALS + filler)
        object.__setattr__(self, "types", [int(t) for t in types])

    @property
    def printable(self) -> list[int]:
        """Return the ids of the tokens that print as themselves."""
        return [ord(c) for c in PRINTABLE]

    def id_of(self, text: str) -> int:
        """Return the id of a token."""
        return self.tokens.index(text)

    def write(self, out: gguf.GGUFWriter) -> None:
        """Write the tokenizer's metadata."""
        out.add_tokenizer_model("gpt2")
        out.add_tokenizer_pre("qwen35")
        out.add_token_list(self.tokens)
        out.add_token_types(self.types)
        out.add_token_merges(["~ ~"])
        out.add_bos_token_id(self.id_of("<|endoftext|>"))
        out.add_eos_token_id(self.id_of("<|im_end|>"))
        out.add_pad_token_id(self.id_of("<|endoftext|>"))
        out.add_add_bos_token(False)
        out.add_chat_template(CHAT_TEMPLATE)
