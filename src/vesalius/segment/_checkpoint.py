"""Checkpoint: everything that a training needs to go on exactly, in one file."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import Tensor

from vesalius.errors import FormatError
from vesalius.io._atomic import atomic_write

RUN = "run"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Where a training stands.

    Attributes:
        state: Of :func:`vesalius.learn.train`, and the best weights so far.
        run: What was asked for and what was seen so far, JSON types.
    """

    state: Mapping[str, Tensor]
    run: Mapping[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; one that stands there is replaced by a whole new one or stays.

    Args:
        path: Ends in ``.safetensors``; its folder is made.
        checkpoint: Where the training stands.

    Raises:
        OutputError: The folder is not writable, or the disk is full.
    """
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in checkpoint.state.items()}
    blob = save(tensors, metadata={RUN: json.dumps(dict(checkpoint.run))})
    with atomic_write(path) as file:
        file.write(blob)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: Of the file.

    Raises:
        FormatError: It is absent, damaged, or was not written by a training.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            run = json.loads((file.metadata() or {})[RUN])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise FormatError(
            f"a checkpoint must be a file that vesalius train wrote, reading {path.name!r} "
            f"failed ({type(error).__name__}): train again without --resume"
        ) from error
    return Checkpoint(state, run)
