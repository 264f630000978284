"""Superpixels and the pixel classifier beside scikit-image and scikit-learn, in one process."""
# SPDX-License-Identifier: Apache-2.0

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, label
from skimage.feature import multiscale_basic_features
from skimage.io import imread
from skimage.segmentation import find_boundaries
from skimage.segmentation import slic as rival_slic
from sklearn.ensemble import RandomForestClassifier

from vesalius.core import Grid, Image, Labels
from vesalius.graph import slic
from vesalius.segment.pixels import PixelClassifier

SEED = 20261121


def best(work: Callable[[], Any], rounds: int = 3) -> tuple[float, Any]:
    """Give the least CPU seconds of some rounds, after one that warms up, and the result."""
    result, least = work(), float("inf")
    for _ in range(rounds):
        start = time.process_time()
        result = work()
        least = min(least, time.process_time() - start)
    return least, result


def leak(pieces: np.ndarray, truth: np.ndarray) -> float:
    """Share of samples on the smaller side of a piece that an edge runs through."""
    table = np.zeros((pieces.max() + 1, truth.max() + 1))
    np.add.at(table, (pieces.ravel(), truth.ravel()), 1)
    size = table.sum(axis=1, keepdims=True)
    return float(np.minimum(table, size - table).sum() / pieces.size / 2)


def recall(pieces: np.ndarray, truth: np.ndarray) -> float:
    """Share of true boundary within two samples of a boundary of pieces."""
    away = distance_transform_edt(~find_boundaries(pieces, mode="thick"))
    return float((away[find_boundaries(truth, mode="thick")] <= 2).mean())


def superpixels(folder: Path) -> None:
    """Print SLIC beside scikit-image's: same count wanted, same compactness, ten rounds."""
    x = imread(folder / "image" / "0.png").astype(np.float32)
    x = (x - x.min()) / (x.max() - x.min())
    truth = label(imread(folder / "label" / "0.png") > 0)[0]
    theirs = best(lambda: rival_slic(x, 1000, 0.1, channel_axis=None, start_label=1))
    size = float((x.size / theirs[1].max()) ** 0.5)
    whole = torch.ones(1, *x.shape, dtype=torch.bool)

    def work() -> Any:
        image = torch.from_numpy(x)[None, None]
        pieces = slic(
            image, spacing=(1.0, 1.0, 1.0), size=size, compactness=0.1, steps=10, mask=whole
        )
        return pieces[0].numpy()

    for name, (seconds, found) in (("scikit-image", theirs), ("vesalius", best(work))):
        figures = f"{found.max()} pieces, leak {leak(found, truth):.4f}"
        print(f"slic 512^2 {name}: {seconds:.4f} CPU s, {figures}, {recall(found, truth):.4f}")


def pixels(folder: Path, tiles: int) -> None:
    """Print fit on one section and prediction of another, repeated ``tiles`` times each way."""
    x, y = (imread(folder / "image" / f"{k}.png").astype(np.float32) for k in (0, 1))
    first, second = (imread(folder / "label" / f"{k}.png") > 0 for k in (0, 1))
    drawn = np.random.default_rng(SEED).random(x.shape) < 0.04
    marks = np.where(drawn, first + 1, 0).astype(np.uint8)
    y, second = np.tile(y, (tiles, tiles)), np.tile(second, (tiles, tiles))

    def ours() -> Any:
        one, other = (Grid.from_spacing((1, *a.shape), (1.0, 1.0, 1.0)) for a in (x, y))
        model = PixelClassifier().fit(
            [Image(torch.from_numpy(x)[None, None], one)],
            [Labels(torch.from_numpy(marks)[None, None], one)],
        )
        return model.predict(Image(torch.from_numpy(y)[None, None], other)).data[0, 0].numpy()

    def theirs() -> Any:
        rows = multiscale_basic_features(x, sigma_min=0.5, sigma_max=16)
        forest = RandomForestClassifier(50, max_depth=10, max_samples=0.5, random_state=0)
        forest.fit(rows[marks > 0], marks[marks > 0])
        rows = multiscale_basic_features(y, sigma_min=0.5, sigma_max=16)
        return forest.predict(rows.reshape(-1, rows.shape[-1])).reshape(y.shape)

    for name, work in (("scikit-image + scikit-learn", theirs), ("vesalius", ours)):
        seconds, found = best(work, 1 if tiles > 1 else 3)
        both = ((found == 1) & ~second).sum()
        f1 = 2 * both / ((found == 1).sum() + (~second).sum())
        print(f"pixels {y.shape[0]}^2 {name}: {seconds:.3f} CPU s, F1 of membrane {f1:.4f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["VESALIUS_TEST_DATA"])
    superpixels(data / "segmentation" / "em_isbi")
    pixels(data / "segmentation" / "em_isbi", 1)
    pixels(data / "segmentation" / "em_isbi", 4)
