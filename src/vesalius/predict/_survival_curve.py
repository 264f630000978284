"""Survival curve: the probability that no event has come, as a fitted recipe states it."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.errors import ConfigError
from vesalius.predict._cox import Cox
from vesalius.predict._gaps import check_full
from vesalius.predict._pipeline import Fitted
from vesalius.predict._survival_forest import SurvivalForest
from vesalius.predict._table import Floats, Table


def survival_curve(fitted: Fitted, table: Table, times: Floats) -> Floats:
    """Give the probability of each case that no event has come by each time.

    After the last event in training the curve stays as it is: nothing is known of later times.

    Args:
        fitted: A fitted recipe of survival, such as ``model.fitted``.
        table: Cases with the wanted features.
        times: (times,) in the unit of the training.

    Returns:
        (cases, times).

    Raises:
        ConfigError: The estimator states no survival; a time is negative, not finite, or there is
            none.
        IntensityError: A value is missing that no step fills.
    """
    estimator = fitted.estimator
    if not isinstance(estimator, Cox | SurvivalForest):
        raise ConfigError(
            f"survival must be told by cox or survival-forest, got {estimator.word!r}: fit one of "
            "them to an outcome of kind survival"
        )
    seen = fitted.transform(table)
    check_full(seen, type(estimator).__name__)
    return estimator.survival(seen.values, times)
