"""Thresholds, morphology, components and edges beside scikit-image and SciPy.

Run it as ``python benchmarks/bench_segment_classical.py [folder of segmentation data]``. One
thread, warm, no input or output; the median of five alternated pairs. Each line says whether both
give the same.
"""
# SPDX-License-Identifier: Apache-2.0

import _timing  # first: it sets the number of threads

import sys  # isort: skip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.ndimage as ndi
import skimage.filters as filters
import skimage.morphology as rival
import torch

from vesalius.core import Grid, Image, Labels
from vesalius.segment import morphology as m
from vesalius.segment import segment, threshold
from vesalius.segment.regions import Canny

SEED = 20261121


def line(name: str, work: tuple[Callable[[], object], Callable[[], object]], same: bool) -> None:
    """Print one comparison, and whether the results agree."""
    print(f"{_timing.compare(name, *work)}  {'same' if same else 'DIFFERS'}", flush=True)


def image_of(x: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Image:
    """Put samples on a grid."""
    volume = x if x.ndim == 3 else x[None]
    return Image(torch.from_numpy(volume)[None], Grid.from_spacing(volume.shape, spacing))


def scan() -> np.ndarray:
    """Make a CT-like volume: air, tissue, bone; 512 x 512 x 100, int16."""
    rng = np.random.default_rng(SEED)
    coarse = ndi.zoom(rng.normal(size=(13, 32, 32)), (100 / 13, 16, 16), order=1)
    body = np.where(coarse > 0.1, 40.0, -900.0) + np.where(coarse > 0.9, 600.0, 0.0)
    noise = rng.integers(-60, 60, body.shape)
    return (body + noise).astype(np.int16)


def thresholds() -> None:
    """Cut a CT and a plane of floats by each method, histogram and labels included."""
    rng = np.random.default_rng(SEED)
    plane = np.where(rng.random((2048, 2048)) < 0.3, 0.7, 0.2)
    plane = (plane + rng.normal(0, 0.08, plane.shape)).astype(np.float32)
    methods = {
        "Otsu": (threshold.Otsu(), filters.threshold_otsu),
        "isodata": (threshold.Isodata(), filters.threshold_isodata),
        "Li": (threshold.Li(), filters.threshold_li),
        "Yen": (threshold.Yen(), filters.threshold_yen),
    }
    for where, x in (("CT 512x512x100 int16", scan()), ("2048^2 float32", plane)):
        image = image_of(x)
        bin_ = 1.0 if x.dtype == np.int16 else float(x.max() - x.min()) / 256
        for name, (method, theirs) in methods.items():
            ours = segment(image, method).values["threshold"]
            line(
                f"{name}, {where}",
                (
                    lambda method=method, image=image: segment(image, method),
                    lambda theirs=theirs, x=x: x > theirs(x),
                ),
                abs(ours - float(theirs(x))) <= bin_,
            )
    small = image_of((plane * 255).clip(0, 255).astype(np.uint8))
    ours = segment(small, threshold.MultiOtsu(3)).labels.data[0, 0].numpy()
    cuts = filters.threshold_multiotsu(small.data[0, 0].numpy(), 3)
    line(
        "multi-Otsu, 3 classes, 2048^2 uint8",
        (
            lambda: segment(small, threshold.MultiOtsu(3)),
            lambda: np.digitize(
                small.data[0, 0].numpy(), filters.threshold_multiotsu(small.data[0, 0].numpy(), 3)
            ),
        ),
        bool(np.array_equal(ours, np.digitize(small.data[0, 0].numpy(), cuts, right=True))),
    )


def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Make smooth noise and the mask of its highest three tenths, 60 x 160 x 160."""
    x = ndi.gaussian_filter(np.random.default_rng(SEED).normal(size=(60, 160, 160)), 2.5)
    return (x * 1e4).astype(np.int16), x > np.quantile(x, 0.7)


def on_masks() -> None:
    """Grow, shrink, connect and fill a mask."""
    _, mask = blobs()
    grid = Grid.from_spacing(mask.shape)
    labels = Labels(torch.from_numpy(mask.astype(np.uint8))[None], grid)
    for radius in (2, 5, 10):
        ball = rival.ball(radius)
        element = m.Ball(float(radius))
        mine = m.dilate(labels, element).data[0].numpy() != 0
        line(
            f"dilate a mask by a ball of {radius} (SciPy)",
            (
                lambda element=element: m.dilate(labels, element),
                lambda ball=ball: ndi.binary_dilation(mask, ball),
            ),
            bool(np.array_equal(mine, ndi.binary_dilation(mask, ball))),
        )
        line(
            f"erode a mask by a ball of {radius} (isotropic_erosion)",
            (
                lambda element=element: m.erode(labels, element),
                lambda radius=radius: rival.isotropic_erosion(mask, radius),
            ),
            bool(
                np.array_equal(
                    m.erode(labels, element).data[0].numpy() != 0,
                    ndi.binary_erosion(mask, ball, border_value=1),
                )
            ),
        )
    for name, structure in (("face", None), ("full", np.ones((3, 3, 3)))):
        mine = m.components(labels, connectivity=name).data[0].numpy()
        line(
            f"components, {name} (SciPy)",
            (
                lambda name=name: m.components(labels, connectivity=name),
                lambda structure=structure: ndi.label(mask, structure),
            ),
            bool(np.array_equal(mine, ndi.label(mask, structure)[0])),
        )
    filled = m.fill_holes(labels).data[0].numpy() != 0
    line(
        "fill holes (SciPy)",
        (lambda: m.fill_holes(labels), lambda: ndi.binary_fill_holes(mask)),
        bool(np.array_equal(filled, ndi.binary_fill_holes(mask))),
    )
    least = rival.remove_small_objects
    line(
        "remove below 100 voxels (scikit-image)",
        (
            lambda: m.remove_small(labels, 100, unit="voxels", connectivity="face"),
            lambda: least(mask, max_size=99),
        ),
        bool(
            np.array_equal(
                m.remove_small(labels, 100, unit="voxels", connectivity="face").data[0].numpy()
                != 0,
                least(mask, max_size=99),
            )
        ),
    )


def on_grey_values() -> None:
    """Take the greatest value under a ball, and reconstruct."""
    values, _ = blobs()
    part = values[:20]
    image = image_of(part)
    for radius in (2, 5):
        ball = rival.ball(radius)
        element = m.Ball(float(radius))
        theirs = ndi.grey_dilation(part, footprint=ball, mode="constant", cval=-32768)
        line(
            f"grey dilation by a ball of {radius} (SciPy)",
            (
                lambda element=element: m.dilate(image, element),
                lambda ball=ball: ndi.grey_dilation(part, footprint=ball),
            ),
            bool(np.array_equal(m.dilate(image, element).data[0].numpy(), theirs)),
        )
    marker = part - np.int16(300)
    full = np.ones((3, 3, 3))
    mine = m.reconstruct(image_of(marker), image).data[0].numpy()
    line(
        "grey reconstruction (scikit-image)",
        (
            lambda: m.reconstruct(image_of(marker), image),
            lambda: rival.reconstruction(marker, part, footprint=full),
        ),
        bool(np.array_equal(mine, rival.reconstruction(marker, part, footprint=full))),
    )


def edges() -> None:
    """Find edges in a plane; ours gives chains and the gradient as well."""
    from skimage.feature import canny

    x = ndi.gaussian_filter(np.random.default_rng(SEED).normal(size=(1024, 1024)), 2.0) * 10
    method = Canny(1.0, low=0.25, high=0.5, scale="absolute")
    mine = segment(image_of(x), method).labels.data[0, 0].numpy() != 0
    theirs = canny(x, 1.0, 2.0, 4.0, mode="nearest")
    alike = 2 * (mine & theirs).sum() / (mine.sum() + theirs.sum())
    image = image_of(x)
    line(
        f"Canny, 1024^2 (overlap {alike:.4f})",
        (lambda: segment(image, method), lambda: canny(x, 1.0, 2.0, 4.0, mode="nearest")),
        bool(alike > 0.99),
    )


def nuclei(folder: Path) -> None:
    """Say how well Otsu's mask and its parted objects agree with drawn nuclei."""
    from vesalius import io

    scores = []
    for path in sorted((folder / "nuclei_dsb2018" / "labels").glob("fluo*.png"))[:48]:
        image = io.open(folder / "nuclei_dsb2018" / "images" / path.name).read()
        truth = io.open(path).read().data[0].numpy() != 0
        grey = Image(image.data[:3].float().mean(dim=0, keepdim=True), image.grid)
        found = segment(grey, threshold.Otsu()).labels.data[0].numpy() != 0
        scores.append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    print(f"Otsu on {len(scores)} real fluorescence images: median Dice {np.median(scores):.3f}")


def main() -> None:
    """Print every line."""
    _timing.single_thread()
    thresholds()
    on_masks()
    on_grey_values()
    edges()
    if len(sys.argv) > 1:
        nuclei(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
