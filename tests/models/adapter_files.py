"""Small LoRA adapters as mlx-lm, PEFT and llama.cpp write them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.models import gguf_writer as w
from tests.models.safetensors_writer import tensor_file

BASE = "meta-llama/Llama-3.2-1B-Instruct"


def peft_files(base: str = BASE, *, num_rows: int = 32, **config: Any) -> dict[str, bytes]:
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors: dict[str, tuple[str, tuple[int, ...], int]] = {
        f"{module}.lora_A.weight": ("F32", (4, 64), 4),
        f"{module}.lora_B.weight": ("F32", (num_rows, 4), 4),
    }
    text = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": base}
    return {
        "adapter_config.json": json.dumps(text | config).encode(),
        "adapter_model.safetensors": tensor_file(tensors),
    }


def mlx_files(base: str = BASE, kind: str = "lora") -> dict[str, bytes]:
    module = "model.layers.0.self_attn.q_proj"
    tensors: dict[str, tuple[str, tuple[int, ...], int]] = {
        f"{module}.lora_a": ("F32", (64, 4), 4),
        f"{module}.lora_b": ("F32", (4, 32), 4),
    }
    lora = {"rank": 4, "scale": 20.0, "dropout": 0.0}
    config = {"fine_tune_type": kind, "model": base, "lora_parameters": lora}
    return {
        "adapter_config.json": json.dumps(config).encode(),
        "adapters.safetensors": tensor_file(tensors),
    }


def gguf_bytes(base: str = BASE, **more: Any) -> bytes:
    metadata = {
        "general.architecture": "llama",
        "general.type": "adapter",
        "general.base_model.0.repo_url": f"https://huggingface.co/{base}",
        "adapter.type": "lora",
        "adapter.lora.alpha": 8.0,
    }
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {
        "blk.0.attn_q.weight.lora_a": ("F32", (4, 64)),
        "blk.0.attn_q.weight.lora_b": ("F32", (32, 4)),
    }
    return w.model_bytes(metadata | more, tensors)


def write(directory: Path, files: Mapping[str, bytes]) -> Path:
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory
