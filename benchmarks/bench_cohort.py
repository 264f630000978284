"""Cohorts: five sarcoma patients against nine teams, and 20 cases on two workers beside one.

``bench_cohort.py``: every configuration of IBSI chapter 2, phase 3, in three modalities, from files
to tables by ``run_cohort``. ``bench_cohort.py --scaling``: 20 cases, one worker and two in turn;
wall-clock time, so that the machine must be quiet.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import csv
import os
import statistics
import tempfile
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet

from vesalius.measure import load_config, parse_config
from vesalius.study.cohort import Job, PoolRunner, read_manifest, run_cohort

CONFIGS = Path(__file__).parents[1] / "examples" / "ibsi2"
FILES = {"CT": ("ct", "CT", "HU"), "MR_T1": ("mr_t1", "MR", ""), "PET": ("pet_suv", "PET", "SUV")}
SUFFIX = {"CT": "", "MR_T1": "_MR", "PET": "_PET"}

LEAST_TEAMS, AGREE = 3, 0.75
"""The teams agree on a value where there are three or more, and three in four are within 1 % of
their median."""

TEXTURE = (
    "features: {families: [statistics, glcm, glrlm, glszm, gldzm, ngtdm, ngldm, morphology]}\n"
    "discretise: {method: bin_width, bin_width: 25}\nmodality: other\n"
)


def manifest_of(root: Path, rows: list[list[object]]) -> Path:
    """Write a manifest."""
    path = root / "manifest.csv"
    with path.open("w", newline="") as file:
        header = ["subject", "session", "role", "image", "labels", "modality", "unit"]
        csv.writer(file).writerows([header, *rows])
    return path


def patients(data: Path) -> list[list[object]]:
    """Give a row for each patient and modality."""
    rows: list[list[object]] = []
    for folder in sorted(data.glob("STS_*")):
        for role, (stem, modality, unit) in FILES.items():
            files = [folder / f"{stem}.nii.gz", folder / f"{stem}_gtv.nii.gz"]
            rows.append([folder.name, "", role, *files, modality, unit])
    return rows


def beside_nine_teams(data: Path, workers: int) -> None:
    """Print how many values are within 1 % of the teams' median, where the teams agree."""
    teams = pd.read_csv(data / "ibsi2_nine_team_reference.csv.gz")
    spent = os.times()
    print("| configuration | " + " | ".join(f"{role}: within 1 %, worst" for role in FILES) + " |")
    print("|---|" + "---:|" * len(FILES))
    total: dict[str, list[int]] = {role: [0, 0, 0] for role in FILES}
    for number in range(1, 10):
        found = measured(data, f"ID_{number}", workers)
        both = teams[teams["config"] == f"ID_{number}"].merge(
            found,
            left_on=["patient", "modality", "feature_tag"],
            right_on=["subject", "role", "feature"],
        )
        cells = []
        for role in FILES:
            own = both[both["modality"] == role]
            agree = (own["n_teams"] >= LEAST_TEAMS) & (
                own["n_within_1pct_of_median"] >= AGREE * own["n_teams"]
            )
            asked = own[agree]
            apart = (asked["value"] - asked["median"]).abs()
            # a median of 0 has no per cent: it must be met to a thousandth of the quartiles' scale
            scale = asked["median"].abs().where(asked["median"] != 0, 1e-3)
            off = apart / scale
            within = int((off <= 0.01).sum())
            total[role] = [
                a + b for a, b in zip(total[role], (within, len(asked), len(own)), strict=True)
            ]
            cells.append(f"{within} of {len(asked)}, {off.max():.2%}" if len(asked) else "none")
            for row in asked[off > 0.01].itertuples():
                print(
                    f"    ID_{number} {role} {row.patient} {row.feature_tag}: {row.value:.6g}, "
                    f"teams {row.median:.6g} ({row.min:.6g} to {row.max:.6g}, {row.n_teams} teams)"
                )
        print(f"| ID_{number} | " + " | ".join(cells) + " |", flush=True)
    print(
        "| all | "
        + " | ".join(f"{w} of {n} (of {every} given)" for w, n, every in total.values())
        + " |"
    )
    ended = os.times()
    cpu = sum(ended[:4]) - sum(spent[:4])
    print(f"{cpu:.0f} CPU s, processes with them, {9 * len(patients(data))} cases")


def measured(data: Path, name: str, workers: int) -> pd.DataFrame:
    """Measure the patients by one configuration; give the long table."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        rows = read_manifest(manifest_of(root, patients(data)))
        configs = tuple(load_config(CONFIGS / f"{name}{suffix}.yaml") for suffix in SUFFIX.values())
        done = run_cohort(rows, root / "out", job=Job(configs), runner=PoolRunner(workers))
        if not done.complete:
            raise SystemExit(f"{name}: {done.failures} {done.partial}")
        table = pyarrow.parquet.read_table(root / "out" / "features.parquet").to_pandas()
    filtered = table["filter"].ne("original")
    return table[filtered] if filtered.any() else table


def scaling(data: Path, pairs: int) -> None:
    """Print the wall-clock time of 20 cases on one worker and on two, plain and with error bars."""
    for bars in (False, True):
        print(
            "with error bars (up to 32 perturbations, as standard)"
            if bars
            else "without error bars"
        )
        both(data, pairs, Job((parse_config(TEXTURE),), uncertainty=bars))


def both(data: Path, pairs: int, job: Job) -> None:
    """Print the ratio of one worker's time to that of two."""
    found: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        rows = read_manifest(manifest_of(root, twenty(root, data)))
        run(rows, root / "warm", job, 1)
        for pair in range(pairs):
            order = (1, 2) if pair % 2 == 0 else (2, 1)
            took = {n: run(rows, root / f"{pair}-{n}", job, n) for n in order}
            found.append(took[1] / took[2])
            print(f"one {took[1]:.1f} s, two {took[2]:.1f} s: {found[-1]:.2f}", flush=True)
        same = {(root / f"0-{n}" / "features.parquet").read_bytes() for n in (1, 2)}
    load = os.getloadavg()[0]
    print(f"two workers beside one: {statistics.median(found):.2f} (bar 1.7), load {load:.1f}")
    print(f"tables are {'the same bytes' if len(same) == 1 else 'DIFFERENT'}")


def run(rows, out: Path, job: Job, workers: int) -> float:
    """Measure; give the seconds."""
    begun = time.monotonic()
    done = run_cohort(rows, out, job=job, runner=PoolRunner(workers))
    if done.failures:
        raise SystemExit(str(done.failures))
    return time.monotonic() - begun


def twenty(root: Path, data: Path) -> list[list[object]]:
    """Give 20 cases of different content: CT and MR of five patients, each twice with a shift."""
    from vesalius import io

    rows: list[list[object]] = []
    for patient, _, role, image, labels, _, _ in patients(data):
        if role == "PET":
            continue
        for shift in (0, 1):
            made = root / f"{patient}_{role}_{shift}.nii.gz"
            io.save(io.open(Path(str(image))).read().map(lambda x, by=shift: x + by), made)
            rows.append([patient, str(shift), role, made, labels, "other", "HU"])
    return rows


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    data = Path(os.environ["VESALIUS_TEST_DATA"]) / "sts"
    if given.scaling:
        scaling(data, given.pairs)
    else:
        beside_nine_teams(data, given.workers)


if __name__ == "__main__":
    main()
