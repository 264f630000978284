"""Workers: one function over many inputs, in processes where more than one is asked for."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from vesalius.errors import ConfigError, ConvergenceError

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def shared(
    function: Callable[[_In], _Out], inputs: Sequence[_In], *, workers: int
) -> Iterator[_Out]:
    """Apply a function to each input, in order.

    Args:
        function: Found by its name in another process, so none made on the spot.
        inputs: Each is sent whole.
        workers: Processes; 1 stays in this one.

    Returns:
        One result after the other, in order of the inputs.

    Raises:
        ConfigError: There is no worker.
        ConvergenceError: A worker was killed.
    """
    if workers < 1:
        raise ConfigError(f"workers must be 1 or more to train a fold, got {workers}")
    if workers == 1 or len(inputs) < 2:
        return map(function, inputs)
    return _in_processes(function, inputs, min(workers, len(inputs)))


def _in_processes(
    function: Callable[[_In], _Out], inputs: Sequence[_In], workers: int
) -> Iterator[_Out]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # spawned, since a fork of a process with threads may hang
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawned) as pool:
        try:
            yield from pool.map(function, inputs)
        except BrokenProcessPool as broken:
            raise ConvergenceError(
                f"every worker must live until its fold is trained, one of {workers} was killed "
                "(most often for want of memory): use fewer workers"
            ) from broken
