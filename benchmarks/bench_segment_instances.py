"""Objects by flow beside Cellpose's own flows and masks, and beside Otsu and watershed.

``python benchmarks/bench_segment_instances.py`` prints one line for each figure: flows and masks
for the 125 nuclei of StarDist's 512 x 512 image on one thread (wall and CPU, best of three), the
round trip from truth to flow to masks on all real labels, and flows and masks of 2048 x 2048 with
thousands of nuclei, tiled from that image.
"""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from _rivals import python_of
from prove_nuclei import DSB, STARDIST, precisions, read

from vesalius.core import Grid, Image
from vesalius.ops._flow_masks import flow_masks
from vesalius.ops._heat_flow import heat_flow
from vesalius.segment import segment
from vesalius.segment.instances import DistanceWatershed


def best(work, rounds=3):
    work()
    times = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        found = work()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return found, min(t[0] for t in times), min(t[1] for t in times)


def renumbered(labels):
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def beside_cellpose():
    labels = renumbered(read(STARDIST / "mask2d.tif"))
    truth = torch.from_numpy(labels)[None]
    flow, flow_wall, flow_cpu = best(lambda: heat_flow(truth))
    found, mask_wall, mask_cpu = best(lambda: flow_masks(flow, truth > 0))
    print(f"flows, {labels.max()} nuclei at 512^2: {flow_wall:.3f} s wall, {flow_cpu:.3f} CPU s")
    scores = precisions(found.labels, truth)
    print(f"masks: {mask_wall:.3f} s wall, {mask_cpu:.3f} CPU s, AP@.9 {scores[-1]:.3f}")
    python = python_of("cellpose")
    if python is None:
        print("Cellpose: not installed (benchmarks/requirements-cellpose.txt)")
        return
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "labels.npy", labels)
        worker = Path(__file__).parent / "_rival_cellpose_dynamics.py"
        said = subprocess.run(
            [python, worker, Path(folder) / "labels.npy", "1"], capture_output=True, text=True
        )
    lines = said.stdout.strip().splitlines()
    if said.returncode or not lines:
        print("Cellpose failed:", said.stderr.strip().splitlines()[-1:])
        return
    theirs = json.loads(lines[-1])
    for what, wall, cpu in (("flows", flow_wall, flow_cpu), ("masks", mask_wall, mask_cpu)):
        w, c = theirs[what]
        print(f"Cellpose {what}: {w:.3f} s wall, {c:.3f} CPU s: {w / wall:.0f}x, {c / cpu:.0f}x")


def round_trip():
    scores = []
    for path in sorted((DSB / "labels").iterdir()):
        truth = torch.from_numpy(read(path))[None]
        scores.append(precisions(flow_masks(heat_flow(truth), truth > 0).labels, truth)[-1])
    print(f"round trip, {len(scores)} images of nuclei_dsb2018: AP@.9 {np.mean(scores):.4f}")
    for name, spacing in (("mask2d", (1.0, 1.0, 1.0)), ("mask3d", (2.0, 1.0, 1.0))):
        truth = torch.from_numpy(read(STARDIST / f"{name}.tif"))
        truth = truth.reshape(-1, *truth.shape[-2:])
        found = flow_masks(heat_flow(truth, spacing), truth > 0, spacing=spacing).labels
        print(f"round trip, {name}: AP@.9 {precisions(found, truth)[-1]:.4f}")


def large():
    labels = renumbered(read(STARDIST / "mask2d.tif"))
    count = labels.max()
    tiles = [
        [np.where(labels > 0, labels + count * (4 * i + j), 0) for j in range(4)] for i in range(4)
    ]
    truth = torch.from_numpy(np.block(tiles))[None]
    flow, flow_wall, flow_cpu = best(lambda: heat_flow(truth), 1)
    found, wall, cpu = best(lambda: flow_masks(flow, truth > 0), 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"2048^2, {len(found.errors)} nuclei: flows {flow_wall:.2f} s ({flow_cpu:.2f} CPU s), "
        f"masks {wall:.2f} s ({cpu:.2f} CPU s), peak {peak:.2f} GiB in all"
    )


def watershed():
    image = torch.from_numpy(read(STARDIST / "img2d.tif"))[None, None]
    truth = torch.from_numpy(read(STARDIST / "mask2d.tif"))[None]
    picture = Image(image, Grid.from_spacing(tuple(image.shape[1:])))
    found, wall, cpu = best(lambda: segment(picture, DistanceWatershed()))
    told = ", ".join(f"{p:.3f}" for p in precisions(found.labels.data[0], truth))
    print(f"Otsu + watershed, img2d: AP@.5/.75/.9 {told}; {wall:.3f} s wall, {cpu:.3f} CPU s")


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["beside_cellpose", "round_trip", "large", "watershed"]
    for name in chosen:
        globals()[name]()
