"""Cohorts of small scans on disk, and a runner that measures in the process of the test."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.measure import Config, parse_config
from vesalius.study.cohort import CaseOrder, CaseResult, Job, Runner, execute

QUICK = "features: {families: [statistics]}\nperturb: {count: 4}\n"

TABLES = (
    "features.parquet",
    "wide.parquet",
    "wide.csv",
    "cases.parquet",
    "cases.csv",
    "manifest.csv",
    "provenance.json",
)


def quick(text: str = QUICK) -> Config:
    return parse_config(text)


def quick_job(**given) -> Job:
    return Job((quick(),), **given)


def write_scan(folder: Path, name: str, *, seed: int, side: int = 12) -> None:
    generator = torch.Generator().manual_seed(seed)
    grid = Grid.from_spacing((side, side, side), (2.0, 1.0, 1.0))
    data = torch.randn((1, side, side, side), generator=generator) * 10
    labels = torch.zeros(1, side, side, side, dtype=torch.uint8)
    half = side // 2
    labels[0, 2:half, 2:-2, 2:-2] = 1
    labels[0, half : half + 2, 3:-3, 3:-3] = 2
    io.save(Image(data, grid, "HU"), folder / f"{name}.nii.gz")
    names = {(0, 1): "tumour", (0, 2): "node"}
    io.save(Labels(labels, grid, names), folder / f"{name}_labels.nii.gz")


def write_cohort(folder: Path, count: int = 3, **given) -> Path:
    """Write scans and their manifest; give the manifest."""
    rows = []
    for k in range(count):
        write_scan(folder, f"scan{k}", seed=k, **given)
        files = [f"scan{k}.nii.gz", f"scan{k}_labels.nii.gz"]
        rows.append([f"P{k:02d}", *files, 40 + k, "=1+1"])
    return write_manifest(folder, ["subject", "image", "labels", "age", "note"], rows)


def write_manifest(folder: Path, header: list[str], rows: list[list[object]]) -> Path:
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


class Here(Runner):
    """Measures one after another in this process, with one thread."""

    def __init__(self) -> None:
        self.measured: list[str] = []

    def run(self, orders: Iterable[CaseOrder]) -> Iterator[CaseResult]:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for order in orders:
                self.measured.append(order.case)
                yield execute(order)
        finally:
            torch.set_num_threads(threads)
