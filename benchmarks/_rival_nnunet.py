"""nnU-Net v2's own plan, preparation and trainer: ``... DATA HELD.txt OUT MINUTES``.

Its trainer makes as many of its steps as the time allows, in one process; its polynomial rate is
stretched over that time instead of over 1000 epochs, so that the training is finished. Its
predictor with mirrors, as always, writes the labels. Prints what it took.
"""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import resource
import shutil
import sys
import time
from pathlib import Path

DATASET = "Dataset004_Hippocampus"
PLANS = "nnUNetPlans"


def settle(data: Path, held: list[str], root: Path) -> list[str]:
    """Lay the training cases out as nnU-Net wants them; its paths are environment variables."""
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(root / name)
    os.environ |= {"nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1"}
    raw = root / "raw" / DATASET
    names = sorted(p.name.removesuffix(".nii.gz") for p in (data / "images").iterdir())
    names = [n for n in names if n not in held]
    for part in ("imagesTr", "labelsTr"):
        (raw / part).mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(data / "images" / f"{name}.nii.gz", raw / "imagesTr" / f"{name}_0000.nii.gz")
        shutil.copy(data / "labels" / f"{name}.nii.gz", raw / "labelsTr" / f"{name}.nii.gz")
    told = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "anterior": 1, "posterior": 2},
        "numTraining": len(names),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(told), encoding="utf-8")
    return names


def prepare() -> None:
    from nnunetv2.experiment_planning import plan_and_preprocess_api as steps

    steps.extract_fingerprint_dataset(4, num_processes=1, show_progress_bar=False)
    steps.plan_experiment_dataset(4)
    steps.preprocess_dataset(4, PLANS, ("3d_fullres",), num_processes=(1,), show_progress_bar=False)


def train(seconds: float):
    import torch
    from nnunetv2.run.run_training import get_trainer_from_args

    os.environ |= {"nnUNet_n_proc_DA": "0"}  # batches are made in this process, and so timed
    torch.manual_seed(0)
    trainer = get_trainer_from_args(
        DATASET, "3d_fullres", "all", plans_identifier=PLANS, device=torch.device("cpu")
    )
    trainer.on_train_start()
    torch.set_num_threads(1)
    trainer.network.train()
    start, steps = time.process_time(), 0
    while (done := (time.process_time() - start) / seconds) < 1:
        trainer.lr_scheduler.step(int(done * trainer.num_epochs))
        loss = trainer.train_step(next(trainer.dataloader_train))["loss"]
        steps += 1
        if steps % 5 == 0:
            print(steps, f"{done:.2f} {loss:.3f}", file=sys.stderr, flush=True)
    return trainer, steps, time.process_time() - start


def predict(trainer, data: Path, held: list[str], out: Path) -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    predictor = nnUNetPredictor(device=trainer.device, allow_tqdm=False)
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    predictor.predict_from_files_sequential(
        [[str(data / "images" / f"{name}.nii.gz")] for name in held],
        [str(out / name) for name in held],
    )


def spent() -> float:
    """CPU seconds of this process and of those that it has started and that have ended."""
    both = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(r.ru_utime + r.ru_stime for r in both)


def main(data: Path, held: list[str], out: Path, seconds: float) -> dict[str, object]:
    start = spent()
    settle(data, held, out / "nnunet")
    prepare()
    prepared = spent()
    trainer, steps, took = train(seconds)
    trained = spent()
    predict(trainer, data, held, out)
    plan = trainer.configuration_manager
    return {
        "prepare_s": prepared - start,
        "train_s": took,
        "predict_s": spent() - trained,
        "steps": steps,
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "patch": list(map(int, plan.patch_size)),
        "batch": int(plan.batch_size),
    }


if __name__ == "__main__":
    told = Path(sys.argv[2]).read_text(encoding="utf-8").split()
    answer = main(Path(sys.argv[1]), told, Path(sys.argv[3]), 60 * float(sys.argv[4]))
    print(json.dumps(answer))
