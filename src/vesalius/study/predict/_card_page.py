"""Card page: the report of a validation, leaks first."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from vesalius.predict import Card, Estimate, Model, Validation
from vesalius.predict._checklists import Item, clear, tripod_ai
from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, Table, Titles
from vesalius.study.predict._card_charts import card_charts

TITLES = Titles(
    findings="Before you use the model",
    charts="How well it does",
    rows="Figures on held-out cases",
)
TITLE = "A model's report card"
WORDS = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "brier_skill": "Brier skill",
    "log_loss": "Log loss",
    "ece": "Expected calibration error",
    "calibration_intercept": "Calibration intercept",
    "calibration_slope": "Calibration slope",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "Positive predictive value",
    "npv": "Negative predictive value",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "mcc": "Matthews correlation",
    "r2": "R²",
    "mae": "Mean absolute error",
    "rmse": "Root mean squared error",
    "bias": "Bias, predicted less true",
    "concordance": "Concordance (C-index)",
    "concordance_ipcw": "Concordance, weighed for loss",
}
MEANING = {
    "auc": "chance that an event scores above another case; 0.5 is chance, 1 perfect",
    "average_precision": "area under precision and recall; the share of events is chance",
    "brier": "mean squared error of the probability; 0 is perfect",
    "brier_skill": "gain over stating the share of events for everybody; 1 is perfect",
    "log_loss": "mean surprise; 0 is perfect",
    "ece": "mean gap between stated and observed in ten bins",
    "calibration_intercept": "0 is right; above 0 the event is more frequent than stated",
    "calibration_slope": "1 is right; below 1 the probabilities are too extreme",
    "sensitivity": "of those with the event, called",
    "specificity": "of those without, not called",
    "ppv": "of those called, with the event",
    "npv": "of those not called, without the event",
    "accuracy": "right decisions; depends on how frequent the event is",
    "balanced_accuracy": "mean over the classes of right decisions; guessing gives 1 in so many",
    "f1": "harmonic mean of sensitivity and positive predictive value",
    "mcc": "correlation of decision and truth; 0 is chance",
    "r2": "share of the variance that is explained; 0 is as good as the mean",
    "mae": "in the unit of the outcome",
    "rmse": "in the unit of the outcome",
    "bias": "in the unit of the outcome",
    "concordance": "of pairs that can be ordered, in the right order; 0.5 is chance",
    "auc_": "chance that one with the event by then scores above one without it then",
    "concordance_ipcw": "the same as if nobody had been lost to follow-up (Uno)",
}
HEAD = (
    *("auc", "concordance", "r2", "mae", "accuracy", "average_precision"),
    *("brier", "calibration_slope", "calibration_intercept", "sensitivity", "specificity"),
)
MOST_FEATURES = 100


@final
@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a validation beside its figures.

    Attributes:
        table: Name of the file that was judged.
        how: Nested folds of the cases learned from, or other cases.
        recalibrate: Whether recalibration on these cases is to be shown beside.
    """

    table: str
    how: str = "nested"
    recalibrate: bool = False


def card_page(found: Validation, model: Model, facts: Facts) -> Page:
    """Make the page of a validation.

    Args:
        found: What was found.
        model: What was validated.
        facts: What else is known.

    Returns:
        The page.
    """
    card = found.card
    return Page(
        Heading(TITLE, _lead(card, model, facts)),
        errors=tuple(leak.text for leak in found.leaks if leak.severity == "certain"),
        findings=tuple(
            dict.fromkeys(
                (
                    *(leak.text for leak in found.leaks if leak.severity == "suspect"),
                    *card.remarks,
                    *found.remarks,
                )
            )
        ),
        facts=_facts(found),
        charts=card_charts(found, time=model.description.time),
        columns=("Figure", "Value", "95 % interval", "What it means"),
        rows=tuple(_row(name, score) for name, score in card.scores.items()),
        rows_note=_note(card, facts),
        tables=_tables(found, model, facts),
        methods=_methods(found, model, facts),
        provenance=model.provenance.to_json(),
        titles=TITLES,
    )


def broken_page(text: str, table: str) -> Page:
    """Make the page of a validation that could not be made.

    Args:
        text: Why.
        table: Name of the file that was judged.

    Returns:
        The page.
    """
    lead = f"Nothing was fitted or judged on {table}."
    return Page(Heading(TITLE, lead), errors=(text,), titles=TITLES)


def number(value: float) -> str:
    """Write a figure for people: three decimals, or four digits where it is 100 or more."""
    if math.isnan(value):
        return "–"
    text = f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"
    return text.replace("-", "−")


def interval(score: Estimate) -> str:
    """Write an interval, or why there is none."""
    if math.isnan(score.low):
        return score.reason or "–"
    return f"{number(score.low)} to {number(score.high)}"


