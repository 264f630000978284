"""Split a loop over threads: kernels release the GIL, each part writes its own share."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

SMALL = 1 << 20
"""Work below this many samples stays on the calling thread: starting threads costs more."""


def in_parts(work: Callable[[int, int], object], count: int, *, cost: int) -> None:
    """Run ``work(start, stop)`` over ``range(count)``, in as many parts as torch has threads.

    Args:
        work: Handles one part; parts must not depend on each other, so that the result is the
            same for any number of threads.
        count: Length of the loop.
        cost: Samples handled in all; small work is not split.
    """
    parts = min(torch.get_num_threads(), count) if cost >= SMALL else 1
    if parts <= 1:
        work(0, count)
        return
    edges = [count * k // parts for k in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        for future in [pool.submit(work, edges[k], edges[k + 1]) for k in range(parts)]:
            future.result()
