"""Rivals as processes: each lives in its own environment and times itself when told to go.

An environment is the folder ``.envs/<name>`` of the repository, or the folder named by
``VESALIUS_RIVALS`` followed by the name; ``requirements-<name>.txt`` says how to make it.
"""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _timing import Timing

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One image and one region, for us and for the rivals.

    Attributes:
        name: What it is.
        intensity: (z, y, x) float64.
        mask: (z, y, x) bool.
        spacing_mm: (z, y, x), mm.
        unit: Unit of the intensities.
    """

    name: str
    intensity: np.ndarray
    mask: np.ndarray
    spacing_mm: tuple[float, float, float]
    unit: str


def python_of(name: str) -> Path | None:
    """Give the interpreter of a rival, or None where it is not installed."""
    root = Path(os.environ.get("VESALIUS_RIVALS", HERE.parent / ".envs"))
    python = root / name / "bin" / "python"
    return python if python.exists() else None


class Rival:
    """A rival that has read its case and waits; use it with ``with``.

    A rival that can do several things takes the word for one of them as ``task``, or has several
    workers: ``astra_fbp`` is another worker in the environment ``astra``.
    """

    def __init__(self, name: str, case: Case, task: str = "") -> None:
        python = python_of(name.partition("_")[0])
        if python is None:
            raise FileNotFoundError(f"no environment for {name}: see requirements-{name}.txt")
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "case.npz"
        np.savez(path, intensity=case.intensity, mask=case.mask, spacing_mm=case.spacing_mm)
        self._chatter = (Path(self._folder.name) / "chatter.txt").open("w+")
        one = {f"{n}_NUM_THREADS": "1" for n in ("OMP", "MKL", "OPENBLAS", "NUMBA", "PICTOLOGICS")}
        one["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
        # our cache of machine code is not theirs: it would make them compile again
        kept = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
        self._process = subprocess.Popen(
            [str(python), str(HERE / f"_rival_{name}.py"), str(path), *task.split()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._chatter,
            text=True,
            env=kept | one,
        )

    def ask(self, word: str) -> dict[str, float]:
        """Send ``go`` (run and time) or ``values`` (what was computed) and read the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._chatter.seek(0)
            raise RuntimeError(f"the rival ended early: {self._chatter.read()[-500:]}")
        answer: dict[str, float] = json.loads(line)
        return answer

    def go(self) -> Timing:
        """Run once and give the rival's own timing."""
        answer = self.ask("go")
        return Timing(answer["cpu_s"], answer["wall_s"])

    def __enter__(self) -> "Rival":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=60)
        self._chatter.close()
        self._folder.cleanup()
