"""Tokenizers of model directories: tokenizer.json and the few settings beside it."""

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from engine.tokenizer.vocabulary import BYTES_OF_STAND_INS
from models.errors import InvalidModelFile, NotFound


class DirectoryTokenizer:
    """A tokenizer.json as the `tokenizers` library runs it."""

    def __init__(self, directory: Path) -> None:
        path = directory / "tokenizer.json"
        if not path.exists():
            raise NotFound(f"{directory}: no tokenizer.json in this model directory")
        try:
            text = path.read_text()
            self._tokenizer = Tokenizer.from_str(text)
            self._literal = Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing narrower
            raise InvalidModelFile(f"{path}: {error}") from error
        self._literal.encode_special_tokens = True
        self._description = json.loads(text)
        self._settings = _read_json(directory / "tokenizer_config.json")
        self._generation = _read_json(directory / "generation_config.json")
        self._config = _read_json(directory / "config.json")
        self.vocab_size = max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1
        self.bos_token_id = self._named("bos_token")
        self.eos_token_ids = self._end_token_ids()

    def encode(
        self,
        text: str,
        *,
        add_special: bool = True,
        parse_special: bool = True,
        continues: bool = False,  # noqa: ARG002 - the library has no way to say so
    ) -> list[int]:
        """See Tokenizer.encode; lone surrogates count as U+FFFD."""
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        tokenizer = self._tokenizer if parse_special else self._literal
        ids: list[int] = tokenizer.encode(text, add_special_tokens=add_special).ids
        bos = self.bos_token_id
        return ids[1:] if add_special and bos is not None and ids[:2] == [bos, bos] else ids

    def decode(self, token_ids: Iterable[int]) -> str:
        """See Tokenizer.decode."""
        text: str = self._tokenizer.decode(list(token_ids), skip_special_tokens=True)
        return text

    def token_bytes(self, token_id: int) -> bytes:
        """See Tokenizer.token_bytes; ids past the end of the vocabulary have none."""
        return self._pieces.get(token_id, b"")

    def token_id(self, text: str) -> int | None:
        """See Tokenizer.token_id."""
        return self._added.get(text)

    def is_special(self, token_id: int) -> bool:
        """See Tokenizer.is_special."""
        return token_id in self._special

    @cached_property
    def _added(self) -> dict[str, int]:
        return {token["content"]: token["id"] for token in self._description["added_tokens"]}

    @cached_property
    def _special(self) -> frozenset[int]:
        added = self._description["added_tokens"]
        marked = {token["id"] for token in added if token.get("special")}
        return frozenset(marked | self.eos_token_ids)

    @cached_property
    def _pieces(self) -> dict[int, bytes]:
        byte_level = "ByteLevel" in json.dumps(self._description.get("decoder"))
        added = {token_id: text.encode() for text, token_id in self._added.items()}
        pieces = {
            token_id: _bytes_of_stand_ins(text) if byte_level else _bytes_of_piece(text)
            for text, token_id in self._tokenizer.get_vocab(with_added_tokens=False).items()
        }
        return pieces | added

    def _named(self, key: str) -> int | None:
        """The id of a token that tokenizer_config.json names, as text or as an object."""
        value = self._settings.get(key)
        text = value.get("content") if isinstance(value, dict) else value
        return self._tokenizer.token_to_id(text) if isinstance(text, str) else None

    def _end_token_ids(self) -> frozenset[int]:
        found: set[Any] = {self._named("eos_token")}
        for settings in (self._generation, self._config):
            value = settings.get("eos_token_id")
            found.update(value if isinstance(value, list) else [value])
        return frozenset(index for index in found if isinstance(index, int))


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text())
    except ValueError as error:
        raise InvalidModelFile(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise InvalidModelFile(f"{path}: must hold a JSON object")
    return value


def _bytes_of_stand_ins(text: str) -> bytes:
    if all(char in BYTES_OF_STAND_INS for char in text):
        return bytes(BYTES_OF_STAND_INS[char] for char in text)
    return text.encode()


def _bytes_of_piece(text: str) -> bytes:
    if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
        return bytes([int(text[3:5], 16)])
    return text.replace("▁", " ").encode()
