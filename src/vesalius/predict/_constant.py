"""Constant: the model that knows no feature, below which no other may fall."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from vesalius.predict._description import Kind
from vesalius.predict._gaps import check_values
from vesalius.predict._learned import Estimator, learned
from vesalius.predict._table import Floats
from vesalius.predict._target import Target


@final
@dataclass(slots=True, eq=False)
class Constant(Estimator):
    """Predict the share of each class, the mean, or equal risks, whatever the features are.

    It is what a recipe becomes when its steps leave no feature.

    Attributes:
        output_: (outputs,) what is predicted for everybody.
        count_: Features that it was shown.
    """

    output_: Floats = learned()
    count_: int = learned()

    word: ClassVar[str] = "constant"
    kinds: ClassVar[tuple[Kind, ...]] = ("binary", "classes", "number", "survival")

    def fit(self, values: Floats, target: Target) -> "Constant":
        """Learn the share or the mean.

        Args:
            values: (cases, features), finite; only counted.
            target: Their outcome.

        Returns:
            Itself.
        """
        check_values(values, -1, "Constant")
        self.count_ = values.shape[1]
        if target.kind == "classes":
            counts = np.bincount(target.values.astype(np.int64), minlength=len(target.classes))
            self.output_ = counts / counts.sum()
        elif target.kind == "survival":
            self.output_ = np.zeros(1)
        else:
            self.output_ = np.asarray([target.values.mean()])
        return self

    def predict(self, values: Floats) -> Floats:
        """Predict the same for every case.

        Args:
            values: (cases, features).

        Returns:
            (cases, outputs).
        """
        self.state()
        check_values(values, self.count_, "Constant")
        return np.repeat(self.output_[None], len(values), axis=0)
