"""Tables with a leak planted in each of many ways, and clean ones of many kinds."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from made_tables import outcome

from vesalius.core import Provenance
from vesalius.predict import Description, Table, Target
from vesalius.predict.validate import Split

CLEAN = 20


@dataclass(frozen=True)
class Case:
    """A table, what is asked of it, and the kind of leak that is planted."""

    table: Table
    description: Description
    target: Target
    split: Split
    kind: str = ""


def base(cases=80, features=12, *, seed=0, kind="binary", shift=1.0):
    """Give correlated features of several scales and an outcome that depends on two of them."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(cases, 6))
    values = hidden @ rng.normal(size=(6, features)) + rng.normal(size=(cases, features))
    target = outcome(shift * (hidden[:, 0] - 0.6 * hidden[:, 1]), rng, kind)
    values = rng.normal(2, 5, features) + values * rng.uniform(0.1, 20, features)
    frame = {
        "batch": [("a", "b", "c")[k] for k in rng.integers(0, 3, cases)],
        "site": [("north", "south")[k] for k in rng.integers(0, 2, cases)],
        "age": np.round(rng.uniform(30, 80, cases)),
        "outcome": target.events.astype(int) if kind == "survival" else target.values,
        "time": target.values,
    }
    names = tuple(f"texture_{j:03d}" for j in range(features))
    ids = tuple(f"HN-{k:04d}" for k in rng.permutation(cases))
    table = Table(ids, names, values, pd.DataFrame(frame))
    described = Description(
        outcome="outcome", kind=kind, time="time" if kind == "survival" else "", batch="batch"
    )
    return Case(table, described, target, Split(folds=3))


def with_values(case, values):
    """Put other values in the table; a value that is absent was not measured."""
    gaps = zip(*np.nonzero(np.isnan(values)), strict=True)
    table = case.table
    reasons = {(table.cases[i], table.features[j]): "not measured" for i, j in gaps}
    return replace(case, table=replace(table, values=values, reasons=reasons))


def with_feature(case, column, name="texture_new"):
    """Add a feature."""
    table = case.table
    values = np.c_[table.values, np.asarray(column, dtype=np.float64)]
    features = (*table.features, name)
    bare = replace(table, values=np.zeros(values.shape), features=features, reasons={})
    return with_values(replace(case, table=bare), values)


def named(case, cases):
    """Rename the cases."""
    return replace(case, table=replace(case.table, cases=tuple(cases)))


def copied(case, pairs, *, noise=0.0, altered=0.0, seed=0):
    """Copy rows over others, with noise in units of each feature's spread."""
    rng = np.random.default_rng(seed)
    values = case.table.values.copy()
    spread = np.nanstd(values, axis=0)
    for kept, gone in pairs:
        change = rng.random(values.shape[1]) < altered
        copy = values[kept] + noise * spread * rng.normal(size=values.shape[1])
        values[gone] = np.where(change, values[gone], copy)
    return with_values(case, values)


def gappy(case, share=0.1, seed=0):
    """Take values away at random."""
    values = case.table.values.copy()
    values[np.random.default_rng(seed).random(values.shape) < share] = np.nan
    return with_values(case, values)


def columned(case, **columns):
    """Add columns that are no features."""
    return replace(case, table=replace(case.table, columns=case.table.columns.assign(**columns)))


def described(case, **roles):
    """Give columns roles."""
    return replace(case, description=replace(case.description, **roles))


def scaled(case, way):
    """Scale every feature over all cases."""
    x = case.table.values
    low, middle, high = np.quantile(x, (0.25, 0.5, 0.75), axis=0)
    return with_values(
        case,
        {
            "zscore": (x - x.mean(axis=0)) / x.std(axis=0),
            "sample": (x - x.mean(axis=0)) / x.std(axis=0, ddof=1),
            "minmax": (x - x.min(axis=0)) / np.ptp(x, axis=0),
            "robust": (x - middle) / (high - low),
        }[way],
    )


