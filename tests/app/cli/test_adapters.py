"""A pulled adapter: said what it is for, used by name, kept with a model, shown and listed."""

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from tests.models.hub import FakeHub, serving

Run = Callable[..., subprocess.CompletedProcess[str]]
NAME = "hf.co/org/lora"
GREEDY = ("--temperature", "0", "--max-tokens", "8", "Hello")


def adapter(base: str, seed: int = 0) -> dict[str, bytes]:
    """A strong PEFT adapter for the tiny model of `conftest.py`."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for layer in (0, 1):
        module = f"base_model.model.model.layers.{layer}.mlp.down_proj"
        arrays[f"{module}.lora_A.weight"] = rng.normal(0, 1, (4, 128)).astype(np.float32)
        arrays[f"{module}.lora_B.weight"] = rng.normal(0, 1, (64, 4)).astype(np.float32)
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": base}
    return {
        "adapter_config.json": json.dumps(config).encode(),
        "adapter_model.safetensors": save(arrays),
        "README.md": b"#",
    }


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub()) as hub:
        hub.add("org/lora", adapter("someone/tiny"))
        yield hub


@pytest.fixture
def env(hub: FakeHub, daemon: dict[str, str], tmp_path: Path) -> dict[str, str]:
    hub_env = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": ""}
    return hub_env | daemon


def test_a_pulled_adapter_is_used_by_its_name(run: Run, model: Path, env: dict[str, str]) -> None:
    assert run("import", str(model), "--name", "tiny", env=env).returncode == 0
    done = run("pull", NAME, env=env)
    assert done.returncode == 0, done.stderr
    assert "a LoRA adapter for someone/tiny" in done.stderr
    assert f"localllm run tiny --adapter {NAME}" in done.stderr.splitlines()[-1]
    plain = run("run", "tiny", *GREEDY, env=env).stdout
    applied = run("run", "tiny", "--adapter", NAME, *GREEDY, env=env)
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout != plain
    (at_path,) = json.loads(run("show", NAME, "--json", env=env).stdout)["paths"][:1]
    by_path = run("run", "tiny", "--adapter", str(Path(at_path).parent), *GREEDY, env=env)
    assert by_path.stdout == applied.stdout
    modelfile = f"FROM tiny\nADAPTER {NAME}\n"
    assert run("create", "tuned", "-f", "-", env=env, input=modelfile).returncode == 0
    assert run("run", "tuned", *GREEDY, env=env).stdout == applied.stdout
    text = run("show", NAME, env=env).stdout
    assert "LoRA adapter of peft" in text
    assert "here as     tiny:latest" in text
    assert "2 x down_proj" in text
    listed = {row.split()[0]: row for row in run("list", env=env).stdout.splitlines()}
    assert "LoRA" in listed[f"{NAME}:latest"]
    with urllib.request.urlopen(f"http://{env['LOCALLLM_HOST']}/api/tags") as reply:
        names = {entry["name"] for entry in json.load(reply)["models"]}
    assert {"tiny:latest", "tuned:latest"} <= names
    assert f"{NAME}:latest" not in names


def test_an_adapter_is_no_model_and_a_model_no_adapter(
    run: Run, model: Path, env: dict[str, str]
) -> None:
    assert run("pull", NAME, env=env).returncode == 0
    done = run("run", NAME, "Hello", env=env)
    assert done.returncode == 2
    assert "is a LoRA adapter for someone/tiny, not a model" in done.stderr
    assert f"--adapter {NAME}" in done.stderr
    done = run("run", str(model), "--adapter", str(model), "Hello", env=env)
    assert done.returncode != 0
    assert "no adapter, but a model" in done.stderr


def test_an_adapter_for_another_model_names_its_own(run: Run, env: dict[str, str]) -> None:
    assert run("pull", NAME, env=env).returncode == 0
    done = run("run", "pocket", "--adapter", NAME, "Hello", env=env)
    assert done.returncode != 0
    assert "someone/tiny" in done.stderr
