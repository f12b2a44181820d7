"""A damaged or hostile GGUF file gives one clear error, never a crash, a hang or much memory."""

import random
import resource
import tracemalloc
from pathlib import Path

import pytest

from models.errors import InvalidModelFile
from models.formats import gguf_reader
from models.formats.gguf import read_gguf
from models.formats.gguf_header import parse_header
from tests.models import gguf_writer as w

GOOD = w.model_bytes(w.LLAMA, w.WEIGHTS)
HUGE = 2**63
F32_ID = w.TYPE_IDS["F32"]
Q4_K_ID = w.TYPE_IDS["Q4_K"]
NAME = [w.value("general.name", "x")]


def one_tensor(*, data: int = 64, **changed: object) -> bytes:
    fields = {"name": "t", "dimensions": [8], "type_id": F32_ID, "offset": 0} | changed
    return w.assemble(NAME, [w.tensor(**fields)], bytes(data))  # type: ignore[arg-type]


def one_entry(value_type: int, raw: bytes, key: str | bytes = "k") -> bytes:
    return w.assemble([w.entry(key, value_type, raw)], data=bytes(32))


def nest(depth: int) -> bytes:
    raw = w.array(w.U8, [1])
    for _ in range(depth):
        raw = w.array(w.ARRAY, [raw])
    return raw


