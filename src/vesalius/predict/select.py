"""Steps that fill, scale and choose features, in the order in which a recipe names them.

Each learns from training cases alone; :func:`fit_recipe` learns it anew in every fold.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._error_bars import reliability_of_error_bars
from vesalius.predict._impute import Impute
from vesalius.predict._keep import Drop, Keep
from vesalius.predict._lasso_select import LassoSelect
from vesalius.predict._mrmr import Mrmr
from vesalius.predict._projection import Lda, Pca
from vesalius.predict._redundancy import Redundancy, correlations
from vesalius.predict._scale import Scale
from vesalius.predict._stability import Stability, stability_from
from vesalius.predict._univariate import Univariate, p_values, q_values
from vesalius.predict._variance import Variance

__all__ = [
    "Drop",
    "Impute",
    "Keep",
    "LassoSelect",
    "Lda",
    "Mrmr",
    "Pca",
    "Redundancy",
    "Scale",
    "Stability",
    "Univariate",
    "Variance",
    "correlations",
    "p_values",
    "q_values",
    "reliability_of_error_bars",
    "stability_from",
]
