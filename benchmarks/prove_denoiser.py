"""Prove: train the packaged denoiser on generated images, and hold it against total variation.

Run: python benchmarks/prove_denoiser.py train OUT.safetensors [--steps 5800]: five CPU minutes at
most. python benchmarks/prove_denoiser.py show FILE.safetensors: PSNR on held-out generated images
beside total variation at its best strength, and non-local means. Neither saw those images.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vesalius.io._weights import ModelCard
from vesalius.physics import dead_leaves
from vesalius.reconstruct.learned import Denoiser
from vesalius.reconstruct.solve import TV

LEVELS = (0.02, 0.05, 0.1, 0.2)


def psnr(x: Tensor, truth: Tensor) -> float:
    """Peak 1, mean over the images."""
    error = (x - truth).square().mean(dim=(-2, -1)).clamp_min(1e-12)
    return float((-10 * error.log10()).mean())


def best_variation(noisy: Tensor, truth: Tensor, sigma: float) -> tuple[float, float]:
    """Total variation at the strength that is best for these images: PSNR and strength."""
    tried = [(psnr(TV(steps=100)(noisy, f * sigma), truth), f * sigma) for f in FACTORS]
    return max(tried)


FACTORS = (0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.7)


def non_local_means(noisy: Tensor, sigma: float) -> Tensor:
    """scikit-image, told the noise level."""
    from skimage.restoration import denoise_nl_means

    options = {"patch_size": 5, "patch_distance": 6, "h": 0.8 * sigma, "sigma": sigma}
    out = [denoise_nl_means(x.numpy(), fast_mode=True, **options) for x in noisy]
    return torch.from_numpy(np.stack(out))


def held_out(count: int = 12) -> Tensor:
    """Images of another seed than the training's."""
    return dead_leaves(count, shape=(96, 96), generator=torch.Generator().manual_seed(777))


def compare(denoiser: Denoiser, clean: Tensor, seed: int = 1) -> dict[str, float]:
    """PSNR per noise level of the network, of total variation and of non-local means."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, float] = {}
    for sigma in LEVELS:
        noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
        with torch.no_grad():
            mine = denoiser.denoise(noisy, sigma=sigma)
        found[f"psnr_db sigma {sigma:g}"] = round(psnr(mine, clean), 2)
        found[f"psnr_db sigma {sigma:g} best tv"] = round(best_variation(noisy, clean, sigma)[0], 2)
        means = psnr(non_local_means(noisy, sigma), clean)
        found[f"psnr_db sigma {sigma:g} nl means"] = round(means, 2)
    return found


def learn(out: Path, steps: int, count: int) -> None:
    """Train, measure and save."""
    start = time.process_time()
    generator = torch.Generator().manual_seed(2026)
    images = torch.cat(
        [dead_leaves(64, shape=(96, 96), generator=generator) for _ in range(count // 64)]
    )
    made = time.process_time() - start
    denoiser = Denoiser()
    denoiser.schedule = replace(denoiser.schedule, steps=steps)

    def tell(step: object) -> None:
        if step.done % 50 == 0:  # type: ignore[attr-defined]
            print(step, f"{time.process_time() - start:.0f} CPU s", flush=True)

    denoiser.fit(images, generator=generator, on_step=tell)
    seconds = time.process_time() - start
    metrics = compare(denoiser, held_out())
    late = denoiser.losses_[-100:]
    metrics["training loss, last 100 steps"] = round(math.fsum(late) / len(late), 6)
    card = ModelCard(
        name="vesalius denoiser, U-Net 2-D",
        purpose="White Gaussian noise of known level, in 2-D images of any unit and range; the "
        "prior of plug-and-play reconstruction.",
        data=f"{len(images)} generated dead-leaves images of 96 x 96 samples "
        "(physics.dead_leaves, seed 2026). No real image of any kind.",
        training=f"{steps} steps of {denoiser.plan.batch} patches, AdamW, {seconds:.0f} CPU s on "
        f"one core, {made:.0f} of them for the images.",
        limits="Not for diagnosis. Noise that is correlated, signal-dependent or of unknown level "
        "is not what it learned; textures finer than its images may be smoothed away; "
        "a small lesion of low contrast can vanish or be sharpened like any other blob.",
        licence="Apache-2.0",
        metrics=metrics,
    )
    denoiser.save(out, card)
    print(json.dumps(metrics, indent=1))


def main() -> None:
    """Train or show."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("train", "show"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--steps", type=int, default=5800)
    parser.add_argument("--images", type=int, default=1536)
    args = parser.parse_args()
    if args.what == "train":
        learn(args.file, args.steps, args.images)
    else:
        print(json.dumps(compare(Denoiser.load(args.file), held_out()), indent=1))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
