"""NVRTC through its C interface: CUDA text to machine code, which needs no GPU. Cached on disk."""

import ctypes
import hashlib
import importlib.util
import re
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from functools import cache
from pathlib import Path

CACHE = Path(__file__).parents[2] / "build" / "shaders_cuda"
OPTIONS = ("-std=c++20", "-default-device", "--ptxas-options=-v")


class CompileError(RuntimeError):
    """NVRTC is missing, or refused a text; the message is its own."""


def compile_cubin(source: str, architecture: str) -> tuple[bytes, str]:
    """Machine code for "sm_90" or the like, and what the compiler says about registers."""
    library, version = _nvrtc()
    options = [*OPTIONS, f"-arch={architecture}"]
    digest = hashlib.sha256("\n".join([version, *options, source]).encode()).hexdigest()[:24]
    kept = CACHE / f"{digest}.cubin"
    usage = kept.with_suffix(".txt")
    if kept.exists():
        return kept.read_bytes(), usage.read_text()
    code, log = _compile(library, source, options)
    kept.parent.mkdir(parents=True, exist_ok=True)
    usage.write_text(log)
    kept.write_bytes(code)
    return code, log


def resources(log: str) -> str:
    """Registers, spills and shared memory in short."""
    numbers = {
        "registers": r"Used (\d+) registers",
        "stack bytes": r"(\d+) bytes stack frame",
        "shared bytes": r"(\d+) bytes smem",
    }
    found = {name: re.search(pattern, log) for name, pattern in numbers.items()}
    return ", ".join(f"{m[1]} {name}" for name, m in found.items() if m and m[1] != "0")


@cache
def _nvrtc() -> tuple[ctypes.CDLL, str]:
    for path in [*_bundled(), *(Path(f"libnvrtc.so.{major}") for major in (13, 12))]:
        try:
            for part in path.parent.glob("libnvrtc-builtins.so.*"):
                ctypes.CDLL(str(part))  # found by name from now on
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        major, minor = c_int(), c_int()
        library.nvrtcVersion(byref(major), byref(minor))
        return library, f"{major.value}.{minor.value}"
    raise CompileError("NVRTC is not installed: pip install nvidia-cuda-nvrtc")


def _bundled() -> list[Path]:
    """The library inside NVIDIA's own Python packages."""
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec else None
    found = [path for folder in folders or () for path in Path(folder).glob("*/lib/libnvrtc.so.*")]
    return sorted(path for path in found if "alt" not in path.name)


def _compile(library: ctypes.CDLL, source: str, options: list[str]) -> tuple[bytes, str]:
    program = c_void_p()
    library.nvrtcCreateProgram(byref(program), source.encode(), b"kernel.cu", 0, None, None)
    arguments = (c_char_p * len(options))(*(option.encode() for option in options))
    failed = library.nvrtcCompileProgram(program, len(options), arguments)
    log = _text(library, program, "ProgramLog").decode()
    if failed:
        raise CompileError(log)
    code = _text(library, program, "CUBIN")
    library.nvrtcDestroyProgram(byref(program))
    return code, log


def _text(library: ctypes.CDLL, program: c_void_p, what: str) -> bytes:
    size = c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, buffer)
    return buffer.raw if what == "CUBIN" else buffer.value
