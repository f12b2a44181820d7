"""Writes docs/compatibility.md from the tests' `compat` marks: which features work on which route.

A mark is `@pytest.mark.compat(route, feature)` on a test that holds the feature, or with
`refused=reason` on one that holds how it is refused.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
TESTS = REPOSITORY / "tests" / "app"
TABLE = REPOSITORY / "docs" / "compatibility.md"
HEAD = """# Compatibility

Written by `make docs` from the tests: each line is held by the test beside it. What is refused
answers with an error that says so; fields that are not known are ignored, as the original servers
do. `/openapi.json` has all fields of all bodies.
"""
OURS = frozenset(
    {"/", "/api/top", "/health", "/metrics", "/v1/tokenize", "/v1/detokenize", "/v1/rerank"}
)
"""Paths that only other servers than those of the APIs have, or none."""
APIS = {"Ollama": "/api/", "OpenAI": "/v1/", "Anthropic": "/v1/messages", "Ours": "/"}


@dataclass(frozen=True, order=True)
class Line:
    """One feature of a route, and the test that holds it."""

    route: str
    """Method and path."""
    feature: str
    refused: str
    """Why; empty where it works."""
    test: str

    @property
    def api(self) -> str:
        """Whose it is: the API with the longest fitting prefix, save what only we have."""
        path = self.route.split()[1]
        if path in OURS or path.startswith("/api/why"):
            return "Ours"
        fitting = [name for name, prefix in APIS.items() if path.startswith(prefix)]
        return max(fitting, key=lambda name: len(APIS[name]))


def read_lines() -> list[Line]:
    """All marks of the tests, in order of API, route and feature."""
    found = [line for path in sorted(TESTS.rglob("test_*.py")) for line in _read_file(path)]
    order = list(APIS)
    return sorted(found, key=lambda line: (order.index(line.api), line.route.split()[1], line))


def _read_file(path: Path) -> Iterator[Line]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for each in node.decorator_list:
                if isinstance(each, ast.Call) and ast.unparse(each.func) == "pytest.mark.compat":
                    route, feature = (ast.literal_eval(argument) for argument in each.args)
                    named = {k.arg: ast.literal_eval(k.value) for k in each.keywords}
                    place = f"{path.relative_to(TESTS).as_posix()}::{node.name}"
                    yield Line(route, feature, named.get("refused", ""), place)


def make_table() -> str:
    """The document."""
    parts, lines = [HEAD], read_lines()
    for api in APIS:
        parts.append(f"\n## {api}\n\n| route | feature | state | test |\n|---|---|---|---|\n")
        for line in lines:
            if line.api == api:
                state = f"refused: {line.refused}" if line.refused else "works"
                parts.append(f"| `{line.route}` | {line.feature} | {state} | `{line.test}` |\n")
    return "".join(parts)


def main() -> None:
    """Write the file, or with `--check` end with 1 when it would change."""
    text = make_table()
    if sys.argv[1:] == ["--check"]:
        stale = not TABLE.exists() or TABLE.read_text() != text
        sys.exit("docs/compatibility.md is stale: run `make docs`" if stale else 0)
    TABLE.write_text(text)


if __name__ == "__main__":
    main()
