"""Trees: questions to one feature at a time; grown by scikit-learn, asked by ourselves."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final, no_type_check

import numpy as np

from vesalius.errors import FormatError, IntensityError
from vesalius.ops._jit import kernel
from vesalius.predict._checks import (
    Ints,
    check_cases,
    check_fitted,
    check_setting,
    check_training,
    check_word,
    codes_of,
    outputs_of,
)
from vesalius.predict._description import Kind
from vesalius.predict._learned import Estimator, learned
from vesalius.predict._table import Floats
from vesalius.predict._target import Target

ClassWeight = Literal["none", "balanced"]
Nodes = dict[str, np.ndarray]
SINGLE = float(np.finfo(np.float32).max)


@final
@dataclass(slots=True, eq=False)
class Tree(Estimator):
    """Decision tree: readable, and weaker than a forest of them.

    Attributes:
        depth: Questions on the way to a leaf at most.
        leaf: Cases in a leaf at least.
        class_weight: ``balanced`` lets each class weigh the same.
        seed: Decides between questions that are equally good.
        nodes_: The tree; see ``packed``.
        shares_: (features,) share of the impurity that each feature takes away.
        seen_: Numbers of the classes seen in training; empty for a number.
        classes_: How many classes there are; 0 for a number.
        kind_: What was learned.

    References:
        Breiman, Friedman, Olshen & Stone (1984), Classification and Regression Trees, ch. 2 and 8.
    """

    word: ClassVar[str] = "tree"
    kinds: ClassVar[tuple[Kind, ...]] = ("binary", "classes", "number")

    depth: int = 4
    leaf: int = 5
    class_weight: ClassWeight = "none"
    seed: int = 0
    nodes_: Nodes = learned()
    shares_: Floats = learned()
    seen_: Ints = learned()
    classes_: int = learned()
    kind_: str = learned()

    def fit(self, values: Floats, target: Target) -> "Tree":
        """Learn; see :meth:`Estimator.fit`."""
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        check_training(self, values, target)
        check_setting("depth", self.depth, 1)
        check_setting("leaf", self.leaf, 1)
        rule = {
            "max_depth": self.depth,
            "min_samples_leaf": self.leaf,
            "random_state": self.seed,
        }
        check_single(self, values)
        values, target = in_order(values, target)
        if target.kind == "number":
            grown = DecisionTreeRegressor(**rule).fit(values, target.values)
        else:
            weight = weight_of(self.class_weight)
            grown = DecisionTreeClassifier(class_weight=weight, **rule).fit(values, target.values)
        self.nodes_ = packed([grown.tree_])
        self.shares_ = np.asarray(grown.feature_importances_)
        remember_classes(self, target)
        return self

    def predict(self, values: Floats) -> Floats:
        """Predict; see :meth:`Estimator.predict`."""
        check_fitted(self, "nodes_")
        check_cases(self, values, len(self.shares_))
        found = asked(values, self.nodes_)
        if self.kind_ == "number":
            return found
        return outputs_of(found, self.seen_, self.classes_, self.kind_)

    def importances(self) -> Floats:
        """Give (features,) the share of the impurity that each feature takes away."""
        check_fitted(self, "shares_")
        return self.shares_

    def grid(self, values: Floats, target: Target) -> tuple[dict[str, Any], ...]:
        """Give depths from one question up."""
        return tuple({"depth": depth} for depth in (1, 2, 3, 4, 6))


def check_single(model: Estimator, values: Floats) -> None:
    """Refuse values beyond single precision, in which trees are grown.

    Args:
        model: What learns.
        values: (cases, features).

    Raises:
        IntensityError: A value is too large.
    """
    if np.abs(values).max(initial=0.0) > SINGLE:
        raise IntensityError(
            f"features of {type(model).__name__} must be within {SINGLE:.3g}, got "
            f"{np.abs(values).max():.3g}: put Scale before it"
        )


def weight_of(class_weight: str) -> str | None:
    """Give scikit-learn's word for a class weight.

    Args:
        class_weight: ``none`` or ``balanced``.

    Returns:
        Its word.

    Raises:
        ConfigError: It is another word.
    """
    check_word("class_weight", class_weight, ("none", "balanced"))
    return "balanced" if class_weight == "balanced" else None


def in_order(values: Floats, target: Target) -> tuple[Floats, Target]:
    """Put cases in an order that depends on their values alone.

    So what is drawn at random, and how ties are broken, does not depend on how a file was sorted.

    Args:
        values: (cases, features).
        target: Their outcome.

    Returns:
        Both, in the same new order.
    """
    keys = (target.values, *values.T[::-1])
    order = np.lexsort(keys)
    return np.ascontiguousarray(values[order]), target.rows(order)


def remember_classes(model: Any, target: Target) -> None:
    """Fill ``kind_``, ``classes_`` and ``seen_`` of an estimator.

    Args:
        model: With these fields.
        target: The outcome in training.
    """
    number = target.kind == "number"
    model.kind_ = target.kind
    model.classes_ = 0 if number else codes_of(target)[1]
    model.seen_ = np.zeros(0, np.int64) if number else np.unique(codes_of(target)[0])


def packed(trees: Sequence[Any], weights: Sequence[float] | None = None) -> Nodes:
    """Copy trees out of scikit-learn.

    Args:
        trees: Their ``tree_``.
        weights: What each counts; an equal share where not given.

    Returns:
        ``start`` (trees,) first node of each; ``feature`` (nodes,) asked, -1 at a leaf; ``below``
        and ``above`` (nodes,) where to go, counted from the start of the tree, at a leaf the row of
        its values; ``threshold`` (nodes,); ``leaves`` (leaves, outputs) what is added up.
    """
    share = np.full(len(trees), 1 / len(trees)) if weights is None else np.asarray(weights)
    start = np.cumsum([0] + [t.node_count for t in trees[:-1]])
    feature = np.concatenate([t.feature for t in trees])
    below = np.concatenate([t.children_left for t in trees])
    above = np.concatenate([t.children_right for t in trees])
    threshold = np.concatenate([t.threshold for t in trees])
    value = np.concatenate([t.value[:, 0] * w for t, w in zip(trees, share, strict=True)])
    return compact(start, (feature, below, above), threshold, value)


def compact(
    start: np.ndarray,
    links: tuple[np.ndarray, np.ndarray, np.ndarray],
    threshold: Floats,
    value: Floats,
) -> Nodes:
    """Keep the values of leaves alone, and whole numbers as small as they can be.

    Args:
        start: (trees,) first node of each.
        links: Feature asked, node below, node above; node below is -1 at a leaf.
        threshold: (nodes,).
        value: (nodes, outputs).

    Returns:
        As ``packed``.
    """
    feature, below, above = links
    leaf = below < 0
    row = np.where(leaf, np.cumsum(leaf) - 1, below)
    return {
        "start": start.astype(np.int64),
        "feature": _small(np.where(leaf, -1, feature)),
        "below": _small(row),
        "above": _small(np.where(leaf, 0, above)),
        "threshold": np.where(leaf, 0.0, threshold),
        "leaves": np.ascontiguousarray(value[leaf], dtype=np.float64),
    }


def _small(numbers: np.ndarray) -> np.ndarray:
    fits = numbers.size == 0 or numbers.max() < 32_767
    return numbers.astype(np.int16 if fits else np.int32)


def check_nodes(nodes: Nodes, features: int) -> None:
    """Refuse trees in which a walk would leave the arrays, or never end; kernels do not look.

    Args:
        nodes: As ``packed``, from a file.
        features: How many a case has.

    Raises:
        FormatError: A part is absent or of another kind, or a link leads out of its tree or back.
    """
    whole = ("int16", "int32", "int64")
    kinds: dict[str, tuple[str, ...]] = dict.fromkeys(("start", "feature", "below", "above"), whole)
    kinds |= dict.fromkeys(("threshold", "leaves"), ("float64",))
    right = set(nodes) == set(kinds) and all(
        nodes[name].dtype in kinds[name] and nodes[name].ndim == 1 + (name == "leaves")
        for name in kinds
    )
    if not (right and _sound(nodes, features)):
        raise FormatError(
            "saved trees must be arrays of nodes that lead down to leaves, these do not: they were "
            "not written by vesalius, or are damaged"
        )


def _sound(nodes: Nodes, features: int) -> bool:
    start, feature = nodes["start"].astype(np.int64), nodes["feature"].astype(np.int64)
    below, above = nodes["below"].astype(np.int64), nodes["above"].astype(np.int64)
    count, (leaves, outputs) = len(feature), nodes["leaves"].shape
    if {count} != {len(below), len(above), len(nodes["threshold"])} or not (
        len(start) and outputs and start[0] == 0
    ):
        return False
    size = np.diff(start, append=count)
    if size.min() < 1:
        return False
    place = np.arange(count) - np.repeat(start, size)
    end = np.repeat(size, size)
    leaf = feature < 0
    down = [(place < link) & (link < end) for link in (below, above)]
    asks = (feature < features) & down[0] & down[1]
    return bool(np.where(leaf, (below >= 0) & (below < leaves), asks).all())


def asked(values: Floats, nodes: Nodes) -> Floats:
    """Ask every tree about every case, in single precision as the trees were grown.

    Args:
        values: (cases, features).
        nodes: As ``packed``.

    Returns:
        (cases, outputs): the sum over the trees.
    """
    # what lies beyond is beyond every threshold
    single = np.ascontiguousarray(np.clip(values, -SINGLE, SINGLE), dtype=np.float32)
    found: Floats = _asked(
        single,
        (nodes["start"], nodes["feature"], nodes["below"], nodes["above"]),
        nodes["threshold"],
        nodes["leaves"],
    )
    return found


@kernel
@no_type_check
def _asked(values, links, threshold, leaves):
    start, feature, below, above = links
    out = np.zeros((len(values), leaves.shape[1]))
    for t in range(len(start)):
        root = start[t]
        for i in range(len(values)):
            at = root
            while feature[at] >= 0:
                low = np.float64(values[i, feature[at]]) <= threshold[at]
                at = root + (below[at] if low else above[at])
            for c in range(leaves.shape[1]):
                out[i, c] += leaves[below[at], c]
    return out
