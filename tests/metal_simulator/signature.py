"""The function that `mx.fast.metal_kernel` writes around a body, as host C++.

Follows MLX: parameters in the order inputs, outputs, attributes; an input of fewer than eight
elements is `constant`; an attribute is a parameter when the body names it, so that a header cannot.
"""

from collections.abc import Sequence
from typing import NamedTuple

import mlx.core as mx

from tests.metal_simulator.dialect import DialectError, translate

TYPE_NAMES = {
    mx.bool_: "bool",
    mx.uint8: "uint8_t",
    mx.uint16: "uint16_t",
    mx.uint32: "uint32_t",
    mx.uint64: "uint64_t",
    mx.int8: "int8_t",
    mx.int16: "int16_t",
    mx.int32: "int32_t",
    mx.int64: "int64_t",
    mx.float16: "float16_t",
    mx.bfloat16: "bfloat16_t",
    mx.float32: "float",
}

ATTRIBUTES = {
    "thread_position_in_grid": ("uint3", "thread_in_grid"),
    "thread_position_in_threadgroup": ("uint3", "thread_in_threadgroup"),
    "threadgroup_position_in_grid": ("uint3", "threadgroup_in_grid"),
    "threads_per_threadgroup": ("uint3", "threads_per_threadgroup"),
    "threads_per_grid": ("uint3", "threads_per_grid"),
    "threadgroups_per_grid": ("uint3", "threadgroups_per_grid"),
    "thread_index_in_threadgroup": ("uint", "index"),
    "thread_index_in_simdgroup": ("uint", "lane"),
    "simdgroup_index_in_threadgroup": ("uint", "simdgroup"),
}

TemplateValue = bool | int | mx.Dtype
ENTRY = "simulated_kernel"


class Parameter(NamedTuple):
    name: str
    dtype: mx.Dtype
    is_constant: bool
    is_scalar: bool
    is_output: bool

    @property
    def declaration(self) -> str:
        kind = TYPE_NAMES[self.dtype]
        if self.is_scalar:
            return f"const {kind} {self.name}"
        space = "constant" if self.is_constant else "device"
        const = "" if self.is_output else "const "
        return f"Pointer<Space::{space}, {const}{kind}> {self.name}"

    def argument(self, index: int) -> str:
        if self.is_scalar:
            kind = TYPE_NAMES[self.dtype]
            return f"*Pointer<Space::constant, const {kind}>(regions[{index}])"
        return f"regions[{index}]"


def kernel_source(
    header: str,
    body: str,
    parameters: Sequence[Parameter],
    template: Sequence[tuple[str, TemplateValue]],
) -> str:
    """C++ of one kernel variant, with the entry point `ENTRY(regions)`."""
    for parameter in parameters:
        for suffix in ("_shape", "_strides", "_ndim"):
            if parameter.name + suffix in body:
                raise DialectError(f"{parameter.name}{suffix}: pass lengths in a parameter array")
    attributes = [name for name in ATTRIBUTES if name in body]
    declared = [p.declaration for p in parameters]
    declared += [f"const {ATTRIBUTES[name][0]} {name}" for name in attributes]
    passed = [p.argument(i) for i, p in enumerate(parameters)]
    passed += [_attribute_value(name) for name in attributes]
    names = [f"{'typename' if isinstance(v, mx.Dtype) else _integer(v)} {n}" for n, v in template]
    values = [spell(v) for _, v in template]
    return f"""#include "msl.h"
#line 1 "header"
{translate(header)}
{f"template <{', '.join(names)}>" if names else ""}
inline void kernel({", ".join(declared)}) {{
#line 1 "body"
{translate(body)}
}}
extern "C" void {ENTRY}(const sim::Region* const* regions) {{
  const sim::Lane& lane = sim::current();
  kernel{f"<{', '.join(values)}>" if values else ""}({", ".join(passed)});
}}
"""


def _attribute_value(name: str) -> str:
    kind, field = ATTRIBUTES[name]
    if kind == "uint3":
        return f"uint3(lane.{field}.x, lane.{field}.y, lane.{field}.z)"
    return f"lane.{field}"


def _integer(value: TemplateValue) -> str:
    return "bool" if isinstance(value, bool) else "int"


def spell(value: TemplateValue) -> str:
    if isinstance(value, mx.Dtype):
        return TYPE_NAMES[value]
    return str(value).lower()
