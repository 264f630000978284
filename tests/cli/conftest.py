"""A small scan on disk, and a way to run the command line in this process."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from vesalius import io
from vesalius.cli import main
from vesalius.core import Grid, Image, Labels

CONFIG = """
features: {families: [morphology, statistics], spatial_autocorrelation: false}
perturb: {count: 4}
"""


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Disk:
    """Files of a small scan."""

    image: Path
    labels: Path
    config: Path
    out: Path

    @property
    def words(self) -> list[str]:
        """Arguments that measure it."""
        words = ["measure", self.image, self.labels, "-o", self.out, "--config", self.config]
        return [str(word) for word in words]


@pytest.fixture
def vesalius(capsys):
    """Run the command line; give exit code and what it wrote."""

    def run(*words: object) -> Ended:
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Ended(int(stop.value.code or 0), out, err)

    return run


def small_scan() -> tuple[Image, Labels]:
    generator = torch.Generator().manual_seed(4)
    grid = Grid.from_spacing((12, 16, 20), (2.0, 1.0, 1.0), origin_mm=(-10.0, 5.0, 30.0))
    data = torch.randn((1, 12, 16, 20), generator=generator) * 10
    labels = torch.zeros(1, 12, 16, 20, dtype=torch.uint8)
    labels[0, 3:8, 4:10, 3:9] = 3
    labels[0, 4:9, 5:12, 12:17] = 5
    data[labels == 3] += 100
    return Image(data, grid), Labels(labels, grid, {(0, 3): "left", (0, 5): "right"})


@pytest.fixture
def disk(tmp_path):
    image, labels = small_scan()
    io.save(image, tmp_path / "scan.nii.gz")
    io.save(labels, tmp_path / "regions.nii.gz")
    (tmp_path / "config.yaml").write_text(CONFIG)
    return Disk(
        tmp_path / "scan.nii.gz",
        tmp_path / "regions.nii.gz",
        tmp_path / "config.yaml",
        tmp_path / "out",
    )
