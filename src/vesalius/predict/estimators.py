"""Estimators: models of an event, of classes or of a number, given features without gaps.

Each is fitted on training cases alone, keeps plain arrays and predicts from them by itself. Where
features differ in spread put ``Scale`` before ``Lasso``, ``ElasticNet``, ``Ridge``, ``Svm`` and
``Neighbours``; trees and their like, ``NaiveBayes``, ``Discriminant`` and ``Logistic`` do not mind.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._bayes import NaiveBayes
from vesalius.predict._boosting import Boosting
from vesalius.predict._constant import Constant
from vesalius.predict._discriminant import Discriminant
from vesalius.predict._forest import Forest
from vesalius.predict._linear_models import ElasticNet, Lasso, Ridge
from vesalius.predict._logistic import Logistic
from vesalius.predict._neighbours import Neighbours
from vesalius.predict._svm import Svm
from vesalius.predict._trees import Tree

__all__ = [
    "Boosting",
    "Constant",
    "Discriminant",
    "ElasticNet",
    "Forest",
    "Lasso",
    "Logistic",
    "NaiveBayes",
    "Neighbours",
    "Ridge",
    "Svm",
    "Tree",
]
