"""The one way numba is used here: cached on disk, no GIL, nothing compiled at import.

Write kernels as ``@kernel`` above ``@no_type_check`` (typing): the second keeps the test suite's
type-checking import hook away from code that numba compiles.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile a single-threaded loop on first call; the machine code is cached on disk."""
    return cast(F, njit(cache=True, nogil=True, error_model="numpy")(function))


def parallel_kernel(function: F) -> F:
    """Compile a loop with ``prange`` on first call; for the few kernels worth it."""
    return cast(F, njit(cache=True, nogil=True, parallel=True, error_model="numpy")(function))
