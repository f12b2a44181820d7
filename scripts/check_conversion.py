"""`localllm convert` beside the programs whose formats it writes: llama.cpp and transformers.

    scripts/check_conversion.py --llama-python PATH --llama-cpp FOLDER [--only NAMES]

PATH is a Python with torch, transformers and llama-cpp-python. For each tiny random model of
`make_architecture_models.py`: its Hugging Face directory goes to GGUF here and through llama.cpp's
own converter, and the files are compared tensor by tensor; that GGUF file goes back to
safetensors here, transformers opens them, and what it computes is compared with the original.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

MAX_DIFFERENCE = 2e-3
"""Between log-probabilities of F16 weights and of the same weights in float32."""


def main() -> None:
    """Compare what is asked for, or everything; end with 1 when something differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--llama-python", type=Path)
    parser.add_argument("--llama-cpp", type=Path, required=True)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--task", choices=("make", "open"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.task:
        for name in asked.only:
            (_make if asked.task == "make" else _open)(name, asked.folder / name, asked.llama_cpp)
        return
    from scripts.make_architecture_models import CASES

    with tempfile.TemporaryDirectory() as folder:
        differing = _compare_all(asked.only or list(CASES), Path(folder), asked)
    print(f"{len(differing)} differ" + (f": {', '.join(differing)}" if differing else ""))
    sys.exit(bool(differing))


def _compare_all(names: list[str], folder: Path, asked: argparse.Namespace) -> list[str]:
    """The names of those that are not the same."""
    _child(asked, "make", names, folder)
    problems = {name: _to_gguf(folder / name) for name in names}
    returned = [name for name in names if (folder / name / "back").exists()]
    _child(asked, "open", returned, folder)
    for name in names:
        said = ", ".join(problems[name][:4]) or "every tensor and value is llama.cpp's"
        if name in returned:
            arrays = (np.load(folder / name / f"{which}.npy") for which in ("original", "found"))
            difference = float(np.abs(np.subtract(*arrays)).max())
            said += f"; in transformers {difference:.5f} from the original"
            problems[name] += [] if difference <= MAX_DIFFERENCE else ["transformers"]
        print(f"{name:22} {said}")
    return [name for name in names if problems[name]]


def _to_gguf(folder: Path) -> list[str]:
    """Convert the directory, and back where transformers can open it; what is not llama.cpp's."""
    from engine.conversion.convert import convert
    from engine.conversion.to_directory import ARCHITECTURES as IN_HUGGING_FACE
    from models.errors import UserError
    from models.resolve import resolve_path
    from models.store.new_files import write_files

    model_type = json.loads((folder / "hf" / "config.json").read_text())["model_type"]
    _write_vocabulary(folder / "hf")
    try:
        write_files(convert(resolve_path(folder / "hf"), "gguf", "F16"), folder / "ours.gguf")
    except UserError as error:
        return [error.message]
    if model_type in IN_HUGGING_FACE:
        back = convert(resolve_path(folder / "ours.gguf"), "safetensors", "F32")
        write_files(back, folder / "back")
    return _different_tensors(folder / "ours.gguf", folder / "theirs.gguf")


def _child(asked: argparse.Namespace, task: str, names: list[str], folder: Path) -> None:
    command = [asked.llama_python, __file__, "--task", task, "--folder", folder]
    command += ["--llama-cpp", asked.llama_cpp, "--only", *names]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{task}: {done.stderr[-2000:]}")


def _different_tensors(ours: Path, theirs: Path) -> list[str]:
    """What is not the same; layers that predict further tokens are left out on either side."""
    from models.formats.gguf import read_gguf

    mine, other = read_gguf(ours), read_gguf(theirs)
    names = mine.tensors.keys() | other.tensors.keys()
    problems = []
    for name in sorted(names):
        if name not in mine.tensors or name not in other.tensors:
            problems.append(f"{name} is in {'ours' if name in mine.tensors else 'theirs'} only")
        elif mine.tensors[name] != other.tensors[name]:
            problems.append(f"{name} is {mine.tensors[name]}, not {other.tensors[name]}")
        elif not np.array_equal(mine.tensor_bytes(name), other.tensor_bytes(name)):
            problems.append(f"{name} has other values")
    architecture = f"{other.metadata['general.architecture']}."
    for key, value in other.metadata.items():
        if key.startswith(architecture) and not _is_same(mine.metadata.get(key), value):
            problems.append(f"{key} is {mine.metadata.get(key)}, not {value}")
    return problems


def _is_same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, str) or ours is None:
        return bool(ours == theirs)
    return np.allclose(ours, theirs, rtol=1e-6)


def _write_vocabulary(directory: Path) -> None:
    """A vocabulary of bytes in place of the one that only names numbers."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {text: i for i, text in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(directory / "tokenizer.json"))


def _make(name: str, folder: Path, llama_cpp: Path) -> None:
    """In the other Python: the directory, llama.cpp's file and what transformers computes."""
    from scripts import make_architecture_models as made

    folder.mkdir()
    network = made.make_network(*made.CASES[name])
    np.save(folder / "original.npy", made.transformers_logprobs(network, _tokens(made)))
    made.convert(network, folder / "hf", folder / "theirs.gguf", llama_cpp, "f16")


def _open(_name: str, folder: Path, _llama_cpp: Path) -> None:
    """In the other Python: what transformers computes with the directory that we wrote."""
    import torch  # type: ignore[import-not-found, unused-ignore]
    import transformers

    from scripts import make_architecture_models as made

    network, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder / "back", dtype=torch.float32, output_loading_info=True
    )
    assert not info["missing_keys"], info
    assert not info["unexpected_keys"], info
    np.save(folder / "found.npy", made.transformers_logprobs(network.eval(), _tokens(made)))


def _tokens(made: Any) -> list[int]:
    tokens: list[int] = np.random.default_rng(3).integers(3, made.VOCAB, made.NUM_TOKENS).tolist()
    return tokens


if __name__ == "__main__":
    main()
