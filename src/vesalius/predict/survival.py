"""Survival: models of the time to an event, and figures of how well they order and state it.

``Cox`` and ``SurvivalForest`` are estimators of kind "survival": they give a risk, greater where
the event is expected earlier; :func:`survival_curve` gives probabilities. Times are in the unit of
their column everywhere.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._concordance import concordance, concordance_ipcw
from vesalius.predict._cox import Cox
from vesalius.predict._kaplan_meier import KaplanMeier, LogRank, kaplan_meier, log_rank
from vesalius.predict._survival_brier import integrated_brier, survival_brier
from vesalius.predict._survival_curve import survival_curve
from vesalius.predict._survival_forest import SurvivalForest
from vesalius.predict._time_auc import time_auc

__all__ = [
    "Cox",
    "KaplanMeier",
    "LogRank",
    "SurvivalForest",
    "concordance",
    "concordance_ipcw",
    "integrated_brier",
    "kaplan_meier",
    "log_rank",
    "survival_brier",
    "survival_curve",
    "time_auc",
]
