"""Apply: what a model says of cases of another table, and what makes them unlike its own."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError, ConvergenceError, UnitError
from vesalius.predict._coding import level_text
from vesalius.predict._description import Description
from vesalius.predict._fit_model import case_hashes, groups_of
from vesalius.predict._intervals import dense
from vesalius.predict._model import Model, Prediction
from vesalius.predict._outcome import target_of
from vesalius.predict._recalibrate import logistic, logits
from vesalius.predict._table import Floats, Table

if TYPE_CHECKING:
    import pandas as pd

UNLIKE = 0.1
"""Share of features outside of the training range above which a case is flagged."""


def apply_model(model: Model, table: Table, *, other_parameters: bool = False) -> Prediction:
    """Predict cases with a model.

    The outcome, where the table has it, is taken away first.

    Args:
        model: Fitted or loaded.
        table: Cases with the features of the training.
        other_parameters: Use features that were made with other parameters all the same.

    Returns:
        Predictions; ``flags`` says of a case that more than a tenth of its features lie outside of
        the 1st to 99th percentile of the training, that its values were trained on, or that its
        batch or site was not seen.

    Raises:
        ConfigError: A feature or a column that a step needs is absent, or the features were made
            with other parameters.
        UnitError: A feature has another unit.
        IntensityError: A value is missing that no step fills.
    """
    remarks = _check(model, table, other_parameters)
    known = table.select(model.fitted.wanted)
    scores = recalibrated(model, model.fitted.predict(_without_outcome(model, known)))
    flags = _flags(model, known)
    count = sum(1 for one in flags if one)
    if count:
        remarks.append(f"{count} of {len(flags)} cases are flagged: see the column flags")
    if model.description.kind == "binary" and np.isnan(model.threshold):
        remarks.append("no threshold was set, so no decision is made: validate the model first")
    return Prediction(_frame(model, table, scores, flags), scores, tuple(remarks))


def recalibrated(model: Model, scores: Floats) -> Floats:
    """Shift and stretch probabilities as the model's recalibration says.

    Args:
        model: Whose recalibration is used.
        scores: (cases, outputs) of its estimator.

    Returns:
        The same where there is none, or no probability of two classes.
    """
    if model.description.kind != "binary" or model.recalibration == (0.0, 1.0):
        return scores
    from scipy.special import expit

    intercept, slope = model.recalibration
    return np.asarray(expit(intercept + slope * logits(scores)), dtype=np.float64)


def recalibrate(
    model: Model,
    table: Table,
    description: Description,
    *,
    method: Literal["intercept", "logistic"] = "intercept",
    other_parameters: bool = False,
) -> Model:
    """Fit the probabilities of a model to another hospital; the order of cases stays.

    Only the shift, or the shift and the stretch of the log odds are learned. Judge the result on
    cases that are not in ``table``.

    Args:
        model: Of two classes.
        table: Cases of the other hospital, with their outcome.
        description: What the columns of this table mean.
        method: The shift alone, for few cases or another prevalence; or both.
        other_parameters: Use features that were made with other parameters all the same.

    Returns:
        The model with the new recalibration in place of an older one; the threshold is moved with
        the probabilities, so that decisions stay.

    Raises:
        ConfigError: The model is not of two classes, or knows other classes.
        ConvergenceError: The scores part the classes, so that no stretch fits best; or the best
            one would turn the order of cases round.

    References:
        Steyerberg et al. (2004), doi:10.1002/sim.1844 (methods 2 and 3).
    """
    if model.description.kind != "binary":
        raise ConfigError(
            "recalibration must be of a model of two classes, got one of kind "
            f"{model.description.kind!r}: fit it anew"
        )
    target = target_of(table, description)
    if target.classes != model.classes:
        raise ConfigError(
            f"the classes must be those of the model, {', '.join(model.classes)}, got "
            f"{', '.join(target.classes)}: name the same event with positive="
        )
    _check(model, table, other_parameters)
    raw = logits(model.fitted.predict(_without_outcome(model, table)))[:, 0]
    clusters = dense(np.asarray(_units(table, description)))
    one = np.ones((len(raw), 1))
    events = target.values > 0
    intercept, slope = 0.0, model.recalibration[1]
    if method == "intercept":
        fit = logistic(one, events, offset=slope * raw, clusters=clusters)
        intercept = float(fit.weights[0])
    else:
        both = np.column_stack([one, raw])
        fit = logistic(both, events, offset=np.zeros(len(raw)), clusters=clusters)
        intercept, slope = float(fit.weights[0]), float(fit.weights[1])
        if slope <= 0:
            raise ConvergenceError(
                f"probabilities must rise with the share of events to be stretched, the slope is "
                f"{slope:.3g} in {len(events)} cases: the model ranks no better than chance here; "
                "shift them alone (intercept), or fit a model anew"
            )
    changed = replace(model, recalibration=(intercept, slope))
    return replace(changed, threshold=_moved(model, changed))


def _moved(model: Model, changed: Model) -> float:
    """Give the probability that the changed model states where the old one stated its threshold."""
    if not 0 < model.threshold < 1:
        return model.threshold
    from scipy.special import expit

    (a, b), (c, d) = model.recalibration, changed.recalibration
    x = (float(logits(np.asarray([model.threshold]))[0]) - a) / b
    return float(expit(c + d * x))


def _units(table: Table, description: Description) -> list[str]:
    return list(groups_of(table, description) or table.cases)


def _check(model: Model, table: Table, other_parameters: bool) -> list[str]:
    known = set(table.features)
    if absent := [name for name in model.fitted.wanted if name not in known]:
        raise ConfigError(
            f"the table must have every feature of the model, {len(absent)} of "
            f"{len(model.fitted.wanted)} are absent: {', '.join(absent[:5])}"
            f"{', ...' if len(absent) > 5 else ''}: measure with the configuration of the model"
        )
    for name, unit in model.training.units.items():
        if table.units.get(name, unit) != unit:
            raise UnitError(
                f"features must have the units of the training, {name!r} has "
                f"{table.units[name]!r} in place of {unit!r}: convert it"
            )
    remarks: list[str] = []
    if model.parameters and table.parameters and model.parameters != table.parameters:
        if not other_parameters:
            raise ConfigError(
                f"features must be made with the parameters of the model ({model.parameters}), "
                f"these were made with {table.parameters}: measure again with its configuration, "
                "or accept them (--other-parameters) if the difference does not matter"
            )
        remarks.append(
            f"the features were made with other parameters ({table.parameters}) than those of the "
            f"model ({model.parameters}); this was asked for"
        )
    elif model.parameters != table.parameters:
        remarks.append("nothing shows that the features were made with the model's parameters")
    return remarks


def _without_outcome(model: Model, table: Table) -> Table:
    hidden = {model.description.outcome, model.description.time}
    kept = [name for name in table.columns.columns if name not in hidden]
    return replace(table, columns=table.columns[kept])


def _flags(model: Model, table: Table) -> list[str]:
    seen = set(model.training.case_hashes)
    hashes = case_hashes(table.values, model.training.salt) if seen else ("",) * len(table.cases)
    share = _share_outside(model, table)
    strange = _strange_columns(model, table)
    found = []
    for i, one in enumerate(hashes):
        parts = []
        if share[i] > UNLIKE:
            parts.append(f"{share[i]:.0%} of features outside of the training range")
        if one in seen:
            parts.append("trained on")
        found.append("; ".join(parts + strange[i]))
    return found


def _share_outside(model: Model, table: Table) -> Floats:
    low = np.asarray([model.training.low.get(name, -np.inf) for name in table.features])
    high = np.asarray([model.training.high.get(name, np.inf) for name in table.features])
    # a spread of rounding, as after a trip through text, is no way outside
    slack = 1e-9 * np.maximum(np.abs(low), np.abs(high))
    slack = np.where(np.isfinite(slack), slack, 0.0)
    outside: NDArray[np.bool_] = (table.values < low - slack) | (table.values > high + slack)
    return outside.mean(axis=1) if table.features else np.zeros(len(table.cases))


def _strange_columns(model: Model, table: Table) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in table.cases]
    for name, known in model.training.columns.items():
        if name not in table.columns:
            continue
        gaps = table.columns[name].isna().to_numpy()
        for i, value in enumerate(table.columns[name].tolist()):
            if gaps[i]:
                found[i].append(f"{name} is not known")
            elif (text := level_text(value)) not in known:
                found[i].append(f"{name} {text!r} was not seen in training")
    return found


def _frame(model: Model, table: Table, scores: Floats, flags: list[str]) -> "pd.DataFrame":
    import pandas as pd

    columns: dict[str, object] = {"case": list(table.cases)}
    kind = model.description.kind
    if kind == "binary":
        columns["probability"] = scores[:, 0]
        columns["decision"] = _decisions(model, scores[:, 0])
    elif kind == "classes":
        taken = ("case", "decision", "flags")
        names = [f"class {name}" if name in taken else name for name in model.classes]
        columns |= {name: scores[:, k] for k, name in enumerate(names)}
        columns["decision"] = [model.classes[int(k)] for k in scores.argmax(axis=1)]
    else:
        columns["value" if kind == "number" else "risk"] = scores[:, 0]
    return pd.DataFrame({**columns, "flags": flags})


def _decisions(model: Model, probability: Floats) -> list[str]:
    if np.isnan(model.threshold):
        return [""] * len(probability)
    return [model.classes[int(p >= model.threshold)] for p in probability]
