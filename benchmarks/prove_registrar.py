"""Prove: train a registrar on made-up shapes, and see what it does on two real brains.

Run: python benchmarks/prove_registrar.py train OUT.safetensors [--steps 1600]: about six CPU
minutes. python benchmarks/prove_registrar.py show FILE.safetensors: mean Dice of the pair
brain3d_fs at 2 mm after the affine stages, after the network alone, and after instance
optimisation, with CPU seconds, beside instance optimisation without the network. It saw no brain.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from vesalius.core import Transform
from vesalius.io._weights import ModelCard
from vesalius.register import Plan, register
from vesalius.register.learned import REFINE, Registrar, Shapes

SEED, PAIR = 2026, "brain3d_fs 2 mm,"


def learn(out: Path, steps: int) -> None:
    """Train, measure and save; a training that was stopped goes on from its last state."""
    from safetensors.torch import load_file, save_file

    begun = time.process_time()
    state = out.with_suffix(".state.safetensors")
    registrar = Registrar()
    registrar.schedule = replace(registrar.schedule, steps=steps, save_every=200)

    def tell(step: object) -> None:
        if step.done % 50 == 0:  # type: ignore[attr-defined]
            print(step, f"{time.process_time() - begun:.0f} CPU s", flush=True)

    registrar.fit(
        Shapes(),
        generator=torch.Generator().manual_seed(SEED),
        resume=load_file(state) if state.exists() else None,
        save=lambda tensors: save_file(tensors, state),
        on_step=tell,
    )
    seconds = time.process_time() - begun
    late = registrar.losses_[-200:]
    card = ModelCard(
        name="vesalius registrar, U-Net 3-D",
        purpose="A first guess of the deformation between two volumes of one contrast that an "
        "affine transform has already brought together; to be followed by instance optimisation.",
        data=f"{steps} pairs of made-up shapes of 32^3 samples, a new one at each step "
        f"(register.learned.Shapes, seed {SEED}). No real image of any kind.",
        training=f"{steps} steps of one pair, AdamW, {seconds:.0f} CPU s on one core.",
        limits="Not for diagnosis. Both images must have one contrast. It learned displacements "
        "whose root mean square along an axis is at most two samples of a lattice (8 mm at its "
        "coarsest); judged on one pair of real brains only.",
        licence="Apache-2.0",
        metrics={"training loss, last 200 steps": round(math.fsum(late) / len(late), 5)},
    )
    registrar.save(out, card)
    figures = show(out)
    registrar.save(out, replace(card, metrics={**card.metrics, **figures}))


def show(file: Path) -> dict[str, float]:
    """Measure on the pair of the bars."""
    from _register_cases import brain_pair
    from bench_register import score

    registrar, pair, found = Registrar.load(file), brain_pair(), {}

    def judge(name: str, transform: Transform, seconds: float) -> None:
        scores = score(pair, transform, seconds)
        print(f"{name:24s} {scores}", flush=True)
        found[f"{PAIR} Dice, {name}"] = round(scores.dice, 4)
        found[f"{PAIR} folded %, {name}"] = round(scores.folded, 6)
        found[f"{PAIR} SDlogJ, {name}"] = round(scores.sd_log, 4)
        if seconds:
            found[f"{PAIR} CPU s, {name}"] = round(seconds, 2)

    start = register(pair.fixed, pair.moving, plan="affine").transform
    judge("affine", start, 0.0)
    ways: dict[str, Callable[[], Transform]] = {
        "network": lambda: registrar.predict(pair.fixed, pair.moving, init=start),
        "network and refinement": lambda: (
            registrar.register(pair.fixed, pair.moving, init=start).transform
        ),
        "refinement alone": lambda: (
            register(pair.fixed, pair.moving, plan=Plan((REFINE,)), init=start).transform
        ),
    }
    for name, way in ways.items():
        way()  # the first run loads and compiles
        begun = time.process_time()
        transform = way()
        judge(name, transform, time.process_time() - begun)
    return found


def main() -> None:
    """Train or show."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("train", "show"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--steps", type=int, default=1600)
    args = parser.parse_args()
    if args.what == "train":
        learn(args.file, args.steps)
    else:
        show(args.file)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