def shifted(case, seed=0):
    """Give each batch a shift and a spread of its own."""
    rng = np.random.default_rng(seed)
    code = pd.factorize(case.table.columns["batch"])[0]
    spread = case.table.values.std(axis=0)
    shift = rng.normal(0, 1, (3, case.table.values.shape[1])) * spread
    return with_values(case, case.table.values * (1 + 0.2 * code[:, None]) + shift[code])


def harmonised(case, *, covariates=(), bayes=True):
    """Harmonise all cases together by ComBat."""
    from vesalius.predict.harmonise import Combat

    step = Combat(batch="batch", keep=covariates, empirical_bayes=bayes)
    table = step.fit(case.table).transform(case.table)
    return replace(case, table=replace(case.table, values=table.values))


def centred(case):
    """Take the mean of its batch away from each case."""
    frame = pd.DataFrame(case.table.values)
    batch = case.table.columns["batch"].to_numpy()
    return with_values(case, (frame - frame.groupby(batch).transform("mean")).to_numpy())


def screened(count=800, kept=15):
    """Keep the features of noise that go with the outcome, by all cases."""
    rng = np.random.default_rng(5)
    case = base(60, count)
    values = rng.normal(size=(60, count))
    truth = case.target.values > 0.5
    gap = values[truth].mean(axis=0) - values[~truth].mean(axis=0)
    best = np.argsort(-np.abs(gap))[:kept]
    table = with_values(case, values).table
    return replace(case, table=table.select([table.features[j] for j in best]))


def noted(case, record):
    """Write a record into the history of the table."""
    return replace(case, table=case.table.noted(record))


def ordered(case):
    """Sort the rows by outcome."""
    rows = np.argsort(case.target.values, kind="stable")
    return replace(case, table=case.table.rows(rows), target=case.target.rows(rows))


def truth_of(case):
    """The outcome as numbers."""
    return case.target.values


def half_known(case):
    """A feature that is the outcome where it is known, which is in a third of the cases."""
    known = np.arange(len(case.target.values)) % 3 == 0
    return with_feature(case, np.where(known, truth_of(case), np.nan))


def absent_with(case):
    """A measurement that was made of those without the event alone."""
    rng = np.random.default_rng(8)
    return with_feature(
        case, np.where(truth_of(case) > 0.5, np.nan, rng.normal(size=len(truth_of(case))))
    )


