"""Nuclei: make the training volumes, and score models on images that no training has seen.

``make OUT [COUNT]`` writes made volumes in OUT/images and OUT/labels; ``held-out OUT`` writes the
names of the fifth of the fluorescence images that is never trained on; ``score MODEL...`` prints
average precision on that fifth and on StarDist's two images, for 2-D and 3-D models.
"""
# SPDX-License-Identifier: Apache-2.0

import os
import sys
from pathlib import Path

import numpy as np
import torch

import vesalius
from vesalius.core import Grid, Image, Labels
from vesalius.ops._contingency import contingency
from vesalius.ops._matching import detection, match_objects, object_overlaps
from vesalius.physics.optics import nuclei
from vesalius.segment import segment
from vesalius.segment.instances import DistanceWatershed
from vesalius.segment.networks import Trained, load_model

ROOT = Path(os.environ.get("VESALIUS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
DSB = ROOT / "segmentation" / "nuclei_dsb2018"
STARDIST = ROOT / "segmentation" / "stardist"
THRESHOLDS = (0.5, 0.75, 0.9)


def held_out() -> list[str]:
    """Names of the fifth of the fluorescence images that is only scored."""
    names = sorted(p.stem for p in (DSB / "images").glob("fluo_*"))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0)).tolist()
    return sorted(names[i] for i in order[: len(names) // 5])


def make(folder: Path, count: int = 48) -> None:
    """Write made volumes."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for k in range(count):
        volume = nuclei((32, 80, 80), generator=torch.Generator().manual_seed(k))
        scaled = (4000 * volume.image.data).round().clamp(0, 65535).to(torch.int32)
        vesalius.save(
            Image(scaled.to(torch.uint16), volume.image.grid), folder / "images" / f"{k:03d}.tif"
        )
        labels = Labels(volume.labels.data.to(torch.int16), volume.labels.grid)
        vesalius.save(labels, folder / "labels" / f"{k:03d}.tif")


def read(path: Path) -> np.ndarray:
    if path.suffix == ".png":
        from PIL import Image as Picture

        return np.asarray(Picture.open(path)).astype(np.int32)
    import tifffile

    return tifffile.imread(path).astype(np.int32)


def cases(dims: int) -> dict[str, list[tuple[Path, Path]]]:
    name = f"img{dims}d.tif"
    found = {f"stardist img{dims}d": [(STARDIST / name, STARDIST / f"mask{dims}d.tif")]}
    if dims == 2:
        pairs = [(DSB / "images" / f"{n}.png", DSB / "labels" / f"{n}.png") for n in held_out()]
        found["held-out fifth"] = pairs
    return found


def precisions(found: torch.Tensor, truth: torch.Tensor) -> list[float]:
    overlaps = object_overlaps(contingency(found, truth))
    return [detection(match_objects(overlaps, t)).average_precision for t in THRESHOLDS]


def score(dims: int, methods: dict[str, object]) -> None:
    for title, pairs in cases(dims).items():
        for name, method in methods.items():
            rows = []
            for image, labels in pairs:
                x, truth = (torch.from_numpy(read(p)) for p in (image, labels))
                x, truth = x.reshape(-1, *x.shape[-2:]), truth.reshape(-1, *truth.shape[-2:])
                picture = Image(x[None].float(), Grid.from_spacing(tuple(x.shape)))
                rows.append(precisions(segment(picture, method).labels.data[0], truth))
            mean = np.mean(rows, axis=0)
            told = "  ".join(f"AP@{t:g} {v:.3f}" for t, v in zip(THRESHOLDS, mean, strict=True))
            print(f"{title:18s} {len(rows):3d} images  {name:20s} {told}", flush=True)


def main(words: list[str]) -> None:
    if words[0] == "make":
        make(Path(words[1]), *(int(w) for w in words[2:]))
    elif words[0] == "held-out":
        Path(words[1]).write_text("\n".join(held_out()) + "\n", encoding="utf-8")
    else:
        models = {Path(w).name: load_model(w) for w in words[1:]}
        for dims in (2, 3):
            mine = {n: Trained(m) for n, m in models.items() if m.plan.dims == dims}
            if mine:
                score(dims, {"Otsu + watershed": DistanceWatershed(), **mine})


if __name__ == "__main__":
    main(sys.argv[1:])
