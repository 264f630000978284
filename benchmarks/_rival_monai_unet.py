"""MONAI's BasicUNet as its tutorials train it: ``... DATA HELD.txt OUT MINUTES``; writes labels.

Its defaults, Dice + cross-entropy, Adam, crops around and beside the labels, its own transforms;
the rate falls along a cosine, so that it is done when the time is over. Prints what it took.
"""
# SPDX-License-Identifier: Apache-2.0

import json
import math
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai import transforms
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from monai.utils import set_determinism

PATCH = (32, 48, 32)
RATE = 1e-3
BOTH = ("image", "label")


def read(folder: Path, names: list[str]) -> list[dict[str, str]]:
    return [{k: str(folder / f"{k}s" / f"{name}.nii.gz") for k in BOTH} for name in names]


PREPARE = transforms.Compose(
    [
        transforms.LoadImaged(BOTH),
        transforms.EnsureChannelFirstd(BOTH),
        transforms.NormalizeIntensityd("image"),
        transforms.SpatialPadd(BOTH, PATCH),
    ]
)
DRAW = transforms.Compose(
    [
        transforms.RandCropByPosNegLabeld(BOTH, "label", PATCH, pos=1, neg=1, num_samples=2),
        transforms.RandAffined(
            BOTH,
            prob=0.5,
            rotate_range=(0.2, 0.2, 0.2),
            scale_range=(0.1, 0.1, 0.1),
            mode=("bilinear", "nearest"),
            padding_mode="border",
        ),
        transforms.RandScaleIntensityd("image", factors=0.1, prob=0.5),
        transforms.RandShiftIntensityd("image", offsets=0.1, prob=0.5),
    ]
)


def train(cases: list[dict], seconds: float) -> tuple[torch.nn.Module, int]:
    network = BasicUNet(spatial_dims=3, in_channels=1, out_channels=3)
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    start, steps = time.process_time(), 0
    while (done := (time.process_time() - start) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * done))
        drawn = DRAW(cases[int(torch.randint(len(cases), ()))])
        image, label = (torch.stack([d[k].as_tensor() for d in drawn]) for k in BOTH)
        optimiser.zero_grad()
        loss(network(image), label).backward()
        optimiser.step()
        steps += 1
        if steps % 20 == 0:
            print(steps, round(time.process_time() - start), file=sys.stderr, flush=True)
    return network.eval(), steps


def main(data: Path, held: list[str], out: Path, seconds: float) -> dict[str, float]:
    names = sorted(p.name.removesuffix(".nii.gz") for p in (data / "images").iterdir())
    set_determinism(0)
    start = time.process_time()
    cases = [PREPARE(case) for case in read(data, [n for n in names if n not in held])]
    prepared = time.process_time()
    network, steps = train(cases, seconds)
    trained = time.process_time()
    for name, case in zip(held, read(data, held), strict=True):
        ready = PREPARE(case)["image"]
        with torch.inference_mode():
            outputs = sliding_window_inference(ready[None], PATCH, 1, network, mode="gaussian")
        found = outputs.argmax(dim=1)[0].numpy().astype(np.uint8)
        like = nibabel.load(case["label"])
        # padding was put on both sides, half and half
        first = [max(p - n, 0) // 2 for p, n in zip(PATCH, like.shape, strict=True)]
        box = tuple(slice(f, f + n) for f, n in zip(first, like.shape, strict=True))
        nibabel.save(nibabel.Nifti1Image(found[box], like.affine), out / f"{name}.nii.gz")
    return {
        "prepare_s": prepared - start,
        "train_s": trained - prepared,
        "predict_s": time.process_time() - trained,
        "steps": steps,
        "parameters": sum(p.numel() for p in network.parameters()),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    told = Path(sys.argv[2]).read_text(encoding="utf-8").split()
    print(json.dumps(main(Path(sys.argv[1]), told, Path(sys.argv[3]), 60 * float(sys.argv[4]))))
