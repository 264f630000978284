"""Tables with an outcome column for the tests of validation, and what they are described as."""

from dataclasses import replace

import numpy as np
from made_tables import made

from vesalius.predict import Description


def asked(cases=60, features=8, *, seed=0, shift=1.0, **columns):
    """Give a table whose column ``grade`` is the outcome, its description and its target."""
    table, target = made(cases, features, seed=seed, shift=shift)
    frame = table.columns.assign(grade=np.where(target.values > 0.5, "yes", "no"), **columns)
    table = replace(table, columns=frame)
    return table, Description(outcome="grade", positive="yes"), target
