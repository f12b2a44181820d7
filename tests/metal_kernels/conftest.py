import sys
from pathlib import Path

import pytest

from metal_kernels import backend

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def restored_threads():
    before = backend.num_threads()
    yield
    backend.set_num_threads(before)
