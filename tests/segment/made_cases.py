"""Made-up data sets in a folder: small volumes with a bright ball and a dark one."""

import json
from pathlib import Path

import torch

from vesalius import io
from vesalius.core import Grid, Image, Labels


def ball(shape, centre, radius):
    """A mask."""
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij")
    return sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) <= radius**2


def make_case(seed, *, shape=(12, 16, 14), spacing=(1.5, 1.0, 1.0)):
    """An image with noise and two balls, and its labels."""
    g = torch.Generator().manual_seed(seed)
    data = 0.1 * torch.randn(shape, generator=g)
    labels = torch.zeros(shape, dtype=torch.uint8)
    move = torch.randint(-1, 2, (3,), generator=g).tolist()
    flat = shape[0] == 1
    for value, at, level in ((1, 0.3, 1.0), (2, 0.7, -1.0)):
        centre = [n * at + m for n, m in zip(shape, move, strict=True)]
        inside = ball(shape, [0, *centre[1:]] if flat else centre, 3.0)
        data[inside] += level
        labels[inside] = value
    grid = Grid.from_spacing(shape, spacing)
    return Image(data[None], grid), Labels(labels[None], grid)


def make_dataset(root: Path, *, cases=4, unlabelled=0, shape=(12, 16, 14), told=False) -> Path:
    """Write ``images/`` and ``labels/`` as NIfTI, and perhaps ``dataset.json``."""
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for i in range(cases + unlabelled):
        image, labels = make_case(i, shape=shape)
        io.save(image, root / "images" / f"case_{i}.nii.gz")
        if i < cases:
            io.save(labels, root / "labels" / f"case_{i}.nii.gz")
    if told:
        text = {
            "channel_names": {"0": "T1"},
            "labels": {"background": 0, "bright": 1, "dark": 2},
            "licence": "CC0-1.0",
            "reference": "made up",
        }
        (root / "dataset.json").write_text(json.dumps(text))
    return root
