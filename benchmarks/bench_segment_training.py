"""Training in equal CPU minutes: hippocampus beside MONAI and nnU-Net, vessels, membranes.

Run: python benchmarks/bench_segment_training.py [PART...] [--out FOLDER] [--minutes M]. Parts:
``ours``, ``monai``, ``nnunet`` (hippocampus: 120 cases to learn from, the same 30 held out, every
label file read and scored by the same lines), ``vessels`` (10 of 12 fundus images), ``membranes``
(16 of 20 sections, beside pixel classifiers). Minutes are those of the training loop, of one
thread; preparation and prediction are printed beside them. Without ``--minutes`` each part has its
own. What was measured stays in FOLDER and is printed again with the rest.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _timing  # noqa: F401 - one thread, before torch
import numpy as np
import torch
from _rivals import HERE, python_of
from PIL import Image as Picture
from scipy.ndimage import label

import vesalius
from vesalius.core import Grid, Image, Labels, differences
from vesalius.ops._centreline import centreline_dice
from vesalius.ops._contingency import contingency
from vesalius.ops._overlap import overlap
from vesalius.ops._partition import adapted_rand
from vesalius.segment.networks import (
    Budget,
    Model,
    Regime,
    fingerprint,
    plan_to_json,
    plan_training,
    predict,
    read_case,
    read_dataset,
    seconds_per_step,
    train_model,
)
from vesalius.segment.pixels import PixelClassifier

ROOT = Path(os.environ.get("VESALIUS_TEST_DATA", HERE.parents[1] / "shared" / "data"))
DATA = ROOT / "segmentation"
MINUTES = {"ours": 10.0, "monai": 10.0, "nnunet": 10.0, "vessels": 3.0, "membranes": 2.5}
MARKED = 0.04
"""Share of the pixels of each section that a pixel classifier learns from."""


@dataclass(frozen=True)
class Trained:
    """A model and what it took, CPU seconds."""

    model: Model
    took: dict[str, Any]


def trained(data: Path, held: list[str], folder: Path, minutes: float) -> Trained:
    """Fingerprint, plan and train by the public names."""
    dataset, start = read_dataset(data), time.process_time()
    found = fingerprint(dataset.without(tuple(held)))
    plan = plan_training(found, Budget(minutes), measure=seconds_per_step)
    prepared = time.process_time()
    regime = Regime(hold_out=tuple(held), seconds=60 * minutes, clock="cpu")
    (folder / "plan.json").write_text(json.dumps(plan_to_json(plan), indent=1), encoding="utf-8")
    run = train_model(
        dataset,
        plan,
        folder=folder / "model",
        regime=regime,
        fingerprint=found,
        on_step=lambda s: s.done % 50 or print(f"{s.done}/{s.total} {s.what}", flush=True),
    )
    last = run.looks[0][-1]
    took = {
        "prepare_s": prepared - start + time.process_time() - prepared - last.seconds,
        "train_s": last.seconds,
        "steps": last.step,
        "parameters": sum(p.numel() for p in run.model.networks[0].parameters()),
        "patch": plan.patch,
        "batch": plan.batch,
        "width": plan.network.width,
        "precision": plan.precision,
    }
    return Trained(run.model, took)


def held_hippocampus() -> list[str]:
    names = sorted(
        p.name.removesuffix(".nii.gz") for p in (DATA / "hippocampus" / "images").iterdir()
    )
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0)).tolist()
    return sorted(names[i] for i in order[:30])


def dice_of(folder: Path) -> dict[str, float]:
    """Score the label files of a folder; the same for everyone."""
    rows = []
    for name in held_hippocampus():
        truth = vesalius.open(DATA / "hippocampus" / "labels" / f"{name}.nii.gz").read_labels()
        found = vesalius.open(folder / f"{name}.nii.gz").read_labels()
        if apart := differences(truth.grid, found.grid):
            raise SystemExit(f"{name}: {apart}")
        rows.append(overlap(found.data[0], truth.data[0], (1, 2)).dice)
    dice = torch.stack(rows)
    anterior, posterior = dice.mean(dim=0).tolist()
    worst = float(dice.mean(dim=1).min())
    return {
        "Dice": float(dice.mean()),
        "anterior": anterior,
        "posterior": posterior,
        "worst": worst,
    }


def ours(folder: Path, minutes: float) -> dict[str, Any]:
    held = held_hippocampus()
    done = trained(DATA / "hippocampus", held, folder, minutes)
    start = time.process_time()
    for name in held:
        image = vesalius.open(DATA / "hippocampus" / "images" / f"{name}.nii.gz").read()
        vesalius.save(predict(done.model, image).labels, folder / f"{name}.nii.gz")
    took = {**done.took, "predict_s": time.process_time() - start}
    return {"vesalius": {**dice_of(folder), **took}}


def rival(name: str, script: str) -> Callable[[Path, float], dict[str, Any]]:
    """Train a rival in its own environment."""

    def work(folder: Path, minutes: float) -> dict[str, Any]:
        python = python_of(name)
        if python is None:
            return {name: {"absent": f"no environment: see requirements-{name}.txt"}}
        (folder / "held.txt").write_text("\n".join(held_hippocampus()), encoding="utf-8")
        words = [python, HERE / script, DATA / "hippocampus", folder / "held.txt", folder, minutes]
        with (folder / "log.txt").open("w") as log:
            done = subprocess.run(
                [str(w) for w in words], stdout=subprocess.PIPE, stderr=log, text=True, check=True
            )
        return {name: {**dice_of(folder), **json.loads(done.stdout.splitlines()[-1])}}

    return work


def number(path: Path) -> int:
    return int("".join(c for c in path.stem.split("_")[0] if c.isdigit()))


def staged(folder: Path, part: str, files: list[Path], turn: Callable[[Any], Any]) -> list[str]:
    """Write pictures under the names that a data set wants: NN.png."""
    (folder / part).mkdir(parents=True, exist_ok=True)
    names = [f"{number(path):02d}" for path in files]
    for name, path in zip(names, files, strict=True):
        values = turn(np.asarray(Picture.open(path)))
        Picture.fromarray(values).save(folder / part / f"{name}.png")
    return names


def mask(values: Any) -> Any:
    return (values > 0).astype(np.uint8)


def vessels(folder: Path, minutes: float) -> dict[str, Any]:
    """Dice and centreline Dice of vessels inside the field of view, on the last two images."""
    retina, data = DATA / "retina_drive", folder / "data"
    names = staged(data, "images", sorted((retina / "images").iterdir()), np.asarray)
    staged(data, "labels", sorted((retina / "1st_manual").iterdir()), mask)
    staged(data, "regions", sorted((retina / "mask").iterdir()), mask)
    done, held = trained(data, names[-2:], folder, minutes), names[-2:]
    start, rows = time.process_time(), []
    dataset = read_dataset(data)
    for name in held:
        sample = read_case(dataset, dataset.case(name))
        assert sample.labels is not None
        truth, found = sample.labels.data[0], predict(done.model, sample.image).labels.data[0]
        vessel, seen = truth == 1, (found == 1) & (truth >= 0)
        dice = float(overlap(seen.int(), vessel.int(), (1,)).dice)
        rows.append((dice, centreline_dice(seen, vessel).cldice))
    dice, centre = np.mean(rows, axis=0)
    took = {**done.took, "predict_s": time.process_time() - start}
    return {"vesalius": {"Dice": float(dice), "clDice": float(centre), "each": rows, **took}}


def read_plane(path: Path) -> Any:
    return np.asarray(Picture.open(path))


def membrane_scores(found: list[Any], truth: list[Any]) -> dict[str, float]:
    """IoU of membranes, and adapted Rand error of the cells between them."""
    pairs = list(zip(found, truth, strict=True))
    iou = np.mean([(f & t).sum() / (f | t).sum() for f, t in pairs])
    cells = [tuple(torch.from_numpy(label(~m)[0]) for m in pair) for pair in pairs]
    errors = [adapted_rand(contingency(f, t)).error for f, t in cells]
    return {"IoU": float(iou), "Rand error": float(np.mean(errors))}


def planes(folder: Path, names: list[str]) -> tuple[list[Any], list[Any]]:
    images = [read_plane(folder / "images" / f"{n}.png").astype(np.float32) for n in names]
    return images, [read_plane(folder / "labels" / f"{n}.png") > 0 for n in names]


def marks_of(truth: list[Any]) -> list[Any]:
    """Draw the pixels that a classifier learns from: 1 cell, 2 membrane."""
    chance = np.random.default_rng(0)
    return [np.where(chance.random(t.shape) < MARKED, t + 1, 0).astype(np.uint8) for t in truth]


def pixel_classifier(x: list[Any], marks: list[Any], unseen: list[Any]) -> list[Any]:
    def image(plane: Any) -> Image:
        return Image(torch.from_numpy(plane)[None, None], Grid.from_spacing((1, *plane.shape)))

    images = [image(plane) for plane in x]
    drawn = [
        Labels(torch.from_numpy(m)[None, None], i.grid) for m, i in zip(marks, images, strict=True)
    ]
    model = PixelClassifier().fit(images, drawn)
    return [model.predict(image(plane)).data[0, 0].numpy() == 2 for plane in unseen]


def random_forest(x: list[Any], marks: list[Any], unseen: list[Any]) -> list[Any]:
    from skimage.feature import multiscale_basic_features
    from sklearn.ensemble import RandomForestClassifier

    def rows(plane: Any) -> Any:
        return multiscale_basic_features(plane, sigma_min=0.5, sigma_max=16)

    forest = RandomForestClassifier(50, max_depth=10, max_samples=0.5, random_state=0)
    known = [rows(plane)[m > 0] for plane, m in zip(x, marks, strict=True)]
    forest.fit(np.concatenate(known), np.concatenate([m[m > 0] for m in marks]))
    found = (forest.predict(rows(u).reshape(u.size, -1)).reshape(u.shape) for u in unseen)
    return [plane == 2 for plane in found]


def membranes(folder: Path, minutes: float) -> dict[str, Any]:
    """Membranes of the last four sections, by a network and by two pixel classifiers."""
    em, data = DATA / "em_isbi", folder / "data"
    files = [sorted((em / part).iterdir(), key=number) for part in ("image", "label")]
    names = staged(data, "images", files[0], np.asarray)
    staged(data, "labels", files[1], lambda values: (values == 0).astype(np.uint8))
    x, known = planes(data, names[:-4])
    unseen, truth = planes(data, names[-4:])
    told: dict[str, Any] = {}
    rivals = {"forest, scikit-learn": random_forest, "pixels, vesalius": pixel_classifier}
    for name, work in rivals.items():
        start = time.process_time()
        scores = membrane_scores(work(x, marks_of(known), unseen), truth)
        told[name] = {**scores, "train_s": time.process_time() - start}
        print(name, told[name], flush=True)
    done, start = trained(data, names[-4:], folder, minutes), time.process_time()
    found = []
    for plane in unseen:
        image = Image(torch.from_numpy(plane)[None, None], Grid.from_spacing((1, *plane.shape)))
        found.append(predict(done.model, image).labels.data[0, 0].numpy() == 1)
    took = {**done.took, "predict_s": time.process_time() - start}
    told["network, vesalius"] = {**membrane_scores(found, truth), **took}
    return told


PARTS = {
    "ours": ours,
    "monai": rival("monai", "_rival_monai_unet.py"),
    "nnunet": rival("nnunet", "_rival_nnunet.py"),
    "vessels": vessels,
    "membranes": membranes,
}


def told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:.0f}"
    return str(value)


def show(out: Path) -> None:
    for part in PARTS:
        path = out / part / "figures.json"
        if path.exists():
            for who, figures in json.loads(path.read_text(encoding="utf-8")).items():
                line = "  ".join(f"{k} {told(v)}" for k, v in figures.items())
                print(f"{part:<10} {who:<20} {line}", flush=True)


def main() -> None:
    """Measure the parts that were asked for; print all that is known."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", help=f"all where none is named: {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--minutes", type=float, default=0.0)
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory() as scratch:
        out = args.out or Path(scratch)
        for part in args.parts or PARTS:
            (out / part).mkdir(parents=True, exist_ok=True)
            figures = PARTS[part](out / part, args.minutes or MINUTES[part])
            (out / part / "figures.json").write_text(json.dumps(figures), encoding="utf-8")
        show(out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
