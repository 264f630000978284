"""Run of an explanation: a model and a table in, tables and a page of reasons out."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vesalius.core import Step as Progress
from vesalius.core._provenance import Provenance
from vesalius.errors import ConfigError, OutputError, VesaliusError
from vesalius.io import save
from vesalius.io.tables import write_csv
from vesalius.measure import Config, load_config
from vesalius.predict import Description, Model, Table
from vesalius.predict.explain import (
    Counterfactuals,
    PermutationImportance,
    Pieces,
    Shapley,
    Shuffling,
    counterfactuals,
    partial_dependence,
    permutation_importance,
    shapley,
    voxel_map,
)
from vesalius.predict.models import load_model, table_for
from vesalius.study._folder import make_folder, put
from vesalius.study._load import load_pair
from vesalius.study._stage_page import render_page
from vesalius.study.predict._done import Done
from vesalius.study.predict._explain_charts import SCORES, named
from vesalius.study.predict._explain_job import ExplainJob
from vesalius.study.predict._explain_page import explain_page, unexplained_page
from vesalius.study.predict._explain_told import Explained, Mapped

if TYPE_CHECKING:
    import pandas as pd

OnStep = Callable[[Progress], None]
REPORT, IMPORTANCE, CURVES, SHARES, WAYS = (
    "report.html",
    "importance.csv",
    "partial_dependence.csv",
    "shapley.csv",
    "counterfactuals.csv",
)
MAP = "voxel_map.nii.gz"
MOST_CASES = 100
"""Cases whose predictions are shared out, beside the one in question."""
_NO_OUTCOME = (
    "The table has no outcome, so that no score can be lost: the importance of features was not "
    "measured."
)


def run_explain(
    model: Path, table: Path, out: Path, job: ExplainJob, *, on_step: OnStep | None = None
) -> Done:
    """Explain a model on the cases of a table, and the prediction of one of them.

    Writes ``importance.csv``, ``partial_dependence.csv``, ``shapley.csv``, for a case of a decision
    ``counterfactuals.csv``, for its picture ``voxel_map.nii.gz``, ``provenance.json`` and
    ``report.html``.

    Args:
        model: Folder of the model.
        table: CSV, Parquet or the folder of a cohort; better of cases that the model has not seen.
        out: Folder; made where absent.
        job: What is asked.
        on_step: Told of each part of the work.

    Returns:
        What was written, and what must be known before it is believed.

    Raises:
        VesaliusError: Model, table and case do not fit each other; the report then says so.
        OutputError: The folder cannot be written.
    """
    make_folder(out)
    try:
        told = _explained(model, table, job, on_step)
    except OutputError:
        raise
    except VesaliusError as error:
        put(out / REPORT, render_page(unexplained_page(str(error), table.name)))
        raise
    _write(out, told)
    return _done(out, told)


def _explained(path: Path, table: Path, job: ExplainJob, on_step: OnStep | None) -> Explained:
    model = load_model(path)
    cases, description = table_for(model, table, outcome=False)
    if job.case and job.case not in cases.cases:
        raise ConfigError(
            f"the case must be in the table, {job.case!r} is not; it has "
            f"{', '.join(cases.cases[:5])}, ...: check the name"
        )
    _tell(on_step, "importance", 1)
    found = _importance(model, cases, description, job)
    _tell(on_step, "curves", 2)
    remarks = found.remarks if found is not None else (_NO_OUTCOME,)
    curves = partial_dependence(
        model,
        cases,
        _first(model, found, job),
        outcome_class=job.outcome_class,
        other_parameters=job.other_parameters,
    )
    _tell(on_step, "shares", 3)
    shares = _shares(model, cases, job)
    _tell(on_step, "changes", 4)
    ways = _ways(model, cases, job)
    mapped = _mapped(model, cases, job, on_step)
    if mapped is not None:
        remarks += mapped.found.remarks
    record = Provenance(
        "predict explain",
        {"case": job.case, "seed": job.seed, "repeats": job.repeats, "together": job.together},
        {"model": model.provenance.digest},
        parents=(model.provenance,),
    )
    return Explained(
        table.name,
        job,
        model,
        cases,
        found,
        curves,
        shares,
        ways,
        mapped,
        remarks,
        record.to_json(),
    )


def _importance(
    model: Model, table: Table, description: Description, job: ExplainJob
) -> PermutationImportance | None:
    if not description.outcome:
        return None
    return permutation_importance(
        model,
        table,
        description,
        generator=torch.Generator().manual_seed(job.seed),
        shuffling=Shuffling(job.repeats, job.together),
        other_parameters=job.other_parameters,
    )


def _shares(model: Model, table: Table, job: ExplainJob) -> Shapley:
    """Share out predictions of cases evenly over the table, and that of the case in question."""
    every = max(1, -(-len(table.cases) // MOST_CASES))
    chosen = dict.fromkeys((*table.cases[::every], *([job.case] if job.case else [])))
    return shapley(
        model,
        table,
        generator=torch.Generator().manual_seed(job.seed),
        cases=tuple(chosen),
        outcome_class=job.outcome_class,
        other_parameters=job.other_parameters,
    )


def _ways(model: Model, table: Table, job: ExplainJob) -> Counterfactuals | None:
    if not job.case or model.description.kind != "binary":
        return None
    return counterfactuals(
        model,
        table,
        job.case,
        generator=torch.Generator().manual_seed(job.seed),
        other_parameters=job.other_parameters,
    )


def _mapped(model: Model, table: Table, job: ExplainJob, on_step: OnStep | None) -> Mapped | None:
    if job.picture is None:
        return None
    picture = job.picture
    config = load_config(picture.config) if picture.config is not None else Config()
    pair = load_pair(picture.image, picture.labels, config=config, unit=picture.unit)
    found = voxel_map(
        pair.image,
        pair.labels,
        model,
        table.rows([table.cases.index(job.case)]),
        config=config,
        pieces=Pieces(picture.pieces, outcome_class=job.outcome_class, region=picture.region),
        on_step=on_step,
    )
    return Mapped(pair.image, found)


def _first(model: Model, found: PermutationImportance | None, job: ExplainJob) -> list[str]:
    if found is None:
        return list(model.fitted.wanted[: job.features])
    return [one.features[0] for one in found.single[: job.features]]


def _write(out: Path, told: Explained) -> None:
    for name in (IMPORTANCE, CURVES, WAYS, MAP):
        (out / name).unlink(missing_ok=True)  # of an earlier run
    if told.importance is not None:
        write_csv(out / IMPORTANCE, _importance_frame(told.importance))
    if told.curves:
        write_csv(out / CURVES, _curve_frame(told))
    write_csv(out / SHARES, _share_frame(told.shares))
    if told.ways is not None:
        write_csv(out / WAYS, _way_frame(told.ways))
    if told.mapped is not None:
        save(told.mapped.found.image, out / MAP)
    put(out / "provenance.json", json.dumps(told.record, indent=2, sort_keys=True) + "\n")
    put(out / REPORT, render_page(explain_page(told)))


def _importance_frame(found: PermutationImportance) -> "pd.DataFrame":
    import pandas as pd

    several = [one for one in found.groups if len(one.features) > 1]
    rows = [("feature", one) for one in found.single] + [("group", one) for one in several]
    return pd.DataFrame(
        {
            "what": [what for what, _ in rows],
            "features": [", ".join(one.features) for _, one in rows],
            "score": [found.score for _ in rows],
            "drop": [one.drop.value for _, one in rows],
            "low": [one.drop.low for _, one in rows],
            "high": [one.drop.high for _, one in rows],
            "reason": [one.drop.reason for _, one in rows],
        }
    )


def _curve_frame(told: Explained) -> "pd.DataFrame":
    import numpy as np
    import pandas as pd

    lengths = [len(one.at) for one in told.curves]
    return pd.DataFrame(
        {
            "feature": np.repeat([one.feature for one in told.curves], lengths),
            "value": np.concatenate([one.at for one in told.curves]),
            "prediction": np.concatenate([one.mean for one in told.curves]),
        }
    )


def _share_frame(found: Shapley) -> "pd.DataFrame":
    import pandas as pd

    about = {"case": list(found.cases), "prediction": found.predicted, "base": found.base}
    shares = {name: found.values[:, k] for k, name in enumerate(found.features)}
    return pd.DataFrame({**about, **{f"adds {name}": one for name, one in shares.items()}})


def _way_frame(found: Counterfactuals) -> "pd.DataFrame":
    import pandas as pd

    rows = [(k, way, one) for k, way in enumerate(found.ways, 1) for one in way.changes]
    return pd.DataFrame(
        {
            "case": [found.case for _ in rows],
            "way": [k for k, _, _ in rows],
            "feature": [one.feature for _, _, one in rows],
            "value": [one.value for _, _, one in rows],
            "to": [one.to for _, _, one in rows],
            "share_of_range": [one.share for _, _, one in rows],
            "before": [found.before for _ in rows],
            "after": [way.after for _, way, _ in rows],
        }
    )


def _done(out: Path, told: Explained) -> Done:
    head = [("cases", str(len(told.table.cases)))]
    if (found := told.importance) is not None:
        head.append((SCORES[found.score].replace("²", "2"), f"{found.baseline:.3f}"))
        head += [
            (f"without {named(one)}".replace("…", ".."), f"{found.baseline - one.drop.value:.3f}")
            for one in found.groups[:3]
        ]
    table = out / IMPORTANCE if told.importance is not None else None
    return Done(out, out / REPORT, table, tuple(head), told.remarks)


def _tell(on_step: OnStep | None, what: str, done: int) -> None:
    if on_step is not None:
        on_step(Progress(what, done, 5))
