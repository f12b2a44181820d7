"""Metal kernel text to C++: the same tokens, with address spaces spelled as checked pointers.

Knows the dialect our shaders keep to (one-dimensional threadgroup arrays, no references into
device memory, no swizzles) and refuses the rest. Line numbers stay those of the shader.
"""

import re

_TYPE = r"[A-Za-z_]\w*(?:::\w+)*(?:<[^<>;(){}]*>)?"
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
_ARRAY = re.compile(rf"\bthreadgroup\s+({_TYPE})\s+(\w+)\s*\[([^\];]+)\]\s*;")
_POINTER = re.compile(
    rf"\b(?P<before>const\s+)?(?P<space>device|constant|threadgroup)\s+(?P<after>const\s+)?"
    rf"(?P<type>{_TYPE})\s*\*"
)
_ADDRESS_CAST = re.compile(r"\b(?:const_cast|reinterpret_cast)\s*<")
_LEFT_OVER = re.compile(r"\b(?:device|threadgroup)\b(?=\s)")
_SCALAR = (
    r"(?:u?(?:char|short|int|long)|float|half|bfloat|bool)(?:[234]|16_t|8_t|32_t|64_t)?|T|auto"
)
_UNQUALIFIED = re.compile(rf"(?<!thread )(?<!thread const )\b(?:{_SCALAR})\s*[*&](?!&)")


class DialectError(ValueError):
    """The shader uses Metal that the simulator does not execute."""


def translate(source: str) -> str:
    """Host C++ for a kernel header or body.

    >>> translate("const device half* x = w + 4;")
    'Pointer<Space::device, const half> x = w + 4;'
    >>> translate("threadgroup float sums[4 * R];")
    'auto sums = threadgroup_array<float, (4 * R)>("sums");'
    """
    text = _COMMENT.sub(lambda m: "\n" * m[0].count("\n"), source)
    text = _ARRAY.sub(r'auto \2 = threadgroup_array<\1, (\3)>("\2");', text)
    text = _POINTER.sub(_pointer, text)
    if found := _LEFT_OVER.search(text) or _UNQUALIFIED.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise DialectError(f"line {line}: {text.splitlines()[line - 1].strip()}")
    text = _ADDRESS_CAST.sub("address_cast<", text)
    text = re.sub(r"\bthread\s+", "", text)
    return re.sub(r"\bconstant\b", "const", text)


def _pointer(found: re.Match[str]) -> str:
    const = "const " if found["before"] or found["after"] else ""
    return f"Pointer<Space::{found['space']}, {const}{found['type']}>"
