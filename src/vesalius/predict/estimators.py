"""Estimators: models of an event, of classes or of a number, given features without gaps.

Each is fitted on training cases alone, keeps plain arrays and predicts from them by itself.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._linear_models import ElasticNet, Lasso

__all__ = ["ElasticNet", "Lasso"]
