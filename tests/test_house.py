"""What the repository promises about itself: locks, dependencies, settings and documents agree."""

import ast
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import click
import pytest

from app.cli.root import root
from app.settings import known_variables

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("app", "engine", "metal_kernels", "models")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-dev.lock")


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]


def imported_packages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def names_of(requirements: list[Any]) -> set[str]:
    """Distribution names, without versions, extras and markers."""
    texts = [text for text in requirements if isinstance(text, str)]
    return {re.split(r"[\[<>=;! ]", text)[0].lower() for text in texts}


def locked(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_hashes_and_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.search(r"https?://|index-url|find-links|file:", text)
    assert text.count("==") > 30
    for entry in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_the_locks_hold_every_dependency() -> None:
    groups = PROJECT["dependency-groups"]
    runtime = names_of(PROJECT["project"]["dependencies"])
    assert runtime | names_of(groups["build"]) <= locked("requirements.lock")
    assert locked("requirements.lock") | names_of(groups["dev"]) <= locked("requirements-dev.lock")


def test_the_dependencies_are_what_is_imported() -> None:
    owners = packages_distributions()
    imported = set().union(*map(imported_packages, sources()))
    used = {owner.lower().replace("_", "-") for name in imported for owner in owners.get(name, [])}
    used |= {"mlx-lm"}  # `engine.network.zoo` imports a family's module by its name.
    used -= {"localllm", "mlx-cpu", "mlx-metal"}
    used = {name for name in used if not name.startswith("opentelemetry-")}  # extra `tracing`
    assert used == names_of(PROJECT["project"]["dependencies"])


def test_every_variable_in_the_sources_is_a_known_setting() -> None:
    found = {
        name
        for path in sources()
        for name in re.findall(r"\bLOCALLLM_[A-Z_]+[A-Z]\b", path.read_text())
    }
    assert found <= known_variables()


def test_tests_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_ci_runs_the_documented_test_command() -> None:
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()


def test_the_readme_lists_every_top_level_entry() -> None:
    readme = (ROOT / "README.md").read_text()
    entries = [*PACKAGES, "tests", "scripts", "localllm.py"]
    assert [entry for entry in entries if not re.search(rf"^{entry}/?\s", readme, re.M)] == []


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    context = click.Context(root)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        assert command.hidden or re.search(rf"`(localllm )?{name}\b", readme), name


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def options_of(command: click.Command, context: click.Context) -> set[str]:
    """Those of a command, and of the commands in it."""
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    own = {opt for p in command.get_params(context) for opt in p.opts + p.secondary_opts}
    return own.union(*(options_of(each, context) for each in inner))


@pytest.mark.parametrize(
    "path", [*documents(), *sources()], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_commands_that_are_written_down_exist(path: Path) -> None:
    """Every `localllm COMMAND --option` in documents and messages is accepted by the parser."""
    context = click.Context(root)
    for name, rest in re.findall(
        r"(?m)(?:`|^ *|\$ )localllm ([a-z]+)\b([^`|#\n]*)", path.read_text()
    ):
        command = root.get_command(context, name)
        assert command is not None, f"there is no `localllm {name}`"
        known = options_of(command, context)
        unknown = set(re.findall(r"(?<=\s)--[a-z-]+", rest)) - known
        assert not unknown, f"`localllm {name}` has no {unknown}"
