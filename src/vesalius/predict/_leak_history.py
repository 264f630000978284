"""Leaks of preparation: what was harmonised, standardised or selected on all cases at once."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vesalius.core._provenance import Provenance
from vesalius.errors import ConfigError
from vesalius.predict._card import Leak
from vesalius.predict._description import Description
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

_HARMONISED = frozenset(("harmonise", "combat", "nested-combat", "longitudinal-combat", "quantile"))
_SCALED = frozenset(
    ("standardise", "scale", "zscore", "normalise", "impute", "residualise", "pca", "variance")
)
_SELECTED = frozenset(("select", "univariate", "mrmr", "lasso-select", "lda", "redundancy"))
_NAMED = 20


def fitted_on_all(table: Table, description: Description, target: Target) -> list[Leak]:
    """Find what was learned from every case before the table came here.

    The history of the table is believed where it speaks. Else figures are looked at: features with
    mean 0 and deviation 1, with least 0 and greatest 1, or with median 0 and quartiles 1 apart over
    all cases; batches whose means are more equal than chance allows; features that all go with the
    outcome.

    Args:
        table: The cases.
        description: Which columns are batch, site and confounders.
        target: Their outcome.

    Returns:
        What was found.
    """
    told = list(_told(table))
    found = [_from_history(table, record) for record in told]
    words = {record.step for record in told}
    if not words & _HARMONISED:
        found += _equal_batches(table, description, target)
    if not words & _SCALED:
        found += _scaled(table)
    if not words & _SELECTED:
        found += _selected(table, target)
    return found


def _told(table: Table) -> Iterator[Provenance]:
    """Records, and those before them, of steps that learn from cases; of each step one."""
    known = _HARMONISED | _SCALED | _SELECTED
    waiting = list(table.history)
    seen: set[str] = set()
    while waiting:
        record = waiting.pop(0)
        waiting += record.parents
        if record.step in known and record.step not in seen:
            seen.add(record.step)
            yield record


def _from_history(table: Table, record: Provenance) -> Leak:
    cases = record.parameters.get("cases", len(table.cases))
    used = record.parameters.get("outcome_kept") or record.parameters.get("needs_target")
    outcome = ", with their outcome," if used or record.step in _SELECTED else ""
    what = {True: "harmonised", False: "prepared"}[record.step in _HARMONISED]
    text = (
        f"The table was {what} ({record.step}) on {cases} cases{outcome} before it was parted: "
        f"give the raw table and put {record.step!r} among the steps of the recipe."
    )
    return Leak("fitted_on_all", "certain", text)


def _scaled(table: Table) -> list[Leak]:
    """Find features that were brought to one scale over exactly these cases."""
    if len(table.cases) < 10:
        return []
    columns = [one[~np.isnan(one)] for one in table.values.T]
    columns = [one for one in columns if len(one) >= 10 and np.ptp(one) > 0]
    if len(columns) < 2:
        return []
    ways = {
        "mean 0 and deviation 1": [_standard(one) for one in columns],
        "least 0 and greatest 1": [
            len(np.unique(one)) > 2 and one.min() == 0 and one.max() == 1 for one in columns
        ],
        "median 0 and quartiles 1 apart": [_robust(one) for one in columns],
    }
    for what, hits in ways.items():
        if sum(hits) >= max(2, 0.5 * len(columns)):
            text = (
                f"{sum(hits)} of {len(columns)} features have {what} over exactly these cases: "
                "they were scaled together, so that test cases moved the scale. Scale inside of "
                "the folds (a step of the recipe), or say that the publisher did it."
            )
            return [Leak("fitted_on_all", "suspect", text)]
    return []


def _standard(column: Floats) -> bool:
    off = min(abs(float(column.std(ddof=ddof)) - 1) for ddof in (0, 1))
    return abs(float(column.mean())) < 1e-4 and off < 1e-4


def _robust(column: Floats) -> bool:
    if (column == np.rint(column)).all():  # counts and codes have such quartiles by nature
        return False
    low, middle, high = np.quantile(column, (0.25, 0.5, 0.75))
    return abs(float(middle)) < 1e-6 and abs(float(high - low) - 1) < 1e-6


def _selected(table: Table, target: Target) -> list[Leak]:
    """Find tables of which every feature goes with the outcome: the others were thrown away."""
    from scipy.stats import rankdata

    full = np.nonzero(~np.isnan(table.values).any(axis=0))[0]
    n = len(table.cases)
    if target.kind == "classes" or full.size < 10 or n < 20:
        return []
    ranks = rankdata(table.values[:, full], axis=0)
    truth = rankdata(target.events if target.kind == "survival" else target.values)
    ranks, truth = ranks - ranks.mean(axis=0), truth - truth.mean()
    size = np.sqrt(np.square(ranks).sum(axis=0) * np.square(truth).sum())
    rho = np.abs(truth @ ranks / np.where(size > 0, size, np.inf))
    # 1.96 / sqrt(n - 1) is p = .05 for a correlation of ranks
    if float(rho.min()) * np.sqrt(n - 1) <= 1.96 or _dimensions(ranks) < 4:
        return []
    text = (
        f"All {full.size} features go with the outcome (p < .05 each), as if the others had been "
        "thrown away by looking at every case: select inside of the folds."
    )
    return [Leak("fitted_on_all", "suspect", text)]


def _equal_batches(table: Table, description: Description, target: Target) -> list[Leak]:
    """Find batches that are more equal than chance allows, as after a harmonisation of all."""
    for name in dict.fromkeys((description.batch, description.site)):
        codes = _codes(table, name)
        full = np.nonzero(~np.isnan(table.values).any(axis=0))[0]
        if codes is None or full.size < 2:
            continue
        values = table.values[:, full]
        values = values[:, values.std(axis=0) > 1e-12]
        for kept in _kept(table, description, target):
            shares = _low_share(values, codes, kept)
            if severity := _verdict(shares, _dimensions(values)):
                text = (
                    f"Features do not differ at all between the values of {name!r}, less than "
                    "chance would have it: the table was harmonised on all cases. Give the raw "
                    "table and harmonise inside of the folds."
                )
                if severity == "certain":
                    return [Leak("fitted_on_all", "certain", text)]
                return [Leak("fitted_on_all", "suspect", text)]
    return []


def _verdict(shares: tuple[float, float], dimensions: float) -> str:
    """Judge shares of features with no difference at all, and with less than chance allows."""
    exact, low = shares
    if exact > 0.5:
        return "certain"
    # a tenth of independent features is in the lowest tenth; correlated ones count as fewer
    if low <= 0.6 or dimensions < 3:
        return ""
    return "certain" if dimensions * (low - 0.1) > 8 else "suspect"


def _low_share(values: Floats, codes: NDArray[np.int64], kept: Floats) -> tuple[float, float]:
    """Shares of features whose F of the batch is nil, and is in the lowest tenth of chance."""
    from scipy.stats import f as fisher

    batches = np.eye(int(codes.max()) + 1)[codes]
    full = np.c_[batches, kept]
    free = len(values) - np.linalg.matrix_rank(full)
    base = np.c_[np.ones(len(values)), kept]
    extra = int(np.linalg.matrix_rank(full) - np.linalg.matrix_rank(base))
    if free < 10 or extra < 1 or not values.shape[1]:
        return 0.0, 0.0
    without, with_batch = _residual(values, base), _residual(values, full)
    ratio = (without - with_batch) / extra / np.maximum(with_batch / free, 1e-300)
    tenth = float(fisher.ppf(0.1, extra, free))
    return float((ratio < 1e-9).mean()), float((ratio < tenth).mean())


def _residual(values: Floats, design: Floats) -> Floats:
    basis = np.linalg.qr(design)[0][:, : np.linalg.matrix_rank(design)]
    if basis.shape[1] < design.shape[1]:
        basis = np.linalg.svd(design, full_matrices=False)[0][:, : basis.shape[1]]
    centred = values - values.mean(axis=0)
    left: Floats = np.square(centred - basis @ (basis.T @ centred)).sum(axis=0)
    return left


def _kept(table: Table, description: Description, target: Target) -> Iterator[Floats]:
    """What a harmonisation may have kept: nothing, the outcome, the outcome and confounders."""
    n = len(table.cases)
    yield np.zeros((n, 0))
    truth = target.events.astype(np.float64) if target.kind == "survival" else target.values
    outcome = truth[:, None]
    if target.kind == "classes":
        outcome = np.eye(len(target.classes))[truth.astype(np.int64)][:, 1:]
    yield outcome
    covariates = [found for name in description.confounders for found in _covariate(table, name)]
    if covariates:
        yield np.column_stack(covariates)
        yield np.column_stack([outcome, *covariates])


def _covariate(table: Table, name: str) -> Iterator[Floats]:
    import pandas as pd

    if name not in table.columns:
        return
    numbers = pd.to_numeric(table.columns[name], errors="coerce")
    if numbers.notna().all():
        yield numbers.to_numpy(dtype=np.float64)
    elif (codes := _codes(table, name)) is not None:
        yield from np.eye(int(codes.max()) + 1)[codes][:, 1:].T


def _codes(table: Table, name: str) -> NDArray[np.int64] | None:
    """Number the values of a column; None where it cannot part the cases."""
    import pandas as pd

    if not name:
        return None
    try:
        column = table.column(name)
    except ConfigError:
        return None
    codes = pd.factorize(column)[0].astype(np.int64)
    kinds = int(codes.max(initial=-1)) + 1
    return codes if (codes >= 0).all() and 2 <= kinds <= len(codes) // 4 else None


def _dimensions(values: Floats) -> float:
    """In how many independent directions features spread (participation ratio)."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    z = centred[:, spread > 0] / spread[spread > 0]
    if z.shape[1] == 0:
        return 0.0
    gram = z @ z.T if z.shape[0] < z.shape[1] else z.T @ z
    return float(np.trace(gram) ** 2 / np.square(gram).sum())
