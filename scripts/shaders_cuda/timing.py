"""Times launches on the GPU by events around replays of a graph, where the host costs nothing."""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

COPY_BYTES = 1 << 30
_REPLAYS = 25
_WARM_UPS = 5


def seconds(cupy: Any, steps: Sequence[Callable[[], None]], num_rounds: int = 1) -> float:
    """Median time of one round through `steps`, `num_rounds` of which make one measurement."""
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        for _ in range(num_rounds):
            for step in steps:
                step()
        graph = stream.end_capture()
        for _ in range(_WARM_UPS):
            graph.launch(stream)
        took = [_replay(cupy, graph, stream) for _ in range(_REPLAYS)]
    return median(took) / num_rounds


def _replay(cupy: Any, graph: Any, stream: Any) -> float:
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record(stream)
    graph.launch(stream)
    end.record(stream)
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, end)) / 1e3


def copy_bandwidth(cupy: Any, num_bytes: int = COPY_BYTES) -> float:
    """Bytes per second of a copy on the card, read and written bytes counted.

    The faster of the driver's copy, which is slow inside a graph on some cards, and a kernel's.
    Copies of less than a GiB go round among several places, so that no cache holds them.
    """
    places = max(1, COPY_BYTES // num_bytes)
    source, target = (cupy.empty((places, num_bytes // 16), cupy.complex128) for _ in range(2))
    source[:] = 7
    kernel = cupy.ElementwiseKernel("complex128 x", "complex128 y", "y = x", "copy_16_bytes")

    def by_driver(place: int) -> None:
        target[place].data.copy_from_device_async(source[place].data, num_bytes)

    def by_kernel(place: int) -> None:
        kernel(source[place], target[place])

    by_kernel(0)  # compiled before a graph records it
    took = min(
        seconds(cupy, [partial(copy, place) for place in range(places)])
        for copy in (by_driver, by_kernel)
    )
    return 2 * num_bytes * places / took
