"""Metal kernel text to CUDA: the same tokens without address spaces, in a function for NVRTC.

The types come from the simulator's header; what a warp does for a simdgroup is in simdgroup.h.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx

from tests.metal_simulator.signature import (
    ATTRIBUTES,
    TYPE_NAMES,
    Parameter,
    TemplateValue,
    spell,
)

HERE = Path(__file__).parent
TYPES = HERE.parent.parent / "tests" / "metal_simulator" / "msl_types.h"
ENTRY = "metal_kernel"

_ATTRIBUTE_VALUES = {
    "thread_position_in_grid": "position",
    "thread_position_in_threadgroup": "uint3(threadIdx.x, threadIdx.y, threadIdx.z)",
    "threadgroup_position_in_grid": "uint3(blockIdx.x, blockIdx.y, blockIdx.z)",
    "threads_per_grid": "grid",
    "threadgroups_per_grid": "uint3(gridDim.x, gridDim.y, gridDim.z)",
    "thread_index_in_simdgroup": "simd_lane(own_lane())",
    "simdgroup_index_in_threadgroup": "index / 32",
}
# They number threads as CUDA does, not as LANES_AS_MATRIX would have it.
_NOT_WITH_MATRICES = ("thread_position_in_grid", "thread_position_in_threadgroup")


def translate(text: str) -> str:
    """CUDA for a kernel header or body, line by line.

    >>> translate("const device half* x = w + 4; threadgroup float sums[4 * R];")
    'const half* x = w + 4; __shared__ float sums[4 * R];'
    >>> translate("constant float values[2] = {0, 1};")
    '__device__ const float values[2] = {0, 1};'

    A single constant stays in a register, so that the compiler sees one operand, not two numbers.

    >>> translate("constant uint bits_of_one = 0x3F800000u;")
    '__constant__ uint bits_of_one = 0x3F800000u;'
    """
    text = re.sub(r"^constant\b(?=[^*(]*\[)", "__device__ const", text, flags=re.M)
    text = re.sub(r"^constant\b(?=[^*(]*=)", "__constant__", text, flags=re.M)
    text = re.sub(r"\bthreadgroup\s+(?=[\w:<>, ]+\[)", "__shared__ ", text)
    text = re.sub(r"\b(?:device|threadgroup|thread)\s+(?=\w)", "", text)
    text = re.sub(r"\bconst\s+constant\b|\bconstant\b", "const", text)
    text = text.replace("clang loop unroll(full)", "unroll")
    return re.sub(r"clang loop unroll_count\((\d+)\)", r"unroll \1", text)


def kernel_source(
    header: str,
    body: str,
    parameters: Sequence[Parameter],
    template: Sequence[tuple[str, TemplateValue]],
    num_threads: int,
) -> str:
    """One variant with the entry point `ENTRY`: its buffers, then the grid's size in threads."""
    uses_matrices = "simdgroup_matrix" in header + body
    attributes = [name for name in ATTRIBUTES if name in body]
    assert not (uses_matrices and set(attributes) & set(_NOT_WITH_MATRICES))
    declared = [_declaration(p, "const_cast" in body) for p in parameters]
    fixed = [
        f"typedef {spell(value)} {name};"
        if isinstance(value, mx.Dtype)
        else f"constexpr {'bool' if isinstance(value, bool) else 'int'} {name} = {spell(value)};"
        for name, value in template
    ]
    given = [
        f"const {ATTRIBUTES[name][0]} {name} = {_ATTRIBUTE_VALUES[name]};" for name in attributes
    ]
    newline = "\n"
    return f"""namespace msl {{
#define LANES_AS_MATRIX {int(uses_matrices)}
{(HERE / "scalars.h").read_text()}
{_without_pragma_once(TYPES.read_text())}
{(HERE / "simdgroup.h").read_text()}
#line 1 "header"
{translate(header)}
{newline.join(fixed)}
extern "C" __global__ void __launch_bounds__({num_threads}) {ENTRY}(
    {f",{newline}    ".join([*declared, "uint grid_x", "uint grid_y", "uint grid_z"])}) {{
  const uint3 grid(grid_x, grid_y, grid_z);
  const uint3 position(blockIdx.x * blockDim.x + threadIdx.x, blockIdx.y * blockDim.y + threadIdx.y,
                       blockIdx.z * blockDim.z + threadIdx.z);
  const uint index = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  if (position.x >= grid.x || position.y >= grid.y || position.z >= grid.z) return;
  {f"{newline}  ".join(given)}
  {{
#line 1 "body"
{translate(body)}
  }}
}}
}}  // namespace msl
"""


def _declaration(parameter: Parameter, writes_inputs: bool) -> str:
    kind = TYPE_NAMES[parameter.dtype]
    if parameter.is_scalar:
        return f"const {kind} {parameter.name}"
    const = "" if parameter.is_output else "const "
    restrict = "" if writes_inputs else " __restrict__"
    return f"{const}{kind}*{restrict} {parameter.name}"


def _without_pragma_once(text: str) -> str:
    return text.replace("#pragma once\n", "")
