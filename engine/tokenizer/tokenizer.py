"""Text to token ids and back, the same for every vocabulary; files of either kind are read here."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from engine.network.gguf_values import Metadata
from engine.tokenizer.directory import DirectoryTokenizer
from engine.tokenizer.gguf import tokenizer_from_metadata
from models.formats.gguf import GGUFFile


class Tokenizer(Protocol):
    """What the engine's text edge needs of a vocabulary."""

    bos_token_id: int | None
    eos_token_ids: frozenset[int]
    """Every token that ends an answer."""
    vocab_size: int

    def encode(
        self,
        text: str,
        *,
        add_special: bool = True,
        parse_special: bool = True,
        continues: bool = False,
    ) -> list[int]:
        """Token ids of `text`.

        `add_special`: put the start and end tokens around it that the model was trained with.
        `parse_special`: names of control tokens in `text` become those tokens.
        `continues`: `text` goes on in mid-text, so no space is put in front of it.
        A start token that `text` begins with is not put there a second time.
        """

    def decode(self, token_ids: Iterable[int]) -> str:
        """The text of `token_ids`, special tokens left out."""

    def token_bytes(self, token_id: int) -> bytes:
        """What one token adds to the text, a special token's name included."""

    def token_id(self, text: str) -> int | None:
        """The special or added token called `text`."""

    def is_special(self, token_id: int) -> bool:
        """Whether the token is a control token rather than text."""


def load_gguf_tokenizer(file: GGUFFile) -> Tokenizer:
    """The tokenizer in a GGUF file's metadata.

    Raises:
        Unsupported: a tokenizer or pre-tokenizer nobody here knows.
        InvalidModelFile: parts of the vocabulary are missing or contradict each other.
    """
    return tokenizer_from_metadata(Metadata(file.metadata))


def load_tokenizer_directory(directory: Path) -> Tokenizer:
    """The tokenizer of an MLX or Hugging Face model directory (its tokenizer.json).

    Raises:
        NotFound: there is no tokenizer.json.
        InvalidModelFile: it, or the configuration beside it, cannot be read.
    """
    return DirectoryTokenizer(directory)
