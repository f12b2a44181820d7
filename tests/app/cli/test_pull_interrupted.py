"""Ctrl-C during a pull: it ends at once, nothing has a name, and what came in is kept."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.models.hub import FakeHub, serving
from tests.models.pulling import model, served

ROOT = Path(__file__).resolve().parents[3]
NAME = "org/Tiny-GGUF"

Run = Callable[..., subprocess.CompletedProcess[str]]


def partial_bytes(home: Path) -> int:
    found = (home / "models" / "partial").glob("*")
    return sum(path.stat().st_blocks * 512 for path in found if not path.suffix)


def test_ctrl_c_keeps_what_is_there(run: Run, home: Path, tmp_path: Path) -> None:
    content = model(4_000_000)
    with serving(FakeHub()) as hub:
        hub.add(NAME, {"T-Q8_0.gguf": content})
        hub.bytes_per_s = 400_000
        env = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": ""}
        process = subprocess.Popen(
            [sys.executable, ROOT / "localllm.py", "pull", NAME],
            env=os.environ | env | {"LOCALLLM_HOME": str(home)},
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            deadline = time.monotonic() + 60
            while partial_bytes(home) < 500_000 and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()
        assert json.loads(run("list", NAME, "--json", env=env).stdout) == []
        kept = partial_bytes(home)
        assert 400_000 < kept < len(content)
        hub.bytes_per_s = 0
        before = served(hub)
        assert run("pull", NAME, env=env).returncode == 0
        assert served(hub) - before <= len(content) - kept + (1 << 20)
