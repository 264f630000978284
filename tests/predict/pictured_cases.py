"""Pictured cases: regions with a bright corner, their features, and models of these."""

import numpy as np
import pandas as pd
import torch
from explained_models import draws

from vesalius.core import Grid, Image, Labels
from vesalius.measure import Config, extract, wide
from vesalius.predict import Description, Recipe, Table
from vesalius.predict.estimators import Ridge
from vesalius.predict.models import fit_model
from vesalius.predict.select import Keep, Scale

CONFIG = Config.model_validate({"features": {"families": ["statistics"]}})
SIZE = 24


def picture(bright, *, seed=0, size=SIZE):
    """Give an image of noise with one corner of its region brighter, and the region."""
    generator = torch.Generator().manual_seed(seed)
    data = torch.rand(1, size, size, size, generator=generator) * 20
    data[0, 3:9, 3:9, 3:9] += bright
    grid = Grid.from_spacing((size, size, size), (1.0, 1.0, 1.0))
    labels = torch.zeros(1, size, size, size, dtype=torch.uint8)
    labels[0, 3:-3, 3:-3, 3:-3] = 1
    return Image(data, grid, "1"), Labels(labels, grid)


def measured(count=10):
    """Give a table of pictures whose corners differ, and how bright they are."""
    bright = [10.0 * (k % 5) for k in range(count)]
    rows = [
        wide(extract(*picture(b, seed=k), config=CONFIG).table).iloc[0]
        for k, b in enumerate(bright)
    ]
    frame = pd.DataFrame(rows).reset_index(drop=True).drop(columns=["subject", "label"])
    frame = frame.dropna(axis=1)
    columns = pd.DataFrame({"bright": bright})
    cases = tuple(f"c{k}" for k in range(count))
    return Table(cases, tuple(frame.columns), frame.to_numpy(dtype=np.float64), columns)


def model_of(table, *features):
    """Fit the brightness by the named features."""
    recipe = Recipe((Keep(features), Scale()), Ridge())
    return fit_model(table, Description("bright", "number"), recipe, generator=draws())
