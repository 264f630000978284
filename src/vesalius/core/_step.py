"""Step: what a long computation tells whoever watches it."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One finished piece of a longer job, passed to ``on_step``.

    Attributes:
        what: What was done, such as ``"measure: nodule"``; no path, no patient name.
        done: Pieces finished so far.
        total: Pieces in all; may shrink where a job stops early.
    """

    what: str
    done: int
    total: int
