"""A short soak of a real daemon with the bundled model; scripts/soak_daemon.py is the long one."""

import asyncio

import pytest

from scripts.soak_daemon import soak


@pytest.mark.slow
def test_streams_that_stay_are_right_while_workers_die_and_clients_leave() -> None:
    report = asyncio.run(soak(seconds=10, num_streams=12, kill_every_s=4))
    assert report.failures == []
    assert report.num_kills >= 1
