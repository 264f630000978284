"""Worker: a process that measures the cases it is told on its standard input, one after another.

One line of JSON for each order comes in, one for each result goes out. It ends when its parent
does: the input closes then, also when the parent was killed.
"""
# SPDX-License-Identifier: Apache-2.0

import faulthandler
import os
import queue
import signal
import sys
import threading
from typing import TextIO

READY = "ready"
"""First line of a worker: the library is loaded."""


def main() -> None:
    """Measure until the input ends."""
    # what libraries print must not be taken for results: those go out by a way of their own
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    faulthandler.enable(all_threads=False)  # a crash says where; the parent keeps the last line
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends us
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    import torch

    from vesalius.study.cohort._execute import execute
    from vesalius.study.cohort._kernel_cache import write_in_turn
    from vesalius.study.cohort._runner import order_of

    torch.set_num_threads(1)
    write_in_turn()
    _say(answers, READY)
    while True:
        _say(answers, execute(order_of(orders.get())).to_text())


def _listen(orders: "queue.SimpleQueue[str]") -> None:
    """Pass orders on; when the parent is gone, end at once, whatever is being measured."""
    for line in sys.stdin:
        orders.put(line)
    os._exit(0)


def _say(answers: TextIO, text: str) -> None:
    try:
        answers.write(text + "\n")
        answers.flush()
    except OSError:  # nobody listens any more
        os._exit(0)


if __name__ == "__main__":
    main()
