"""Imports point down, and what must start fast imports nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "app": {"app", "engine", "models"},
    "engine": {"engine", "metal_kernels", "models"},
    "metal_kernels": {"metal_kernels"},
    "models": {"models"},
}
HEAVY = {"fastapi", "httpx", "huggingface_hub", "mlx", "mlx_lm", "textual", "transformers"}


def imported_packages(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_down(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        imported = imported_packages(path.read_text()) & MAY_IMPORT.keys()
        wrong = imported - MAY_IMPORT[package]
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def loaded_after(code: str) -> set[str]:
    """The top-level modules of a fresh process that has run `code`."""
    script = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["app.cli", "app.client", "app.settings", "models.store.library", "models.resolve"]
)
def test_these_start_without_heavy_packages(module: str) -> None:
    assert not loaded_after(f"import {module}") & HEAVY


@pytest.mark.parametrize("module", ["app.daemon.application", "app.protocol", "engine.scheduler"])
def test_these_never_import_mlx(module: str) -> None:
    assert not loaded_after(f"import {module}") & {"mlx", "mlx_lm", "transformers"}
