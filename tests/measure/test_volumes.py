"""Volumes with intervals, as a segmentation by a model states them."""

import torch

from vesalius.core import Grid, Labels
from vesalius.measure._volumes import volumes
from vesalius.segment import Quantity, Segmentation
from vesalius.segment.uncertainty import volumes as counted


def segmentation(calibration: dict[str, object]) -> Segmentation:
    data = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    data[0, :2] = 1
    labels = Labels(data, Grid.from_spacing((4, 4, 4), (2.0, 1.0, 1.0)))
    return Segmentation(labels, quantities=counted(labels, {1: "liver", 2: "spleen"}, calibration))


def test_a_calibrated_model_states_an_interval():
    found = segmentation({"coverage": 0.9, "volumes": {"1": [0.75, 1.25]}})
    liver, spleen = volumes(found)
    assert (liver.value, liver.low, liver.high, liver.coverage) == (64.0, 48.0, 80.0, 0.9)
    assert str(liver) == "liver: 64 mm3 (48 to 80, 90%)"
    assert str(spleen) == "spleen: 0 mm3"


def test_without_a_calibration_no_interval_is_claimed():
    liver, _ = volumes(segmentation({}))
    assert liver.low == liver.value == liver.high
    assert liver.coverage == 0.0
    assert str(liver) == "liver: 64 mm3"


def test_counts_are_not_volumes():
    count = Quantity(1, "cells", "count", 3.0, 3.0, 3.0, "1")
    found = segmentation({})
    assert volumes(Segmentation(found.labels, quantities=(count,))) == ()
