"""Prediction: our sliding window beside MONAI's, same network, each in a process of its own.

Run: python benchmarks/bench_segment_predict.py [--rounds 3]. The volume is 120 x 126 x 164. CPU
seconds of one thread; memory is what is held beyond the imports, the input and the weights, and
beside it the part that is not the network's own (a single patch, run before). Labels are wanted:
MONAI sums the logits of the whole volume, we hand out slices as they are finished. Needs MONAI in
its own environment (``VESALIUS_RIVALS``); without it, our own figures are printed.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import _timing  # noqa: F401 - one thread, before torch
import numpy as np
import torch
from _predict_case import SHAPE, Network, measured, volume
from _rivals import python_of

HERE = Path(__file__).parent
CASES = (
    ("3 classes, patch 80x84x82", "full", 3, 16, "80,84,82"),
    ("20 classes, patch 80x84x82", "full", 20, 16, "80,84,82"),
    ("20 classes, patch 40x42x82", "full", 20, 16, "40,42,82"),
    ("20 classes, patch 40x42x82, half sums", "half", 20, 16, "40,42,82"),
    ("20 classes, seven eighths air", "air", 20, 16, "40,42,82"),
)


def ours(kind: str, classes: int, width: int, sizes: str, keep: str) -> None:
    """Run our own way in this process and print what it took."""
    from vesalius.learn._sliding_window import Skip, Window, sliding_slabs
    from vesalius.ops._winner import Painter, Wanted

    patch = tuple(int(n) for n in sizes.split(","))
    network = Network(width, classes).eval()
    image = volume(kind)

    def painter(labels: np.ndarray) -> Painter:
        nothing = np.zeros((0, 0, 0), np.float32)
        maps = (np.zeros((0, *labels.shape), np.float32), nothing, nothing)
        wanted = Wanted(np.arange(classes), 1.0, labels, *maps)
        return Painter(torch.eye(4, dtype=torch.float64), labels.shape, wanted)

    tiny = painter(np.zeros((2, 2, 2), np.uint8))
    tiny.add(0, torch.rand(classes, 2, 2, 2))  # compiled before anything is measured

    def work() -> dict[str, torch.Tensor]:
        skip = None
        if kind == "air":
            fill = torch.zeros(classes)
            fill[0] = 1.0
            skip = Skip(image[0] <= -1000.0, fill)
        labels = np.zeros(SHAPE, np.uint8)
        paint = painter(labels)
        kept = []
        for slab in sliding_slabs(network, image, Window(patch, half=kind == "half"), skip=skip):
            paint.add(slab.start, slab.values)
            if keep:
                kept.append(slab.values)
        found = {"labels": torch.from_numpy(labels)}
        return found | {"logits": torch.cat(kept, dim=1)} if keep else found

    measured(work, network, patch, keep)


def run(python: str, script: str, words: list[str]) -> dict[str, float]:
    """Run one process and read its figures."""
    one = {f"{n}_NUM_THREADS": "1" for n in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    done = subprocess.run(
        [python, str(HERE / script), *words],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | one,
    )
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def told(name: str, runs: list[dict[str, float]]) -> dict[str, float]:
    """Print the medians of one side."""
    middle = {k: statistics.median(r[k] for r in runs) for k in runs[0]}
    outside = middle["cpu_s"] - middle["network_s"]
    print(
        f"    {name:<8} {middle['cpu_s']:7.2f} CPU-s, outside the network "
        f"{outside / middle['network_s']:6.1%}, {middle['tiles']:.0f} patches, peak "
        f"{middle['peak_mb']:6.0f} MB, beyond one patch "
        f"{max(middle['peak_mb'] - middle['tile_mb'], 0):6.0f} MB"
    )
    return middle


def agreement(python: str) -> None:
    """Print the largest difference of the logits."""
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("ours.pt", "monai.pt")]
        words = ["3", "8", "80,84,82"]
        run(python, "_rival_monai_window.py", ["full", *words, files[1]])
        two = torch.load(files[1], weights_only=True)
        for kind in ("full", "half"):
            run(sys.executable, Path(__file__).name, ["--as", kind, *words, files[0]])
            one = torch.load(files[0], weights_only=True)
            gap = float((one["logits"] - two["logits"]).abs().max())
            same = float((one["labels"] == two["labels"]).float().mean())
            print(
                f"logits ({kind} sums) differ by at most {gap:.2e} (bar 1e-3), {same:.4%} of the "
                "labels agree"
            )


def main() -> None:
    """Print every case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="part of the name of a case")
    parser.add_argument("--as", dest="as_", nargs=5)
    args = parser.parse_args()
    if args.as_:
        kind, classes, width, sizes, keep = args.as_
        ours(kind, int(classes), int(width), sizes, keep)
        return
    rival = python_of("monai")
    if rival is None:
        print("MONAI is not installed: see requirements-monai.txt")
    else:
        agreement(str(rival))
    for name, kind, classes, width, sizes in CASES:
        if args.only not in name:
            continue
        print(f"  {name}")
        words = [kind, str(classes), str(width), sizes, ""]
        mine, theirs = [], []
        for _ in range(args.rounds):
            mine.append(run(sys.executable, Path(__file__).name, ["--as", *words]))
            if rival is not None:
                theirs.append(run(str(rival), "_rival_monai_window.py", words))
        a = told("ours", mine)
        if theirs:
            b = told("MONAI", theirs)
            beyond = [max(s["peak_mb"] - s["tile_mb"], 1e-9) for s in (a, b)]
            print(
                f"    CPU {a['cpu_s'] / b['cpu_s']:.3f}, peak {a['peak_mb'] / b['peak_mb']:.3f}, "
                f"memory beyond one patch {beyond[0] / beyond[1]:.3f} of MONAI's"
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
