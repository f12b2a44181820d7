"""The process beside a whole run: when there is one, and in which order it goes."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.metal_simulator import ahead, build


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Commands that would have been run, over an empty cache."""
    commands = []

    class Process:
        def __init__(self, command, **_):
            commands.append(command)

        def kill(self):
            commands.append("killed")

        def wait(self):
            commands.append("waited for")

    monkeypatch.setattr(ahead.subprocess, "Popen", Process)
    monkeypatch.setattr(build, "cache_dir", lambda: tmp_path)
    return commands


def session(num_tests, collectonly=False):
    item = SimpleNamespace(path=Path(ahead.__file__).with_name("test_executes.py"))
    option = SimpleNamespace(collectonly=collectonly)
    return SimpleNamespace(items=[item] * num_tests, config=SimpleNamespace(option=option))


def test_a_whole_run_has_one_and_ends_it(started):
    run = ahead.Ahead()
    run.pytest_collection_finish(session(1000))
    (command,) = started
    assert ahead.__name__ in command
    run.pytest_sessionfinish(exitstatus=0)
    assert started[1:] == ["killed", "waited for"]
    ahead.Ahead().pytest_collection_finish(session(1000))
    assert len(started) == 3, "the cache is complete"


@pytest.mark.parametrize(
    "asked", [session(10), session(1000, collectonly=True)], ids=["few", "list"]
)
def test_other_runs_have_none(started, asked):
    run = ahead.Ahead()
    run.pytest_collection_finish(asked)
    run.pytest_sessionfinish(exitstatus=0)
    assert not started


def test_a_run_that_failed_leaves_the_cache_incomplete(started):
    for exitstatus in (1, 0):
        run = ahead.Ahead()
        run.pytest_collection_finish(session(1000))
        run.pytest_sessionfinish(exitstatus)
    assert len([command for command in started if isinstance(command, list)]) == 2


def test_it_ends_with_the_other(monkeypatch):
    ahead.pytest_runtest_setup()
    monkeypatch.setattr(ahead.os, "getppid", lambda: 1)
    with pytest.raises(pytest.exit.Exception):
        ahead.pytest_runtest_setup()


def test_it_goes_from_the_last_to_the_first():
    items = [1, 2, 3]
    ahead.pytest_collection_modifyitems(items)
    assert items == [3, 2, 1]
