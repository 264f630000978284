"""Learned distances: slopes, what they gain on planted classes, and that noise teaches none."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hosny import hospital
from made_tables import made
from scipy.optimize import check_grad

from vesalius.errors import ConfigError, IntensityError, RegionError
from vesalius.predict import Table, Target
from vesalius.predict._embedding import _Run, bend
from vesalius.predict._metric_learning import _own_neighbours, components_loss, margin_loss
from vesalius.predict._soft_neighbours import (
    MOST,
    Watch,
    hold_out,
    learning_points,
    soft_loss,
    squared,
)
from vesalius.predict.retrieve import Embedding, Mahalanobis, build_index
from vesalius.predict.select import Scale

LEARNERS = [
    Mahalanobis("lmnn"),
    Mahalanobis("nca"),
    Embedding("triplet"),
    Embedding("contrastive"),
]
IDS = ["lmnn", "nca", "triplet", "contrastive"]


def crowded(cases=160, seed=0):
    """Two classes that part along one axis of ten, of which the others vary four times as much."""
    rng = np.random.default_rng(seed)
    truth = np.arange(cases) % 2
    values = rng.normal(size=(cases, 10))
    values[:, 1:] *= 4
    values[:, 0] += 3.0 * truth
    one, _ = made(cases, 10)
    return replace(one, values=values), Target("binary", truth.astype(float), ("no", "yes"))


def ringed(cases=200, seed=0):
    """One class inside of the other: no linear map parts them."""
    rng = np.random.default_rng(seed)
    truth = np.arange(cases) % 2
    angle = rng.uniform(0, 2 * np.pi, cases)
    radius = np.where(truth > 0, 3.0, 1.0) + 0.2 * rng.normal(size=cases)
    noise = 2.0 * rng.normal(size=(cases, 4))
    values = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), noise])
    one, _ = made(cases, 6)
    return replace(one, values=values), Target("binary", truth.astype(float), ("no", "yes"))


def share_of_own(step, pair, k=5):
    """Share of the nearest training cases of held-out ones that are of their class."""
    table, target = pair
    half = len(table.cases) // 2
    train, test = np.arange(half), np.arange(half, len(table.cases))
    ready = step.fresh().fit(table.rows(train), target.rows(train))
    index = build_index(ready.transform(table.rows(train)).values, train)
    asked = ready.transform(table.rows(test)).values
    found = index.nearest(asked, np.full(len(asked), -1), k)
    return (target.values[found.rows] == target.values[test][:, None]).mean()


class TestSlopes:
    @pytest.mark.parametrize("loss", ["nca", "lmnn"])
    def test_are_those_of_the_loss(self, loss):
        rng = np.random.default_rng(0)
        values, classes = rng.normal(size=(14, 3)), np.arange(14) % 2
        close = _own_neighbours(values, classes, 2)

        def both(flat):
            one = flat.reshape(3, 3)
            if loss == "nca":
                return components_loss(one, values, classes)
            return margin_loss(one, values, classes, close)

        start = (np.eye(3) + 0.1 * rng.normal(size=(3, 3))).ravel()
        off = check_grad(lambda f: both(f)[0], lambda f: both(f)[1].ravel(), start)
        assert off < 1e-5

    def test_the_margin_loss_is_a_slow_sum_over_triples(self):
        rng = np.random.default_rng(1)
        values, classes = rng.normal(size=(9, 2)), np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
        close = _own_neighbours(values, classes, 2)
        one = rng.normal(size=(2, 2))
        mapped, total = values @ one.T, 0.0
        for i in range(9):
            for j in close[i]:
                near = ((mapped[i] - mapped[j]) ** 2).sum()
                total += near
                for m in range(9):
                    if classes[m] != classes[i]:
                        gap = 1 + near - ((mapped[i] - mapped[m]) ** 2).sum()
                        total += max(gap, 0.0) ** 2
        found, _ = margin_loss(one, values, classes, close)
        assert found == pytest.approx(total / 2 / 18)

    def test_the_component_loss_is_a_slow_sum_over_pairs(self):
        rng = np.random.default_rng(2)
        values, classes = rng.normal(size=(8, 2)), np.arange(8) % 2
        chance = []
        for i in range(8):
            weight = [
                0 if i == j else np.exp(-((values[i] - values[j]) ** 2).sum()) for j in range(8)
            ]
            chance.append(
                sum(w for w, c in zip(weight, classes, strict=True) if c == classes[i])
                / sum(weight)
            )
        found, _ = components_loss(np.eye(2), values, classes)
        assert found == pytest.approx(-np.log(chance).mean())

    def test_target_neighbours_are_the_nearest_of_the_own_class(self):
        values = np.array([[0.0], [1.0], [3.0], [0.5], [10.0], [12.0]])
        classes = np.array([0, 0, 0, 1, 1, 1])
        assert _own_neighbours(values, classes, 2)[0].tolist() == [1, 2]
        assert _own_neighbours(values, classes, 9).shape == (6, 2)


@pytest.mark.parametrize("step", LEARNERS, ids=IDS)
class TestLearning:
    def test_finds_the_axis_that_tells(self, step):
        plain = share_of_own(step.fresh({"steps": 0}), crowded())
        assert share_of_own(step, crowded()) > plain + 0.08

    def test_noise_hardly_teaches(self, step):
        table, _ = made(100, 6)
        target = Target("binary", np.random.default_rng(5).integers(0, 2, 100) * 1.0, ("n", "y"))
        assert 0.35 < share_of_own(step, (table, target)) < 0.65

    def test_without_steps_it_is_the_distance_of_principal_components(self, step):
        table, target = crowded(40)
        out = step.fresh({"steps": 0}).fit(table, target).transform(table).values
        far = squared(out, out)
        plain = squared(table.values, table.values)
        off = ~np.eye(40, dtype=bool)
        ratio = far[off] / plain[off]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)

    def test_is_the_same_for_the_same_seed(self, step):
        table, target = crowded(60)
        quick = step.fresh({"steps": 10})
        a = quick.fresh().fit(table, target).transform(table)
        b = quick.fresh().fit(table, target).transform(table)
        np.testing.assert_array_equal(a.values, b.values)

    def test_random_numbers_of_others_are_left_alone(self, step):
        table, target = crowded(40)
        torch.manual_seed(3)
        before = torch.get_rng_state()
        step.fresh({"steps": 6}).fit(table, target)
        assert torch.equal(before, torch.get_rng_state())

    @pytest.mark.parametrize("kind", ["classes", "number", "survival"])
    def test_learns_from_every_kind_of_outcome(self, step, kind):
        table, target = made(80, 5, kind=kind, shift=2.0)
        out = step.fresh({"steps": 6}).fit(table, target).transform(table)
        assert np.isfinite(out.values).all()
        assert out.features[0] in ("metric1", "embedding1")

    def test_keeps_no_more_dimensions_than_there_are(self, step):
        table, target = made(60, 3)
        quick = step.fresh({"steps": 2})
        assert quick.fit(table, target).transform(table).values.shape == (60, 3)
        few = quick.fresh({"components": 2}).fit(table, target)
        assert few.transform(table).values.shape == (60, 2)

    def test_learns_from_an_even_part_of_many_cases(self, step):
        table, target = crowded(MOST + 200)
        quick = step.fresh({"steps": 4})
        assert quick.fit(table, target).transform(table).values.shape == (MOST + 200, 10)

    def test_refuses_no_outcome_gaps_and_small_classes(self, step):
        table, target = made(40, 5)
        with pytest.raises(ConfigError, match="outcome"):
            step.fresh().fit(table)
        values = table.values.copy()
        values[1, 1] = np.nan
        gaps = Table(
            table.cases, table.features, values, table.columns, {("case001", "f01"): "lost"}
        )
        with pytest.raises(IntensityError, match="lost"):
            step.fresh().fit(gaps, target)
        with pytest.raises(IntensityError, match="lost"):
            step.fresh({"steps": 2}).fit(table, target).transform(gaps)
        alone = np.zeros(40)
        alone[:3] = 1
        with pytest.raises(
            RegionError, match="two classes of four cases each, got classes of 37, 3"
        ):
            step.fresh().fit(table, Target("binary", alone, ("no", "yes")))
        with pytest.raises(RegionError, match="at least 8 cases"):
            step.fresh().fit(table.rows(range(6)), target.rows(np.arange(6)))

    def test_refuses_no_components(self, step):
        table, target = made(40, 5)
        with pytest.raises(ConfigError, match="at least one component"):
            step.fresh({"components": 0}).fit(table, target)


def test_a_bent_map_parts_what_no_linear_one_can():
    bent = share_of_own(Embedding(steps=200, weight=0.0), ringed())
    assert bent > share_of_own(Mahalanobis(), ringed()) - 0.02


@pytest.mark.parametrize("step", [Mahalanobis(), Mahalanobis("nca"), Embedding()])
def test_of_no_feature_nothing_is_learned(step):
    table, target = made(30, 2)
    none = table.select(())
    assert step.fit(none, target).transform(none).values.shape == (30, 0)


def test_refuses_settings_out_of_range():
    table, target = made(40, 5)
    for changed in ({"weight": -1.0}, {"steps": -1}):
        with pytest.raises(ConfigError, match="a weight and steps of at least 0"):
            Mahalanobis(**changed).fit(table, target)
    with pytest.raises(ConfigError, match="at least one hidden unit"):
        Embedding(hidden=0).fit(table, target)
    for changed in ({"margin": 0.0}, {"weight": -1.0}):
        with pytest.raises(ConfigError, match="a margin above 0"):
            Embedding(**changed).fit(table, target)


def test_places_new_cases_as_torch_does():
    values, classes = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 2
    run = _Run(Embedding(), values, classes)
    run.go(20)
    inner, shift, outer = run.weights
    x = torch.from_numpy(values)
    placed = x + torch.tanh(x @ inner + shift) @ outer
    np.testing.assert_allclose(bend(values, run.layers()), placed.detach().numpy(), atol=1e-12)


def test_steps_are_those_of_torch_adam():
    values, classes = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    run = _Run(Embedding(), values, classes)
    theirs = [one.detach().clone().requires_grad_() for one in run.weights]
    rival = torch.optim.Adam(theirs, lr=0.01, weight_decay=0.01)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        slopes = tuple(
            torch.randn(one.shape, generator=generator, dtype=torch.float64) for one in theirs
        )
        with torch.no_grad():
            run._move(slopes)
        for one, slope in zip(theirs, slopes, strict=True):
            one.grad = slope
        rival.step()
    for one, other in zip(run.weights, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_pairs_are_of_the_classes_that_the_loss_wants():
    run = _Run(Embedding(), np.zeros((6, 2)), np.array([0, 0, 0, 1, 1, 1]))
    assert run.own.diagonal().sum() == 0
    np.testing.assert_array_equal((run.own + run.other + torch.eye(6)).numpy(), np.ones((6, 6)))


class TestStopping:
    def test_held_out_cases_keep_the_share_of_each_class(self):
        classes = np.repeat([0, 1], [60, 20])
        teach, judge = hold_out(classes, seed=1)
        assert sorted([*teach, *judge]) == list(range(80))
        assert np.bincount(classes[judge]).tolist() == [15, 5]

    def test_another_seed_holds_out_others(self):
        classes = np.arange(40) % 2
        assert hold_out(classes, seed=1)[1].tolist() != hold_out(classes, seed=2)[1].tolist()

    def test_the_watch_remembers_the_best_step_and_gives_up(self):
        watch = Watch(1.0)
        assert not watch.worse(0.5)
        assert [watch.worse(0.7) for _ in range(15)] == [False] * 14 + [True]
        assert (watch.steps, watch.best) == (1, 0.5)

    def test_the_soft_loss_does_not_depend_on_the_scale(self):
        rng = np.random.default_rng(0)
        points, classes = rng.normal(size=(30, 3)), np.arange(30) % 2
        ask = rng.normal(size=(8, 3)), np.arange(8) % 2
        a = soft_loss(points, classes, *ask, 5)
        b = soft_loss(100 * points, classes, 100 * ask[0], ask[1], 5)
        assert a == pytest.approx(b)

    def test_the_soft_loss_is_small_where_classes_lie_apart(self):
        points, classes = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]]), np.arange(6) // 3
        right = soft_loss(points, classes, np.array([[0.15]]), np.array([0]), 2)
        wrong = soft_loss(points, classes, np.array([[0.15]]), np.array([1]), 2)
        assert right < 0.01
        assert wrong > 5

    def test_a_typical_neighbour_lies_at_distance_one(self):
        table, target = made(80, 6)
        points = learning_points(table, target, "x", components=6, neighbours=3)
        third = np.sort(squared(points.values, points.values), axis=1)[:, 3]
        assert third.mean() == pytest.approx(1)


@pytest.mark.parametrize("step", LEARNERS, ids=IDS)
def test_on_two_hospitals_the_map_takes_cases_of_the_other(step, data_dir):
    here, truth = hospital(data_dir, "A")
    there, _ = hospital(data_dir, "B")
    scale = Scale().fit(here)
    ready = step.fresh({"steps": 10}).fit(scale.transform(here), truth)
    out = ready.transform(scale.transform(there))
    assert out.values.shape == (len(there.cases), 20)
    assert np.isfinite(out.values).all()
