"""Records which format llama.cpp gives each tensor in each mix, for small models of three shapes.

    PATH_TO/python scripts/make_golden_mixes.py

Needs llama-cpp-python, numpy and gguf; writes tests/golden/llama_cpp_mixes.json.
"""

import ctypes
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import gguf

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.make_synthetic_model import Shape, write_model  # noqa: E402

MIXES = (
    *("Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0"),
    *("Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K"),
)
SMALL = {"ffn": 256, "head_size": 32, "vocab": 512, "context": 64}
SHAPES = {
    "tied-grouped-by-4": Shape(layers=19, width=256, heads=8, kv_heads=2, tied=True, **SMALL),
    "untied-ungrouped": Shape(layers=8, width=256, heads=8, kv_heads=8, **SMALL),
    "rows-of-288": Shape(layers=2, width=288, heads=9, kv_heads=3, tied=True, **SMALL),
}


def main() -> None:
    """Quantize every shape to every mix and note the formats."""
    golden: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "source.gguf", Path(name) / "target.gguf"
        for label, shape in SHAPES.items():
            write_model(source, shape, "F16", 0)
            tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(source).tensors}
            golden[label] = {
                "layers": shape.layers,
                "heads": shape.heads,
                "kv_heads": shape.kv_heads,
                "tensors": {
                    key: [tensor.tensor_type.name, *map(int, tensor.shape[::-1])]
                    for key, tensor in tensors.items()
                },
                "mixes": {mix: _formats(source, target, mix) for mix in MIXES},
            }
    path = ROOT / "tests" / "golden" / "llama_cpp_mixes.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


def _formats(source: Path, target: Path, mix: str) -> list[str]:
    """In the order of the source's tensors."""
    import llama_cpp  # type: ignore[import-not-found, unused-ignore]

    silent = llama_cpp.llama_log_callback(lambda _level, _text, _data: None)
    llama_cpp.llama_log_set(silent, None)
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{mix}")
    params.nthread = 2
    llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    found = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(target).tensors}
    return [found[tensor.name] for tensor in gguf.GGUFReader(source).tensors]


if __name__ == "__main__":
    main()
