"""Explained models: small fitted models with their cases, for the tests of ``explain``."""

from dataclasses import replace

import numpy as np
import torch
from made_tables import made

from vesalius.predict import Description, Recipe
from vesalius.predict.models import fit_model
from vesalius.predict.select import Scale


def draws(seed=0):
    """Give a generator."""
    return torch.Generator().manual_seed(seed)


def table_of(cases=90, features=5, *, kind="binary", seed=0, shift=2.0):
    """Give a table with its outcome among the columns, and what the columns mean."""
    table, target = made(cases, features, kind=kind, seed=seed, shift=shift)
    more = {
        "out": np.asarray(target.classes)[target.values.astype(int)]
        if kind in ("binary", "classes")
        else target.values
    }
    if kind == "survival":
        more = {"out": target.events.astype(int), "time": target.values}
    table = replace(table, columns=table.columns.assign(**more))
    extra = {"time": "time"} if kind == "survival" else {}
    extra |= {"positive": "yes"} if kind == "binary" else {}
    return table, Description(outcome="out", kind=kind, **extra)


SCALED = (Scale(),)


def fitted(estimator, *, steps=SCALED, kind="binary", cases=90, features=5, seed=0):
    """Give a model, the cases that it learned from, others, and what the columns mean."""
    table, description = table_of(2 * cases, features, kind=kind, seed=seed)
    mine, other = table.rows(np.arange(cases)), table.rows(np.arange(cases, 2 * cases))
    model = fit_model(mine, description, Recipe(steps, estimator), generator=draws())
    return model, mine, other, description
