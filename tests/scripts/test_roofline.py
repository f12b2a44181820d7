"""The page of computed speeds: equal to its script's, from sizes that real files have."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.roofline_parts.launches import launched, launches_per_token
from scripts.roofline_parts.models import MODELS

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date():
    script = ROOT / "scripts" / "roofline.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# Sizes of Q4_K_M files on the Hub in GB, which hold norms and a vocabulary as well.
@pytest.mark.parametrize(
    ("name", "file_gb"),
    [("Llama 3.2 1B", 0.81), ("Llama 3.1 8B", 4.92), ("Llama 3.3 70B", 42.52),
     ("Qwen3 30B-A3B", 18.56)],
)  # fmt: skip
def test_weights_add_up_to_the_size_of_the_file(name, file_gb):
    model = next(model for model in MODELS if model.name == name)
    assert model.file_bytes / 1e9 == pytest.approx(file_gb, rel=0.015)


def test_launches_grow_by_the_layer():
    small, large = MODELS[0], MODELS[2]
    per_layer = (launches_per_token(large, 4096) - launches_per_token(small, 4096)) / (
        large.num_layers - small.num_layers
    )
    # Two norms and two sums, q/k/v, rotation and write, attention and its merge, output, gate and
    # up, their product, down.
    assert per_layer == 12


def test_a_mixture_is_not_multiplied_whole():
    names = launched(MODELS[-1], 1, 4096)
    assert MODELS[-1].num_experts
    assert "CustomKernel" in names
    assert "GatherMM" not in names
