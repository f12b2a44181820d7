"""How much each input column of each matrix matters: its mean square over a calibration text.

An error in a weight is multiplied by the activation that meets it, so columns that are mostly near
zero may be rounded coarsely. The idea, and the file format, are llama.cpp's importance matrix.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from engine.conversion.source import WeightSource
from engine.loading import EngineOptions, load_model
from engine.network.layers import QuantizedLinear
from engine.network.placing import find_module
from engine.request import Request, SamplingParams
from models.errors import InvalidInput, InvalidModelFile
from models.files import ModelFiles
from models.formats.gguf import read_gguf
from models.formats.gguf_writer import NewTensor, encode_value, gguf_pieces

WINDOW_TOKENS = 512

_SUMS, _COUNTS = ".in_sum2", ".counts"


@dataclass(frozen=True)
class ImportanceMatrix:
    """Sums of squares over rows, by tensor: float32 [matrices, K], and rows, [matrices]."""

    sums: Mapping[str, np.ndarray]
    counts: Mapping[str, np.ndarray]
    dataset: str
    num_windows: int
    window_tokens: int

    @property
    def means(self) -> dict[str, np.ndarray]:
        """Mean squares float32 [matrices, K]; ones for a matrix that no row has met."""
        found = {}
        for name, sums in self.sums.items():
            counts = self.counts[name].reshape(-1, 1)
            found[name] = np.where(counts > 0, sums / np.maximum(counts, 1), 1).astype(np.float32)
        return found


class _Recorder(nn.Module):
    """A linear layer that adds up the squares of what comes in."""

    def __init__(self, layer: QuantizedLinear) -> None:
        super().__init__()
        self._layer = layer
        self._sums = mx.zeros(layer.matrix.num_columns)
        self.num_rows = 0

    @property
    def sums(self) -> mx.array:
        """float32 [K]; to be evaluated at every step, so that MLX forgets what it came from."""
        return self._sums

    def __call__(self, x: mx.array) -> mx.array:
        rows = x.reshape(-1, x.shape[-1]).astype(mx.float32)
        self._sums = self._sums + (rows * rows).sum(axis=0)
        self.num_rows += rows.shape[0]
        result: mx.array = self._layer(x)
        return result


def measure_importance(
    files: ModelFiles,
    names: Mapping[str, str],
    text: str,
    dataset: str,
    on_window: Callable[[int, int], None] = lambda _number, _count: None,
) -> ImportanceMatrix:
    """Run the model over `text`; `names` gives the tensor of each parameter's path.

    Only layers of blocks are watched: the head sees nothing but sampled rows.

    Raises:
        InvalidInput: the text is too short.
        InvalidModelFile, Unsupported: the model cannot be loaded.
    """
    recorders: dict[str, _Recorder] = {}
    options = EngineOptions(max_context_tokens=WINDOW_TOKENS + 1)
    model = load_model(files, options, lambda network: recorders.update(_install(network, names)))
    token_ids = model.tokenizer.encode(text, add_special=True)
    window = min(WINDOW_TOKENS, model.engine.limits.max_context_tokens - 1)
    num_windows = len(token_ids) // window
    if not num_windows:
        raise InvalidInput(
            f"the calibration text has {len(token_ids)} tokens; at least {window} are needed"
        )
    for number in range(num_windows):
        prompt = tuple(token_ids[number * window : (number + 1) * window])
        model.engine.add_request(Request("calibration", prompt, SamplingParams(max_tokens=1)))
        while model.engine.has_unfinished:
            model.engine.step()
            mx.eval([recorder.sums for recorder in recorders.values()])
        on_window(number + 1, num_windows)
    return ImportanceMatrix(
        sums={name: np.array(recorder.sums)[None] for name, recorder in recorders.items()},
        counts={
            name: np.array([recorder.num_rows], np.float32) for name, recorder in recorders.items()
        },
        dataset=dataset,
        num_windows=num_windows,
        window_tokens=window,
    )


def _install(network: nn.Module, names: Mapping[str, str]) -> dict[str, _Recorder]:
    """Put a recorder around every linear layer of a block whose weight has a name."""
    recorders = {}
    for path, layer in list(network.named_modules()):
        name = names.get(f"{path}.weight", "")
        if isinstance(layer, QuantizedLinear) and name.startswith("blk."):
            recorder = _Recorder(layer)
            parent, _, key = path.rpartition(".")
            find_module(network, parent)[key] = recorder
            recorders[name] = recorder
    return recorders


def importance_pieces(matrix: ImportanceMatrix) -> list[bytes]:
    """The matrix as a GGUF file that llama.cpp's tools read, too."""
    arrays: dict[str, np.ndarray] = {}
    for name, sums in matrix.sums.items():
        arrays[name + _SUMS] = sums.astype(np.float32)
        arrays[name + _COUNTS] = matrix.counts[name].astype(np.float32).reshape(-1, 1)
    entries = {
        "general.type": encode_value("imatrix"),
        "imatrix.datasets": encode_value([matrix.dataset]),
        "imatrix.chunk_count": encode_value(matrix.num_windows),
        "imatrix.chunk_size": encode_value(matrix.window_tokens),
    }
    tensors = [NewTensor(name, "F32", array.shape) for name, array in arrays.items()]
    return list(gguf_pieces(entries, tensors, lambda tensor: [arrays[tensor.name].tobytes()]))


def check_importance(matrix: ImportanceMatrix, source: WeightSource) -> None:
    """Refuse a matrix that was made for another model.

    Raises:
        InvalidInput: with the tensor that differs.
    """
    for name, sums in matrix.sums.items():
        tensor = source.tensors.get(name)
        if tensor is None or tensor.shape[-1] != sums.shape[-1]:
            raise InvalidInput(
                f"the importance matrix was made for another model: {name} with "
                f"{sums.shape[-1]} columns is not in this one"
            )


def read_importance(path: Path) -> ImportanceMatrix:
    """The matrix in a GGUF file, ours or llama.cpp's.

    Raises:
        NotFound, StorageError, InvalidModelFile: no such file, or one of another kind.
    """
    file = read_gguf(path)
    if file.metadata.get("general.type") != "imatrix":
        raise InvalidModelFile(
            f"{path}: a GGUF file, but not an importance matrix",
            hint="--calibration FILE.txt makes one from a text.",
        )
    names = [name.removesuffix(_SUMS) for name in file.tensors if name.endswith(_SUMS)]
    sums, counts = {}, {}
    for name in names:
        if name + _COUNTS not in file.tensors:
            raise InvalidModelFile(f"{path}: {name} has sums and no counts")
        sums[name] = file.tensor_bytes(name + _SUMS).view("<f4")
        counts[name] = file.tensor_bytes(name + _COUNTS).view("<f4").reshape(-1)
        if not np.isfinite(sums[name]).all() or len(counts[name]) != len(sums[name]):
            raise InvalidModelFile(f"{path}: {name} is damaged")
    datasets = file.metadata.get("imatrix.datasets", [])
    return ImportanceMatrix(
        sums=sums,
        counts=counts,
        dataset=str(datasets[0]) if isinstance(datasets, list) and datasets else "",
        num_windows=int(str(file.metadata.get("imatrix.chunk_count", 0))),
        window_tokens=int(str(file.metadata.get("imatrix.chunk_size", 0))),
    )
