"""Federated model: what hospitals trained together, as a model that is saved and applied as any."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np

from vesalius.core._provenance import Provenance
from vesalius.errors import ConfigError
from vesalius.predict._description import Description
from vesalius.predict._federated import FederatedModel
from vesalius.predict._federated_plan import plan_to_json
from vesalius.predict._impute import Impute
from vesalius.predict._linear_models import Ridge
from vesalius.predict._model import Model, Training
from vesalius.predict._pipeline import Fitted, Recipe
from vesalius.predict._scale import Scale


def as_model(federated: FederatedModel, description: Description) -> Model:
    """Give a federated model as the model of a recipe: impute by the mean, scale, ridge.

    That recipe, fitted on all cases together, would be the same model to the tolerance of the
    training. The range of the training is not known, since no hospital tells it, so no case is
    flagged for lying outside of it.

    Args:
        federated: As ``train`` gives it.
        description: What the columns meant in every hospital.

    Returns:
        A model to be saved, applied, validated and recalibrated as any.

    Raises:
        ConfigError: The outcome has not two classes.
    """
    if description.kind != "binary" or not description.outcome:
        raise ConfigError(
            "a federated model must have a named outcome of two classes, got "
            f"{description.outcome!r} of kind {description.kind}: give the description that the "
            "hospitals used"
        )
    names, plan = federated.features, federated.plan
    impute, scale, ridge = Impute(method="mean"), Scale(), Ridge(weight=plan.weight)
    steps = (
        impute.restored(
            {"features_": names, "fill_": federated.centre, "indicators_": (), "dropped_": {}}
        ),
        scale.restored(
            {"features_": names, "centre_": federated.centre, "spread_": federated.spread}
        ),
    )
    estimator = ridge.restored(
        {
            "weights_": federated.weights[None],
            "intercepts_": np.array([federated.offset]),
            "spread_": np.where(np.isinf(federated.spread), 0.0, 1.0),
            "seen_": np.array([0, 1]),
            "classes_": 2,
            "kind_": "binary",
        }
    )
    unknown = dict.fromkeys(names, math.inf)
    return Model(
        fitted=Fitted(steps, estimator, {}, (), names, names),
        recipe=Recipe((impute, scale), ridge),
        description=description,
        classes=federated.classes,
        parameters=federated.parameters,
        training=Training(
            cases=federated.cases,
            events=federated.events,
            low={name: -value for name, value in unknown.items()},
            high=unknown,
        ),
        threshold=math.nan,
        provenance=_record(federated),
    )


def _record(federated: FederatedModel) -> Provenance:
    return Provenance(
        "predict federate",
        {
            "plan": plan_to_json(federated.plan),
            "clients": [[one.client, one.cases, one.events] for one in federated.clients],
            "rounds": federated.rounds,
            "converged": federated.converged,
            "epsilon": federated.epsilon,
        },
    )