def figure(score: Estimate) -> str:
    """Write a figure with its interval, or why there is none."""
    if math.isnan(score.value):
        return score.reason
    if math.isnan(score.low):
        return number(score.value)
    return f"{number(score.value)} ({interval(score)})"


def _word(name: str) -> str:
    if name.startswith("auc_"):
        return f"AUC at {name[4:]}"
    return WORDS.get(name, name)


def _row(name: str, score: Estimate) -> tuple[str, ...]:
    meaning = MEANING.get("auc_" if name.startswith("auc_") else name, "")
    return (_word(name), number(score.value), interval(score), meaning)


def _lead(card: Card, model: Model, facts: Facts) -> str:
    what = {
        "binary": f"The probability of {model.description.outcome or 'the event'}",
        "classes": f"The class of {model.description.outcome or 'the outcome'}",
        "number": f"The value of {model.description.outcome or 'the outcome'}",
        "survival": f"The time to {model.description.outcome or 'the event'}",
    }[card.kind]
    whom = "cases that each training had not seen" if facts.how == "nested" else "other cases"
    return f"{what} was predicted for {whom}, and held against the truth. Table: {facts.table}."


def _facts(found: Validation) -> tuple[tuple[str, str], ...]:
    card = found.card
    said = [("Cases", str(card.cases))]
    if card.kind in ("binary", "survival"):
        share = 100 * card.events / max(card.cases, 1)
        said.append(("With the event", f"{card.events} ({share:.0f} %)"))
    said += [
        (_word(name), figure(card.scores[name]))
        for name in HEAD
        if name in card.scores and math.isfinite(card.scores[name].value)
    ]
    if math.isfinite(card.threshold):
        said.append(("Threshold", f"{card.threshold:.3g}"))
    if math.isfinite(found.p_value):
        said.append(("p against permuted outcomes", f"{found.p_value:.3g}"))
    if found.leaks:
        said.append(("Leaks", str(len(found.leaks))))
    return tuple(said)


def _note(card: Card, facts: Facts) -> str:
    text = "Intervals count patients, not pictures or repetitions"
    if facts.how == "nested":
        text += ", and are widened for the cases that trainings share"
    if card.threshold_rule:
        text += f". Decisions are at the threshold: {card.threshold_rule}"
    return text + "."


def _tables(found: Validation, model: Model, facts: Facts) -> tuple[Table, ...]:
    made = [
        *_confusion(found.card),
        *_subgroups(found.card),
        *_leaks(found),
        *_folds(found),
        *_features(found.stability),
        _checklist("TRIPOD+AI", tripod_ai(found, model, external=facts.how != "nested")),
        _checklist("CLEAR", clear(found, model, external=facts.how != "nested")),
    ]
    return tuple(made)


def _confusion(card: Card) -> list[Table]:
    if not card.confusion:
        return []
    total = sum(sum(row) for row in card.confusion)
    rows = tuple(
        (f"truth: {name}", *(f"{n} ({100 * n / max(sum(row), 1):.0f} %)" for n in row))
        for name, row in zip(card.classes, card.confusion, strict=True)
    )
    columns = ("", *(f"decision: {name}" for name in card.classes))
    return [Table(f"Confusion: {total} decisions", columns, rows)]


def _subgroups(card: Card) -> list[Table]:
    """List the figures of the parts, and how far each lies from the rest."""
    every = list(dict.fromkeys(name for one in card.subgroups for name in one.scores))
    gaps = [name for name in every if name.endswith("_gap")]
    own = [name for name in every if not name.endswith("_gap")]
    made = []
    if own:
        made.append(_parts(card, own, "Fairness: parts of the cases"))
    if gaps:
        made.append(_parts(card, gaps, "Fairness: gaps, each part less the rest"))
    return made


def _parts(card: Card, names: list[str], title: str) -> Table:
    columns = ("Part", "Cases", "Events", *(_part_word(name) for name in names), "Left out")
    rows = []
    for one in card.subgroups:
        scores = [one.scores.get(name, Estimate(math.nan)) for name in names]
        reasons = dict.fromkeys(s.reason for s in scores if math.isnan(s.value) and s.reason)
        head = (f"{one.column} = {one.value}", str(one.cases), str(one.events))
        rows.append((*head, *(_brief(score) for score in scores), _joined(list(reasons))))
    return Table(title, columns, tuple(rows))


def _part_word(name: str) -> str:
    return {"ppv": "PPV"}.get(name, _word(name.removesuffix("_gap")))


