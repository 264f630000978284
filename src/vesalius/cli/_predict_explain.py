"""``vesalius predict explain``: what moves a model, and why it says what it says of one case."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import Annotated

import typer

from vesalius.cli._predict_options import ModelFolder, Quiet, Shown, TableFile, tell
from vesalius.cli._progress import Progress, watch
from vesalius.errors import ConfigError


def explain(
    model: ModelFolder,
    table: TableFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of tables and report.")],
    case: Annotated[
        str, typer.Option("--case", help="Case of the table whose prediction is explained.")
    ] = "",
    image: Annotated[
        Path | None, typer.Option("--image", help="Image of the case, for a map of its voxels.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Its regions, as they were measured.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Configuration of the measurement.")
    ] = None,
    region: Annotated[
        str, typer.Option("--region", help="Region the features are of, where there are several.")
    ] = "",
    unit: Annotated[str, typer.Option("--unit", help="Of the image, such as HU.")] = "",
    pieces: Annotated[
        int, typer.Option("--pieces", min=2, help="Pieces that the region is cut into, about.")
    ] = 40,
    outcome_class: Annotated[
        str, typer.Option("--class", help="Class whose probability is explained.")
    ] = "",
    features: Annotated[
        int, typer.Option("--features", min=1, help="Features that are looked at closely.")
    ] = 6,
    repeats: Annotated[int, typer.Option("--repeats", help="Shuffles of each feature.")] = 10,
    together: Annotated[
        float,
        typer.Option("--together", help="|Spearman| above which features are shuffled as one."),
    ] = 0.7,
    other_parameters: Annotated[
        bool,
        typer.Option("--other-parameters", help="Accept features made with other parameters."),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")] = 0,
    progress: Shown = Progress.auto,
    quiet: Quiet = False,
) -> None:
    """Explain MODEL on the cases of TABLE: what its score rests on, and in which direction.

    With --case also why it says what it says of that case, what would have to change, and, with its
    image and labels, which voxels move the prediction. Give cases that the model has not seen.
    """
    from vesalius.study.predict import ExplainJob, Picture, run_explain

    if (image is None) != (labels is None):
        raise ConfigError(
            "an image must come with its labels, got one of both: give --image and --labels"
        )
    picture = None
    if image is not None and labels is not None:
        picture = Picture(image, labels, config, unit, region, pieces)
    job = ExplainJob(
        case, picture, outcome_class, features, repeats, together, other_parameters, seed
    )
    with watch(progress, quiet=quiet) as on_step:
        done = run_explain(model, table, out, job, on_step=on_step)
    tell(done, quiet=quiet)
