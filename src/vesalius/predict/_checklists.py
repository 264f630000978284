"""Checklists: what a paper on a prediction model must say, filled where a validation knows it."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

from vesalius.predict._card import Validation
from vesalius.predict._model import Model

State = Literal["done", "partly", "not done", "for the authors"]

_TRIPOD = {
    "1": "Title: that a model is developed or evaluated, for whom, for which outcome",
    "2": "Abstract: structured, as TRIPOD+AI for abstracts",
    "3a": "Setting of care and why the model is made, with models that exist",
    "3b": "For whom the model is meant, by whom and when it is used",
    "3c": "Known inequalities of health between groups",
    "4": "Objectives: development, evaluation or both",
    "5a": "Where the data come from, and whether they represent the patients",
    "5b": "Dates of enrolment and of follow-up",
    "6a": "Number and kind of places",
    "6b": "Who was eligible",
    "6c": "Treatments, and how they were handled",
    "7": "How data were prepared and checked, alike in all groups",
    "8a": "The outcome, its time horizon, how and when it was assessed",
    "8b": "Who judged a subjective outcome",
    "8c": "Whether the outcome was judged blind",
    "9a": "How predictors were chosen before modelling",
    "9b": "Each predictor, how and when it was measured",
    "9c": "Who judged subjective predictors",
    "10": "How the number of cases was arrived at",
    "11": "How missing values were handled",
    "12a": "Which data served development and which evaluation",
    "12b": "How predictors entered the analysis: form, scale, transformation",
    "12c": "Kind of model, how it was built and tuned, internal validation",
    "12d": "How differences between hospitals were handled",
    "12e": "Measures and plots of performance, comparison of models",
    "12f": "Updating after evaluation, such as recalibration",
    "12g": "How predictions were computed in the evaluation",
    "13": "Class imbalance: why, how, and recalibration after it",
    "14": "What was done for fairness",
    "15": "What the model gives, and where thresholds come from",
    "16": "How development and evaluation data differ",
    "17": "Ethical approval and consent",
    "18a": "Funding",
    "18b": "Interests",
    "18c": "Protocol",
    "18d": "Registration",
    "18e": "Availability of data",
    "18f": "Availability of code",
    "19": "Involvement of patients and public",
    "20a": "Flow of participants, with and without the outcome",
    "20b": "Characteristics, over all and in each place",
    "20c": "Predictors and outcome in evaluation beside development",
    "21": "Number of participants and events in each analysis",
    "22": "The full model, or how it can be had",
    "23a": "Performance with intervals, in subgroups too",
    "23b": "How performance differs between places",
    "24": "Results of updating",
    "25": "Interpretation, fairness among it",
    "26": "Limitations",
    "27a": "What is done with poor or missing input",
    "27b": "What users must do and know",
    "27c": "What comes next, and where it may hold",
}

_CLEAR = {
    "1": "Title names the radiomic method",
    "2": "Abstract with a structure",
    "3": "Keywords for radiomics",
    "4": "Scientific or clinical background",
    "5": "Why radiomics",
    "6": "Objectives",
    "7": "Guidelines adhered to",
    "8": "Ethics: approval, consent, protection of data",
    "9": "How the sample size was arrived at",
    "10": "Retrospective, prospective, or other",
    "11": "Who was eligible",
    "12": "Flow of the technical pipeline",
    "13": "Source of the data",
    "14": "Overlap with data used before",
    "15": "How data were split",
    "16": "How images were acquired",
    "17": "Predictors that are no radiomic features",
    "18": "Reference standard, or outcome",
    "19": "How regions were drawn",
    "20": "Who drew them",
    "21": "Preprocessing of images",
    "22": "Resampling",
    "23": "Discretisation",
    "24": "Kinds of image: original, filtered",
    "25": "Software and definitions of features",
    "26": "Classes of features",
    "27": "Number of features",
    "28": "That other settings are the defaults",
    "29": "Missing values",
    "30": "Class imbalance",
    "31": "Reliability of segmentation and of features",
    "32": "Scaling of features",
    "33": "Reduction of dimension and selection",
    "34": "The algorithm",
    "35": "Training and tuning",
    "36": "Confounders",
    "37": "How the final model was chosen",
    "38": "Internal or external testing",
    "39": "Measures of performance, and why these",
    "40": "Uncertainty",
    "41": "Statistical comparison of performance",
    "42": "Comparison with models without radiomics",
    "43": "Interpretability",
    "44": "Characteristics of the patients",
    "45": "Flow of eligibility",
    "46": "Statistics of the features that were selected",
    "47": "Performance in training and test",
    "48": "Results of the comparison with models without radiomics",
    "49": "Overview of findings",
    "50": "Differences from earlier work",
    "51": "What follows for practice",
    "52": "Strengths and limits",
    "53": "Images and regions shared",
    "54": "Feature tables shared",
    "55": "Code of preprocessing shared",
    "56": "Code of modelling shared",
    "57": "Model files shared",
    "58": "A system that can be used shared",
}


@final
@dataclass(frozen=True, slots=True)
class Item:
    """One item of a checklist.

    Attributes:
        number: As in the checklist.
        text: What is asked, in our words.
        state: Whether the report answers it; what it cannot know is for the authors.
        where: Where the answer stands, or what is missing.
    """

    number: str
    text: str
    state: State
    where: str = ""


Answers = Mapping[str, tuple[State, str]]


def tripod_ai(found: Validation, model: Model, *, external: bool) -> tuple[Item, ...]:
    """Fill the checklist for prediction models.

    Args:
        found: What the validation found.
        model: What was validated.
        external: Whether the cases are others than those learned from.

    Returns:
        Every item.

    References:
        Collins et al. (2024), doi:10.1136/bmj-2023-078378, table 2; items in our words.
    """
    answers = {**_shared_tripod(found, model, external), **_performance(found)}
    return _filled(_TRIPOD, answers)


def clear(found: Validation, model: Model, *, external: bool) -> tuple[Item, ...]:
    """Fill the checklist for radiomics.

    Args:
        found: What the validation found.
        model: What was validated.
        external: Whether the cases are others than those learned from.

    Returns:
        Every item.

    References:
        Kocak et al. (2023), doi:10.1186/s13244-023-01415-8, table 1; items in our words.
    """
    return _filled(_CLEAR, {**_data_clear(found, model), **_model_clear(found, model, external)})


def _filled(texts: Mapping[str, str], answers: Answers) -> tuple[Item, ...]:
    return tuple(
        Item(number, text, *answers.get(number, ("for the authors", "")))
        for number, text in texts.items()
    )


def _steps(model: Model, *words: str) -> str:
    """Name the steps of the recipe that are among some words."""
    return ", ".join(step.word for step in model.recipe.steps if step.word in words)


def _step_answer(model: Model, what: str, *words: str) -> tuple[State, str]:
    used = _steps(model, *words)
    return ("done", f"recipe: {used}") if used else ("not done", what)


def _pipeline(model: Model) -> str:
    return " -> ".join((*(step.word for step in model.recipe.steps), model.recipe.estimator.word))


def _shared_tripod(found: Validation, model: Model, external: bool) -> dict[str, tuple[State, str]]:
    about, tuning = model.description, model.recipe.tuning
    answers: dict[str, tuple[State, str]] = {
        "4": ("partly", "evaluation on other cases" if external else "development and validation"),
        "8a": ("partly", f"column {about.outcome!r}; how it was assessed is for the authors"),
        "9a": ("partly", f"{len(model.fitted.wanted)} features went in; why is for the authors"),
        "9b": _parameters(model),
        "11": _step_answer(model, "no step fills gaps", "impute"),
        "12a": ("done", found.plan or "see the methods paragraph"),
        "12b": ("done", f"recipe: {_pipeline(model)}"),
        "12c": ("done", f"{_pipeline(model)}; tuned in {tuning.folds} inner folds"),
        "12d": _step_answer(model, "no step harmonises", "combat", "quantile", "zscore"),
        "12e": ("done", "figures and charts of this report"),
        "12g": ("done", "the saved model, applied by vesalius"),
        "15": ("done", f"{found.card.kind}; threshold: {found.card.threshold_rule or 'none'}"),
        "18f": ("partly", "vesalius is open; say where your own code is"),
        "22": ("done", "the model's folder: JSON and arrays, with every setting"),
        "27a": ("partly", "features of other parameters are refused; unlike cases are flagged"),
    }
    if model.recalibration == (0.0, 1.0):
        answers["12f"] = answers["24"] = ("not done", "the model was not recalibrated")
    else:
        intercept, slope = model.recalibration
        answers["12f"] = answers["24"] = ("done", f"intercept {intercept:.3g}, slope {slope:.3g}")
    if external:
        answers["16"] = answers["20c"] = ("partly", "cases unlike the training are flagged")
    return answers


def _parameters(model: Model) -> tuple[State, str]:
    if model.parameters:
        return "done", f"measured with parameters {model.parameters}, see provenance"
    return "not done", "the table does not say with which parameters features were measured"


def _performance(found: Validation) -> dict[str, tuple[State, str]]:
    card = found.card
    answers: dict[str, tuple[State, str]] = {}
    events = f", {card.events} events" if card.kind in ("binary", "survival") else ""
    answers["21"] = ("done", f"{card.cases} cases{events}")
    columns = list(dict.fromkeys(part.column for part in card.subgroups))
    if columns:
        answers["14"] = ("done", f"figures by {', '.join(columns)}")
        answers["23a"] = ("done", "figures with intervals, and the table of parts")
        answers["23b"] = ("partly", "see the parts, where one of them is the site")
    else:
        answers["14"] = ("not done", "no subgroup was named")
        answers["23a"] = ("partly", "figures with intervals; no subgroup was named")
    certain = sum(leak.severity == "certain" for leak in found.leaks)
    if certain:
        answers["26"] = ("partly", f"{certain} certain leaks stand at the top of this report")
    return answers


def _data_clear(found: Validation, model: Model) -> dict[str, tuple[State, str]]:
    about = model.description
    answers: dict[str, tuple[State, str]] = {
        "7": ("partly", "this list, and TRIPOD+AI"),
        "12": ("done", f"recipe: {_pipeline(model)}"),
        "15": ("done", found.plan or "see the methods paragraph"),
        "18": ("partly", f"column {about.outcome!r}; how it was assessed is for the authors"),
        "27": ("done", f"{len(model.fitted.wanted)} in, {len(model.fitted.features)} used"),
        "29": _step_answer(model, "no step fills gaps", "impute"),
        "31": _step_answer(model, "no step asks for stability", "stability"),
        "32": _step_answer(model, "no step scales", "scale", "zscore", "quantile"),
        "33": _step_answer(
            model, "no step selects", "variance", "redundancy", "univariate", "mrmr", "stability"
        ),
        "46": ("partly", "stability of the selection over the trainings"),
    }
    answers["25"] = _parameters(model)
    if model.parameters:
        for number in ("21", "22", "23", "24", "28"):
            answers[number] = ("partly", "in the measurement's configuration, by its hash")
    if about.confounders or about.batch:
        named = ", ".join((*about.confounders, *((about.batch,) if about.batch else ())))
        used = _steps(model, "residualise", "combat", "quantile", "zscore")
        state: State = "done" if used else "partly"
        answers["36"] = (state, f"{named}: {used or 'named, not adjusted for'}")
    else:
        answers["36"] = ("not done", "neither confounder nor batch was named")
    return answers


def _model_clear(found: Validation, model: Model, external: bool) -> dict[str, tuple[State, str]]:
    tuning = model.recipe.tuning
    permuted = not math.isnan(found.p_value)
    return {
        "34": ("done", f"{model.recipe.estimator.word}, every setting in the model's folder"),
        "35": ("done", f"{tuning.folds} inner folds, rule {tuning.rule.replace('_', ' ')!r}"),
        "37": ("done", f"rule {tuning.rule.replace('_', ' ')!r} of the inner folds"),
        "38": ("done", "external" if external else "internal: held-out folds; no external test"),
        "39": ("partly", "figures of this report; why these is for the authors"),
        "40": ("done", "95 % intervals over patients"),
        "41": ("partly", f"against permuted outcomes: p = {found.p_value:.3g}")
        if permuted
        else ("not done", "no other model was compared, no outcome permuted"),
        "42": ("not done", "no model without radiomics was judged"),
        "48": ("not done", "no model without radiomics was judged"),
        "43": ("partly", "features used, with their stability; 'vesalius predict explain'"),
        "47": ("partly", "on held-out cases"),
        "56": ("partly", "vesalius is open; say where your own code is"),
        "57": ("partly", "the model's folder can be shared: it holds no case"),
        "58": ("partly", "'vesalius predict apply'"),
    }
