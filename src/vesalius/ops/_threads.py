"""Share one loop among threads: compiled kernels let go of the interpreter's lock."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch


def share(work: Callable[[int, int], object], total: int, *, least: int = 1) -> None:
    """Run ``work(start, stop)`` over blocks that cover ``range(total)``, each on its own thread.

    As many threads as torch uses (``torch.set_num_threads``). The blocks must not write to the
    same place. Preferred to numba's own threads: these nest, and compile in half the time.

    Args:
        work: Does one block; an error in any block is raised here.
        total: Length of the loop.
        least: Fewest items worth a thread of their own.
    """
    count = max(1, min(torch.get_num_threads(), total // max(1, least)))
    if count == 1:
        work(0, total)
        return
    edges = [total * i // count for i in range(count + 1)]
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(work, a, b) for a, b in pairwise(edges)]:
            done.result()
