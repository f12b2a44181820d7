"""Compiles simulated kernels and loads them, once per text: objects are cached by content."""

import ctypes
import functools
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
COMPILER = os.environ.get("CXX", "g++")
FLAGS = [
    "-std=c++20",
    "-Og",
    "-g0",
    "-fPIC",
    "-shared",
    "-fno-exceptions",
    "-fno-strict-aliasing",
    "-fsingle-precision-constant",
    "-Wall",
    "-Wno-unused",
    "-Wno-unknown-pragmas",
    "-Wno-sign-compare",
    f"-I{HERE}",
]


class BuildError(RuntimeError):
    """The compiler refused a kernel; the message is its own."""


@functools.cache
def cache_dir() -> Path:
    root = os.environ.get("LOCALLLM_SIMULATOR_CACHE")
    path = Path(root) if root else Path(tempfile.gettempdir()) / f"metal_simulator_{os.getuid()}"
    path.mkdir(parents=True, exist_ok=True)
    return path


@functools.cache
def _foundation() -> str:
    texts = [path.read_text() for path in sorted([*HERE.glob("*.h"), *HERE.glob("*.cpp")])]
    return "".join(texts) + COMPILER + " ".join(FLAGS)


def digest(text: str) -> str:
    """Names a text together with all that it is compiled with."""
    return hashlib.sha256((_foundation() + text).encode()).hexdigest()[:24]


def _compile(source: str, target: Path, *options: str) -> None:
    """Build `target` unless it is there; another process may be building it as well."""
    if target.exists():
        return
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
        text, built = Path(scratch) / "kernel.cpp", Path(scratch) / "built"
        text.write_text(source)
        command = [COMPILER, *FLAGS, *options, str(text), "-o", str(built)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise BuildError(run.stderr)
        built.replace(target)


@functools.cache
def _precompiled_dir() -> Path:
    """A directory for `-I` with msl.h as the compiler keeps it, which saves a third of the time."""
    folder = cache_dir() / digest("header")
    _compile((HERE / "msl.h").read_text(), folder / "msl.h.gch", "-x", "c++-header", "-w")
    return folder


def compile_shared(source: str, *options: str) -> Path:
    """The shared object of one C++ text, built unless the cache holds it."""
    target = cache_dir() / f"{digest(source)}.so"
    _compile(source, target, f"-I{_precompiled_dir()}", *options)
    return target


@functools.cache
def runtime() -> ctypes.CDLL:
    """The scheduler; global, because kernels resolve their calls against it.

    Compiled once, so it may take longer than a kernel does.
    """
    path = compile_shared('#include "runtime.cpp"\n', "-O2")
    return ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def load_kernel(source: str, symbol: str) -> int:
    """The address of the entry point `symbol` of a kernel text."""
    runtime()  # has loaded every library that a kernel needs
    library = _library(compile_shared(source, "-nostdlib"))
    address = ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value
    assert address is not None
    return address


@functools.cache
def _library(path: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(path))