def visits(pattern):
    """Two cases of each patient, named by a pattern."""
    case = base(80)
    return named(case, [pattern(k // 2, k % 2) for k in range(80)])


def summed():
    """Two features whose difference is the outcome."""
    case = base(120, 6)
    first = np.random.default_rng(2).normal(size=120)
    return with_feature(with_feature(case, first), first - truth_of(case), "texture_other")


def drifting(days):
    """Outcomes that grow more frequent with the date."""
    case = base(120)
    order = np.argsort(truth_of(case) + np.random.default_rng(4).normal(0, 0.6, 120))
    date = np.empty(120)
    date[order] = np.arange(120)
    said = pd.Timestamp("2021-03-01") + pd.to_timedelta(date, unit="D")
    return described(columned(case, seen=said if days else 2000 + date), date="seen")


NOISE = np.random.default_rng(6).normal(size=80)
PLANTED: dict[str, tuple[str, Callable[[], Case]]] = {
    "a pair": ("duplicate", lambda: copied(base(), [(3, 50)])),
    "ten pairs": ("duplicate", lambda: copied(base(), [(k, 79 - k) for k in range(10)])),
    "a pair in many": ("duplicate", lambda: copied(base(300, 60), [(10, 299)])),
    "a pair of few features": ("duplicate", lambda: copied(base(80, 3), [(0, 1)])),
    "a pair with some altered": (
        "duplicate",
        lambda: copied(base(80, 40), [(7, 8)], altered=0.1),
    ),
    "a pair with gaps": ("duplicate", lambda: copied(gappy(base(80, 30)), [(5, 70)])),
    "a pair of numbers": ("duplicate", lambda: copied(base(kind="number"), [(3, 4)])),
    "a pair over sites": (
        "duplicate",
        lambda: replace(
            described(
                columned(copied(base(), [(3, 50)]), site=["x"] * 40 + ["y"] * 40), site="site"
            ),
            split=Split("leave_one_site_out"),
        ),
    ),
    "a noisy pair": ("near_duplicate", lambda: copied(base(), [(3, 50)], noise=0.01)),
    "noisy pairs of many features": (
        "near_duplicate",
        lambda: copied(base(150, 200), [(k, 149 - k) for k in range(5)], noise=0.02),
    ),
    "a rounded pair": (
        "near_duplicate",
        lambda: copied(base(100, 40, seed=3), [(20, 21)], noise=0.001),
    ),
    "scans a and b": ("group_split", lambda: visits(lambda p, k: f"P{p + 1}_{'ab'[k]}")),
    "scan numbers": ("group_split", lambda: visits(lambda p, k: f"pat{p:03d} scan{k + 1}")),
    "letters": ("group_split", lambda: visits(lambda p, k: f"{p + 100}{'ab'[k]}")),
    "zeros": ("group_split", lambda: visits(lambda p, k: (f"P{p + 1}", f"P{p + 1:04d}")[k])),
    "pre and post": ("group_split", lambda: visits(lambda p, k: f"S{p:02d}-{('pre', 'post')[k]}")),
    "a copy": (
        "group_split",
        lambda: named(base(), [*(f"tumour {k:03d}" for k in range(79)), "tumour 004 (2)"]),
    ),
    "left and right": (
        "group_split",
        lambda: visits(lambda p, k: f"{p:03d}_{('left', 'right')[k]}"),
    ),
    "a column of patients": (
        "group_split",
        lambda: columned(base(), patient_id=[f"p{k // 2}" for k in range(80)]),
    ),
    "a column of subjects": (
        "group_split",
        lambda: columned(base(), Subject=[k // 3 for k in range(80)]),
    ),
    "the outcome": ("outcome_in_features", lambda: with_feature(base(), truth_of(base()))),
    "the outcome turned": (
        "outcome_in_features",
        lambda: with_feature(base(), 3 - 2 * truth_of(base())),
    ),
    "the outcome with noise": (
        "outcome_in_features",
        lambda: with_feature(base(), truth_of(base()) + 0.01 * NOISE),
    ),
    "the outcome parted": (
        "outcome_in_features",
        lambda: with_feature(base(), np.abs(NOISE) * (2 * truth_of(base()) - 1)),
    ),
    "the outcome with an error": (
        "outcome_in_features",
        lambda: with_feature(base(), np.where(np.arange(80) == 5, 0, truth_of(base()))),
    ),
    "the outcome of some": ("outcome_in_features", lambda: half_known(base(120))),
    "absent with the event": ("outcome_in_features", lambda: absent_with(base())),
    "the number grown": (
        "outcome_in_features",
        lambda: with_feature(base(kind="number"), np.exp(truth_of(base(kind="number")))),
    ),
    "the number with noise": (
        "outcome_in_features",
        lambda: with_feature(base(kind="number"), truth_of(base(kind="number")) + 0.01 * NOISE),
    ),
    "the class coded": (
        "outcome_in_features",
        lambda: with_feature(
            base(kind="classes"),
            np.array([5.0, 1.0, 9.0])[truth_of(base(kind="classes")).astype(int)],
        ),
    ),
    "the time": (
        "outcome_in_features",
        lambda: with_feature(base(kind="survival"), np.log(truth_of(base(kind="survival")))),
    ),
    "whether it was seen": (
        "outcome_in_features",
        lambda: with_feature(base(kind="survival"), base(kind="survival").target.events),
    ),
    "a confounder": (
        "outcome_in_features",
        lambda: described(
            columned(base(), grade=np.where(truth_of(base()) > 0.5, "high", "low")),
            confounders=("grade",),
        ),
    ),
    "a difference of two": ("outcome_in_features", summed),
    "months of survival": ("name", lambda: with_feature(base(), NOISE, "os_months")),
    "death in one word": ("name", lambda: with_feature(base(), NOISE, "DeathEvent")),
    "a misspelt outcome": ("name", lambda: with_feature(base(), NOISE, "Outcom_2yr")),
    "targets": ("name", lambda: with_feature(base(), NOISE, "targets")),
    "ground truth": ("name", lambda: with_feature(base(), NOISE, "ground-truth")),
    "the column again": (
        "name",
        lambda: described(
            with_feature(columned(base(), idh=truth_of(base())), NOISE, "IDH.status"),
            outcome="idh",
        ),
    ),
    "z-scores": ("fitted_on_all", lambda: scaled(base(), "zscore")),
    "z-scores of a sample": ("fitted_on_all", lambda: scaled(base(), "sample")),
    "unit ranges": ("fitted_on_all", lambda: scaled(base(), "minmax")),
    "unit quartiles": ("fitted_on_all", lambda: scaled(base(), "robust")),
    "centred batches": ("fitted_on_all", lambda: centred(shifted(base(120, 40)))),
    "ComBat": ("fitted_on_all", lambda: harmonised(shifted(base(150, 60)))),
    "ComBat without Bayes": (
        "fitted_on_all",
        lambda: harmonised(shifted(base(150, 60)), bayes=False),
    ),
    "ComBat that keeps the outcome": (
        "fitted_on_all",
        lambda: harmonised(shifted(base(150, 60, shift=2.0)), covariates=("outcome",)),
    ),
    "a history of harmonising": (
        "fitted_on_all",
        lambda: noted(base(), Provenance("harmonise", {"method": "combat", "cases": 80})),
    ),
    "a history of selecting": (
        "fitted_on_all",
        lambda: noted(base(), Provenance("read", parents=(Provenance("univariate"),))),
    ),
    "features kept for all": ("fitted_on_all", screened),
    "rows in order": ("order", lambda: ordered(base())),
    "a count of rows": ("order", lambda: with_feature(base(), np.arange(80), "texture_id")),
    "a count of ordered rows": (
        "order",
        lambda: with_feature(ordered(base()), 79.0 - np.arange(80)),
    ),
    "later is worse": ("time", lambda: drifting(days=True)),
    "years": ("time", lambda: drifting(days=False)),
    "the date": (
        "time",
        lambda: described(
            columned(with_feature(base(), 3 * NOISE + 7), seen=2000 + NOISE), date="seen"
        ),
    ),
}


def planted(name):
    """Give a table with a leak."""
    kind, make = PLANTED[name]
    return replace(make(), kind=kind)


def clean(number):
    """Give one of several tables without a leak."""
    kind = ("binary", "number", "classes", "survival")[number % 4]
    cases, features = 60 + 17 * number, 4 + 9 * number
    case = base(cases, features, seed=100 + number, kind=kind, shift=0.3 * (number % 6))
    if number % 3 == 0:
        case = gappy(case, 0.05, seed=number)
    elif number % 3 == 1:
        case = shifted(case, seed=number)
    if number % 5 == 2:
        case = with_values(case, np.round(case.table.values, 1))
    if number % 5 == 3:  # counts and switches beside the textures
        case = with_feature(case, np.arange(cases)[::-1] % 2, "smoker")
    if number % 2:
        patient = [f"p{k // 2}" for k in range(cases)]
        case = described(columned(case, patient=patient), group="patient", confounders=("age",))
    if number % 7 == 4:
        seen = np.random.default_rng(number).permutation(cases)
        case = replace(
            described(columned(case, seen=seen), date="seen", group=""), split=Split("temporal", 3)
        )
        return replace(
            case,
            table=replace(
                case.table, columns=case.table.columns.drop(columns="patient", errors="ignore")
            ),
        )
    return case