MALFORMED = {
    "wrong magic": (w.assemble(NAME, magic=b"GGML"), "begins with b'GGML'"),
    "a zip archive": (b"PK\3\4" + bytes(100), "not a GGUF file"),
    "one byte": (b"G", "not a GGUF file"),
    "magic only": (b"GGUF", "ends inside the version"),
    "version 0": (w.assemble(NAME, version=0), "version 0"),
    "version 1": (w.assemble(NAME, version=1), "version 1 is not supported"),
    "version 4": (w.assemble(NAME, version=4), "version 4"),
    "big-endian": (w.assemble(NAME, version=3 << 24), "big-endian version 3"),
    "no counts": (b"GGUF" + w.u32(3), "ends inside the number of tensors"),
    "tensor count huge": (w.assemble(NAME, num_tensors=HUGE), "announces 9223372036854775808"),
    "tensor count -1": (w.assemble(NAME, num_tensors=2**64 - 1), "announces"),
    "tensor count one more": (w.assemble(NAME, num_tensors=1), "tensors, but only"),
    "entry count huge": (w.assemble(NAME, num_entries=HUGE), "announces"),
    "entry count one more": (w.assemble(NAME, num_entries=2), "empty|ends inside|announces"),
    "entry count above bytes": (w.assemble(NAME, num_entries=60_000), "metadata entries, but"),
    "key length huge": (w.assemble([w.u64(HUGE) + b"k"]), "at most 65535"),
    "key length past end": (w.assemble([w.u64(60_000) + b"k" * 20]), "60000 bytes announced"),
    "empty key": (one_entry(w.U8, b"\0", key=""), "key is empty"),
    "key not UTF-8": (one_entry(w.U8, b"\0", key=b"\xff\xfe"), "not UTF-8"),
    "key twice": (w.assemble(NAME * 2), "occurs twice"),
    "value type 13": (one_entry(13, bytes(8)), "value type 13; types 0 to 12"),
    "value type huge": (one_entry(2**32 - 1, bytes(8)), "value type 4294967295"),
    "value cut": (w.assemble([w.entry("k", w.U64, b"\1")], alignment=1), "ends inside the value"),
    "bool of 2": (one_entry(w.BOOL, b"\2"), "boolean stored as 2"),
    "bool array of 7": (one_entry(w.ARRAY, w.array(w.U8, [0, 7]).replace(w.u32(0), w.u32(7), 1)),
                        "boolean stored as 7"),
    "string length huge": (one_entry(w.STRING, w.u64(HUGE)), "at most 16777216"),
    "string past end": (one_entry(w.STRING, w.u64(5000) + b"x"), "5000 bytes announced"),
    "string not UTF-8": (one_entry(w.STRING, w.text(b"\xc3\x28")), "not UTF-8"),
    "array of type 13": (one_entry(w.ARRAY, w.array(13, [], count=1)), "value type 13"),
    "array count huge": (one_entry(w.ARRAY, w.array(w.F32, [], count=HUGE)), "bytes announced"),
    "array count overflows": (one_entry(w.ARRAY, w.array(w.F64, [], count=2**61)), "announced"),
    "string array count huge": (one_entry(w.ARRAY, w.array(w.STRING, [], count=HUGE)),
                                "strings in 'k'"),
    "string array cut": (w.assemble([w.entry("k", w.ARRAY, w.array(w.STRING, ["abcdefghi"],
                         count=2))], alignment=1), "ends inside the strings of 'k'"),
    "string in array huge": (one_entry(w.ARRAY, w.u32(w.STRING) + w.u64(1) + w.u64(HUGE)),
                             "past the end"),
    "string in array not UTF-8": (one_entry(w.ARRAY, w.array(w.STRING, [b"a", b"\xff"])),
                                  "string 1 of 'k' is not UTF-8"),
    "nested count huge": (one_entry(w.ARRAY, w.array(w.ARRAY, [], count=HUGE)), "arrays in 'k'"),
    "nested 5 deep": (one_entry(w.ARRAY, nest(5)), "nests arrays"),
    "nested 2000 deep": (one_entry(w.ARRAY, nest(2000)), "nests arrays"),
    "nested too wide": (one_entry(w.ARRAY, w.array(w.ARRAY, [w.array(w.U8, [])] * 70_000)),
                        "nests arrays"),
    "alignment 0": (w.assemble([w.value("general.alignment", 0)]), "general.alignment is 0"),
    "alignment 3": (w.assemble([w.value("general.alignment", 33)]), "is 33; a power of two"),
    "alignment huge": (w.assemble([w.value("general.alignment", 1 << 30)]), "power of two"),
    "alignment text": (w.assemble([w.value("general.alignment", "32")]), "is '32'"),
    "alignment true": (w.assemble([w.value("general.alignment", True)]), "is True"),
    "tensor name empty": (one_tensor(name=""), "name is empty"),
    "tensor name long": (one_tensor(name="n" * 300), "at most 255"),
    "tensor twice": (w.assemble(NAME, [w.tensor("t", [8], F32_ID, 0)] * 2, bytes(64)),
                     "'t' occurs twice"),
    "no dimensions": (one_tensor(dimensions=[]), "has 0 dimensions"),
    "5 dimensions": (one_tensor(dimensions=[1] * 5), "has 5 dimensions"),
    "dimensions 4 billion": (w.assemble(NAME, [w.text("t") + w.u32(2**32 - 1) + bytes(40)]),
                             "4294967295 dimensions"),
    "dimension 0": (one_tensor(dimensions=[8, 0]), r"shape \[8, 0\]"),
    "dimension huge": (one_tensor(dimensions=[HUGE]), "but the file has"),
    "product overflows": (one_tensor(dimensions=[2**32, 2**32, 2**32]), "but the file has"),
    "type removed": (one_tensor(type_id=4), "has type 4, which is none of F32"),
    "type unknown": (one_tensor(type_id=999), "has type 999"),
    "row not whole blocks": (one_tensor(dimensions=[128], type_id=Q4_K_ID), "multiple of 256"),
    "offset unaligned": (one_tensor(offset=4), "starts at 4, not a multiple of 32"),
    "offset past end": (one_tensor(offset=2**20), "but the file has"),
    "offset overflows": (one_tensor(offset=2**64 - 32), "but the file has"),
    "data one byte short": (one_tensor(data=31), "ends at byte"),
    "no data": (one_tensor(data=0), "ends at byte"),
    "overlap": (w.assemble(NAME, [w.tensor("a", [16], F32_ID, 0), w.tensor("b", [8], F32_ID, 32)],
                           bytes(64)), "'a' and 'b' overlap"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused_by_name_and_reason(tmp_path: Path, case: str) -> None:
    raw, reason = MALFORMED[case]
    path = tmp_path / "bad.gguf"
    path.write_bytes(raw)
    with pytest.raises(InvalidModelFile, match=reason) as caught:
        read_gguf(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_every_truncation_of_a_good_file_is_refused() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(InvalidModelFile):
            parse_header(GOOD[:length], "cut.gguf")


def test_announced_sizes_are_not_allocated() -> None:
    tracemalloc.start()
    try:
        for raw, _ in MALFORMED.values():
            with pytest.raises(InvalidModelFile):
                parse_header(raw, "bad.gguf")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_many_strings_cannot_take_far_more_than_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_reader, "MAX_OVERHEAD_BYTES", 1 << 20)
    raw = one_entry(w.ARRAY, w.array(w.STRING, ["ab"] * 200_000))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidModelFile, match="far more memory"):
            parse_header(raw, "bad.gguf")
        assert tracemalloc.get_traced_memory()[1] < len(raw) + (6 << 20)
    finally:
        tracemalloc.stop()


def mutate(raw: bytes, rng: random.Random) -> bytes:
    """`raw` with bytes changed, cut out, put in or doubled, mostly inside the header."""
    changed = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(min(len(changed), 1200))
        kind = rng.randrange(5)
        if kind <= 1:
            changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 2:
            changed[at : at + 8] = rng.choice((b"\xff" * 8, bytes(8), w.u64(HUGE), w.u64(at)))
        elif kind == 3:
            del changed[at : at + rng.randrange(1, 40)]
        else:
            changed[at:at] = changed[at : at + rng.randrange(1, 40)]
    return bytes(changed)


def check_mutations(num_mutations: int, seed: int) -> None:
    rng = random.Random(seed)
    refused = 0
    for _ in range(num_mutations):
        raw = mutate(GOOD, rng)
        try:
            header = parse_header(raw, "mutated.gguf")
        except InvalidModelFile:
            refused += 1
            continue
        for tensor in header.tensors.values():
            assert 0 < tensor.start <= tensor.start + tensor.num_bytes <= len(raw)
    assert 0 < refused < num_mutations
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert peak_bytes < 4 << 30


def test_mutated_files_are_read_or_refused() -> None:
    check_mutations(5_000, seed=1)


@pytest.mark.slow
def test_a_hundred_thousand_mutated_files_are_read_or_refused() -> None:
    check_mutations(100_000, seed=2)