def _joined(reasons: list[str]) -> str:
    """Join reasons, what they end in alike once: 3 with the event, 9 without: fewer than 10."""
    parts = [reason.rpartition(": ") for reason in reasons]
    if len(parts) > 1 and len({tail for _, _, tail in parts}) == 1 and parts[0][0]:
        return f"{', '.join(head for head, _, _ in parts)}: {parts[0][2]}"
    return "; ".join(reasons)


def _brief(score: Estimate) -> str:
    """Write a figure with two decimals, its interval kept in one piece."""
    if math.isnan(score.value):
        return "–"
    found = f"{round(score.value, 2) + 0.0:.2f}"  # no minus before a zero
    if not math.isnan(score.low):
        found += f" ({score.low:.2f} to {score.high:.2f})".replace(" to ", "\u00a0to\u00a0")
    return found.replace("-", "−")


def _leaks(found: Validation) -> list[Table]:
    if not found.leaks:
        return []
    rows = tuple(
        (
            one.kind.replace("_", " "),
            one.severity,
            one.text,
            ", ".join(one.names[:8]) + (" …" if len(one.names) > 8 else ""),
        )
        for one in found.leaks
    )
    return [Table("Leaks", ("Kind", "Severity", "What was found", "Concerned"), rows)]


def _folds(found: Validation) -> list[Table]:
    if not found.folds:
        return []
    columns = ("Training", "Trained on", "Tested on", "Settings", "Features", "Inner", "Score")
    rows = tuple(
        (
            f"{one.repeat + 1}.{one.fold}",
            str(one.training),
            str(one.test),
            _settings(one.chosen),
            str(len(one.features)),
            number(one.inner_score),
            number(one.score),
        )
        for one in found.folds
    )
    return [Table(f"Each of the {len(rows)} trainings", columns, rows)]


def _settings(chosen: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in chosen.items()
    )


def _features(shares: Mapping[str, float]) -> list[Table]:
    if not shares:
        return []
    rows = tuple((n, f"{100 * s:.0f} %") for n, s in list(shares.items())[:MOST_FEATURES])
    rest = f", the first {MOST_FEATURES} of {len(shares)}" if len(shares) > MOST_FEATURES else ""
    return [Table(f"Features used{rest}", ("Feature", "Share of trainings"), rows)]


def _checklist(name: str, items: tuple[Item, ...]) -> Table:
    done = sum(item.state == "done" for item in items)
    rows = tuple(
        (item.number, item.text, item.state.replace(" ", "\u00a0"), item.where) for item in items
    )
    title = f"{name}: {done} of {len(items)} items answered by this report"
    return Table(title, ("Item", "What is asked", "State", "Where"), rows)


def _methods(found: Validation, model: Model, facts: Facts) -> tuple[str, ...]:
    steps = " -> ".join((*(one.word for one in model.recipe.steps), model.recipe.estimator.word))
    first = (
        f"A model ({steps}) was fitted with vesalius to {model.training.cases} cases. {found.plan} "
    )
    if facts.how != "nested":
        first += f"It was judged on {found.card.cases} cases that it had not been fitted on. "
    if facts.recalibrate:
        first += (
            "Its probabilities were also recalibrated on these cases, in folds: learned on some "
            "and judged on the rest. "
        )
    return (first.strip(), *_statistics(found.card, facts))


def _statistics(card: Card, facts: Facts) -> tuple[str, ...]:
    widened = (
        " Variances were widened for the overlap of training sets (Nadeau and Bengio, 2003, "
        "doi:10.1023/A:1024068626366)."
        if facts.how == "nested"
        else ""
    )
    if card.kind == "binary":
        return (
            "Discrimination is the area under the ROC curve within folds, with DeLong's variance "
            "(doi:10.2307/2531595) over patients on the logit scale; calibration is the intercept "
            "and slope of logistic recalibration and a restricted cubic spline; shares have "
            "Wilson's intervals; other figures have percentile intervals of 2000 stratified "
            "bootstrap draws of patients; net benefit is that of Vickers and Elkin "
            "(doi:10.1177/0272989X06295361). All intervals are 95 %." + widened,
        )
    if card.kind == "survival":
        return (
            "Discrimination is Harrell's concordance and Uno's (doi:10.1002/sim.4154) within "
            "folds, and the cumulative/dynamic AUC at given times, weighed for the loss of "
            "follow-up (doi:10.1198/016214507000000149); intervals are those of the influence of "
            "each patient, on the logit scale. Halves of lower and higher risk, parted at the "
            "median risk of their fold, are followed by Kaplan-Meier with Greenwood's intervals "
            "and compared by the log-rank test with folds as strata. All intervals are 95 %."
            + widened,
        )
    return ("Intervals are 95 %, over patients: percentile bootstrap (2000 draws) or t." + widened,)
