"""Small measurements and scans for the tests of the study room."""

import math

import pytest
import torch

from vesalius.core import Grid, Image, Labels
from vesalius.measure import COLUMNS, Config, parse_config
from vesalius.measure._measurement import as_table
from vesalius.study import Part

QUICK = """
features: {families: [morphology, statistics], spatial_autocorrelation: false}
perturb: {count: 4}
"""


@pytest.fixture
def quick() -> Config:
    return parse_config(QUICK)


@pytest.fixture
def scan() -> tuple[Image, Labels]:
    generator = torch.Generator().manual_seed(4)
    grid = Grid.from_spacing((12, 16, 20), (2.0, 1.0, 1.0))
    data = torch.randn((1, 12, 16, 20), generator=generator) * 10
    labels = torch.zeros(1, 12, 16, 20, dtype=torch.uint8)
    labels[0, 3:8, 4:10, 3:9] = 3
    labels[0, 4:9, 5:12, 12:17] = 5
    return Image(data, grid, "HU"), Labels(labels, grid, {(0, 3): "left", (0, 5): "right"})


@pytest.fixture
def make_row():
    def row(**cells):
        full = dict.fromkeys(COLUMNS, "")
        numbers = (
            "value",
            "perturb_sd",
            "perturb_p2_5",
            "perturb_p97_5",
            "mdc95",
            "icc",
            "icc_low",
        )
        full |= dict.fromkeys(numbers, math.nan)
        return full | {"label": "left", "filter": "original"} | cells

    return row


@pytest.fixture
def make_part(make_row):
    def part(*rows, **given):
        table = as_table([make_row(**cells) for cells in rows])
        return Part("regions", table, **({"config": Config()} | given))

    return part
