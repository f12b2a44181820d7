"""Reads the scores in a SentencePiece model file, a protocol buffer, without its library.

Source: sentencepiece_model.proto (message ModelProto, field 1: pieces; there 1: piece, 2: score).
"""

import struct
from collections.abc import Iterator

from models.errors import InvalidModelFile


def read_scores(raw: bytes) -> dict[str, float]:
    """The score of each piece.

    Raises:
        InvalidModelFile: not such a file.
    """
    scores: dict[str, float] = {}
    try:
        for number, value in _fields(raw):
            if number == 1 and isinstance(value, bytes):
                piece = dict(_fields(value))
                text, score = piece.get(1, b""), piece.get(2, 0.0)
                if isinstance(text, bytes) and isinstance(score, float):
                    scores.setdefault(text.decode(), score)
    except (IndexError, struct.error, UnicodeDecodeError):
        raise InvalidModelFile("tokenizer.model: not a SentencePiece model") from None
    return scores


def _fields(raw: bytes) -> Iterator[tuple[int, bytes | float | int]]:
    """Number and value of each field: bytes, 32-bit floats, integers."""
    position = 0
    while position < len(raw):
        key, position = _varint(raw, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, position = _varint(raw, position)
            yield number, value
        elif wire_type == 2:
            length, position = _varint(raw, position)
            yield number, raw[position : position + length]
            position += length
        elif wire_type == 5:
            yield number, float(struct.unpack_from("<f", raw, position)[0])
            position += 4
        elif wire_type == 1:
            position += 8
        else:
            raise InvalidModelFile(f"tokenizer.model: wire type {wire_type} at byte {position}")


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
