"""Run a rival of registration on a pair, in its own process, and bring its result home."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from _register_cases import Pair
from _rivals import HERE, python_of

from vesalius import io
from vesalius.core import Displacement, Grid, Image, Linear, Transform

ENVIRONMENTS = {"ants": "antspyx", "greedy": "picslgreedy", "elastix": "itkelastix"}


@dataclass(frozen=True)
class Outcome:
    """What a rival found.

    Attributes:
        seconds: CPU seconds by stage.
        rss_mb: Most memory that the process held, MB.
        affine: Fixed to moving, or the identity.
        field: What acts before the affine, on the fixed lattice; None for a linear task.
    """

    seconds: dict[str, float]
    rss_mb: float
    affine: Linear
    field: Displacement | None

    @property
    def transform(self) -> Transform:
        """The whole map, fixed to moving."""
        return self.affine if self.field is None else self.affine @ self.field


def interpreter(name: str) -> Path | None:
    """Give the interpreter in which a rival lives; SimpleITK's is this one."""
    if name == "sitk":
        return Path(sys.executable)
    return python_of(ENVIRONMENTS[name]) or python_of(name)


def run_rival(name: str, pair: Pair, task: str) -> Outcome:
    """Register a pair by a rival.

    Args:
        name: ``"ants"``, ``"greedy"``, ``"elastix"`` or ``"sitk"``.
        pair: The images.
        task: The words for the rival's script.

    Returns:
        What came out.

    Raises:
        FileNotFoundError: The rival is not installed.
        RuntimeError: It failed; the text is the end of what it said.
    """
    python = interpreter(name)
    if python is None:
        raise FileNotFoundError(f"no environment for {name}: see requirements-{name}.txt")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_pair(pair, folder)
        done = subprocess.run(
            [str(python), str(HERE / f"_rival_{name}.py"), made, *task.split()],
            capture_output=True,
            text=True,
            cwd=made,
            env=dict(os.environ) | {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"},
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        if not lines:
            raise RuntimeError(f"{name} {task} gave nothing: {(done.stdout + done.stderr)[-800:]}")
        values = json.loads(lines[-1].removeprefix("RESULT "))
        return _outcome(values, folder, pair.fixed.grid)


def write_pair(pair: Pair, folder: Path) -> None:
    """Write the files that ``_register_worker`` reads."""
    for name, image in (("fixed", pair.fixed), ("moving", pair.moving)):
        io.save(Image(image.data.float(), image.grid), folder / f"{name}.nii")


def _outcome(values: dict[str, float], folder: Path, grid: Grid) -> Outcome:
    rss_mb = values.pop("rss_mb")
    affine, field = (_loaded(folder, n) for n in ("affine", "field"))
    shifts = None
    if field is not None:
        shifts = torch.from_numpy(np.ascontiguousarray(np.moveaxis(field, -1, 0)))
    return Outcome(
        values,
        rss_mb,
        Linear.identity() if affine is None else Linear(torch.from_numpy(affine)),
        None if shifts is None else Displacement(shifts, grid),
    )


def _loaded(folder: Path, name: str) -> np.ndarray | None:
    path = folder / f"{name}.npy"
    return np.load(path) if path.exists() else None
