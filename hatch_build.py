"""Build hook: compiles `metal_kernels/cpu` into libraries in `metal_kernels/` on Linux x86-64.

An install must not fail for want of a compiler: then the extension is left out with a warning, and
`metal_kernels.backend.describe()` says what is lost and how to get it.
"""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PACKAGE = "metal_kernels"


def _is_supported() -> bool:
    return sys.platform == "linux" and platform.machine() == "x86_64"


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def build_libraries(source: Path, target: Path, build: Path) -> list[Path]:
    """Compile the sources in `source` within `build` and place the libraries into `target`."""
    cmake = shutil.which("cmake")
    if cmake is None:
        raise FileNotFoundError("cmake")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    configure = [cmake, "-S", str(source), "-B", str(build), *generator]
    _run([*configure, f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=Release"])
    jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
    _run([cmake, "--build", str(build), "--parallel", jobs])
    extension = next(build.glob("_cpu*.so"))
    names = {
        extension: "_cpu" + str(sysconfig.get_config_var("EXT_SUFFIX")),
        build / "_sgemm.so": "_sgemm.so",
    }
    return [_place(built, target / name) for built, name in names.items()]


def _place(built: Path, target: Path) -> Path:
    # A running process may have the old file mapped: replace it, do not write into it.
    staged = target.with_name(target.name + ".part")
    shutil.copyfile(built, staged)
    staged.chmod(0o755)
    return staged.replace(target)


class CpuKernelsHook(BuildHookInterface[Any]):
    """Adds the compiled extension to the wheel, and to the tree for editable installs."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are collected."""
        if self.target_name != "wheel" or not _is_supported():
            return
        package = Path(self.root) / _PACKAGE
        with tempfile.TemporaryDirectory(prefix="localllm-cpu-") as scratch:
            target = package if version == "editable" else Path(self.root) / "build" / "wheel"
            target.mkdir(parents=True, exist_ok=True)
            try:
                libraries = build_libraries(package / "cpu", target, Path(scratch))
            except (FileNotFoundError, subprocess.CalledProcessError, StopIteration) as error:
                self._warn(error)
                return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        if version != "editable":
            for library in libraries:
                inside = f"_localllm/{_PACKAGE}/{library.name}"
                build_data["force_include"][str(library)] = inside

    def _warn(self, error: Exception) -> None:
        output = getattr(error, "output", None)
        if output:
            self.app.display_warning(output.decode(errors="replace")[-2000:])
        self.app.display_warning(
            "The CPU kernels were not built: localllm will run, slowly. "
            "They need a C++20 compiler (Debian: apt install g++) and CMake."
        )
