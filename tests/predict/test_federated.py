"""Federated training: hospitals that keep their cases train the model that pooled cases would."""

import json
import math

import numpy as np
import pytest
import torch
from federation import hospitals, overheard, pooled_weights
from hosny import hospital
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import made
from sklearn.metrics import roc_auc_score

from vesalius.errors import ConfigError, ConvergenceError, IntensityError, NetworkError, RegionError
from vesalius.predict import Table, Target
from vesalius.predict import _federated_sums as sums
from vesalius.predict._federated_round import Rounds
from vesalius.predict.federate import (
    Client,
    Message,
    Plan,
    Privacy,
    Rules,
    channel_to,
    federated_fit,
    plan_from_json,
    plan_to_json,
    score_over,
    train,
)


@pytest.fixture(scope="module")
def hosny(data_dir):
    """Two hospitals, their cases together, and the model of scikit-learn of these."""
    a, b = hospital(data_dir, "A"), hospital(data_dir, "B")
    values = np.concatenate([a[0].values, b[0].values])
    event = np.concatenate([a[1].values, b[1].values])
    clients = (Client("A", *a), Client("B", *b))
    return clients, event, (a[0], b[0]), values, pooled_weights(values, event, 0.1)


# exact methods


@pytest.mark.parametrize("secure", [False, True])
def test_equals_pooled_training_on_the_two_hospitals(hosny, secure):
    clients, event, tables, values, (weights, offset) = hosny
    model = federated_fit(clients, Plan(secure=secure))
    assert model.converged
    np.testing.assert_allclose(model.weights, weights, atol=1e-6)
    assert model.offset == pytest.approx(offset, abs=1e-6)
    assert (model.cases, model.events) == (len(event), int(event.sum()))
    scores = np.concatenate([model.predict(table) for table in tables])
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    pooled = 1 / (1 + np.exp(-(scaled @ weights + offset)))
    np.testing.assert_allclose(scores, pooled, atol=1e-6)
    assert roc_auc_score(event, scores) == pytest.approx(roc_auc_score(event, pooled), abs=1e-6)


@given(st.integers(1, 5), st.integers(0, 100))
@settings(max_examples=10)
def test_does_not_depend_on_how_cases_are_parted(parts, seed):
    clients, table, target = hospitals(parts, 120, 4, seed=seed)
    weights, offset = pooled_weights(table.values, target.values, 0.05)
    model = federated_fit(clients, Plan(weight=0.05))
    np.testing.assert_allclose(model.weights, weights, atol=1e-7)
    assert model.offset == pytest.approx(offset, abs=1e-7)


def test_newton_takes_few_rounds_to_the_same_model():
    clients, *_ = hospitals(3, 150, 5)
    slow, fast = (federated_fit(clients, Plan(method=m)) for m in ("gradient", "newton"))
    np.testing.assert_allclose(fast.weights, slow.weights, atol=1e-7)
    assert fast.converged
    assert fast.rounds <= 8 < slow.rounds + 8


def test_the_order_of_clients_changes_no_bit():
    clients, *_ = hospitals(3)
    up, down = (federated_fit(c, Plan()) for c in (clients, clients[::-1]))
    assert up.weights.tobytes() == down.weights.tobytes()


def test_large_offsets_and_small_units_cost_no_digits():
    clients, table, target = hospitals(2, 120, 3)
    scale, shift = np.array([1e-6, 1.0, 1e6]), np.array([0.0, 1e7, -1e9])
    moved = [
        Client(one.name, one._table.with_values(one._table.values * scale + shift), one._target)
        for one in clients
    ]
    for secure in (False, True):
        model = federated_fit(moved, Plan(secure=secure))
        np.testing.assert_allclose(model.weights, federated_fit(clients, Plan()).weights, atol=1e-6)
    assert table.values.shape[0] == len(target.values)


# averages


def test_fedavg_of_single_steps_ends_at_the_pooled_model():
    clients, table, target = hospitals(3, 150, 4)
    weights, offset = pooled_weights(table.values, target.values, 0.1)
    model = federated_fit(clients, Plan(method="fedavg", rounds=3000, tol=1e-9))
    assert model.converged
    np.testing.assert_allclose(model.weights, weights, atol=1e-6)
    assert model.offset == pytest.approx(offset, abs=1e-6)


def test_fedavg_of_many_steps_needs_shorter_ones_to_end_there():
    """Drift of clients: with constant steps the end lies beside the optimum."""
    table, target = made(150, 4)
    order = np.argsort(table.values[:, 0])  # hospitals that differ as much as they can
    clients = [
        Client(f"h{k}", table.rows(at), target.rows(at))
        for k, at in enumerate(np.array_split(order, 3))
    ]
    weights, _ = pooled_weights(table.values, target.values, 0.1)
    plans = (Plan(method="fedavg", rounds=300, local_steps=20, decay=d) for d in (0.0, 0.3))
    constant, falling = (np.abs(federated_fit(clients, p).weights - weights).max() for p in plans)
    assert falling < constant / 5
    assert falling < 0.02 < constant


def test_fedprox_lies_nearer_to_the_pooled_model_than_fedavg_after_drift():
    table, target = made(150, 4)
    order = np.argsort(table.values[:, 0])
    clients = [
        Client(f"h{k}", table.rows(at), target.rows(at))
        for k, at in enumerate(np.array_split(order, 3))
    ]
    weights, _ = pooled_weights(table.values, target.values, 0.1)
    plain = Plan(method="fedavg", rounds=300, local_steps=50)
    pulled = Plan(method="fedprox", rounds=300, local_steps=50, proximal=1.0)
    far, near = (np.abs(federated_fit(clients, p).weights - weights).max() for p in (plain, pulled))
    assert near < far


def test_averages_of_the_two_hospitals_score_as_the_pooled_model(hosny):
    clients, event, tables, *_ = hosny
    features = tables[0].features[:60]
    pooled = federated_fit(clients, Plan(features=features))
    best = roc_auc_score(event, np.concatenate([pooled.predict(t) for t in tables]))
    for plan in (
        Plan(method="fedavg", features=features, rounds=200, local_steps=10),
        Plan(method="fedprox", features=features, rounds=200, local_steps=10, proximal=1.0),
    ):
        model = federated_fit(clients, plan)
        found = roc_auc_score(event, np.concatenate([model.predict(t) for t in tables]))
        assert found == pytest.approx(best, abs=0.005)
        assert np.abs(model.weights - pooled.weights).max() < 0.02


def test_local_descent_is_the_gradient_of_its_objective():
    """Against automatic differentiation of the objective that the docstring states."""
    table, target = made(40, 3)
    x = np.column_stack((table.values, np.ones(40)))
    start = np.array([0.3, -0.2, 0.1, 0.4])
    local = sums.Local(steps=2, rate=0.5, weight=0.2, proximal=0.7)
    w = torch.tensor(start)
    for _ in range(2):
        w = w.detach().requires_grad_()
        z = torch.tensor(x) @ w
        loss = torch.nn.functional.binary_cross_entropy_with_logits(z, torch.tensor(target.values))
        pull = (w - torch.tensor(start)).square().sum()
        (loss + 0.1 * w[:3].square().sum() + 0.35 * pull).backward()
        w = w.detach() - 0.5 * w.grad
    np.testing.assert_allclose(sums.descended(x, target.values, start, local), w, rtol=1e-12)


def test_averages_refuse_to_run_away():
    clients, *_ = hospitals(2, 80, 4)
    with pytest.raises((ConvergenceError, NetworkError), match=r"must stay finite|must be finite"):
        federated_fit(clients, Plan(method="fedavg", rate=1e6, local_steps=200, weight=10.0))


# what is said of the result


def test_says_that_hospitals_differ(hosny):
    model = federated_fit(hosny[0], Plan(method="fedavg", rounds=2))
    text = " ".join(model.remarks)
    assert "54% of the cases of A and in 29% of those of B" in text
    assert "ended after 2 rounds" in text
    assert not model.converged


def test_masked_counts_are_told_of_all_together_only():
    clients, *_ = hospitals(2)
    model = federated_fit(clients, Plan(secure=True))
    assert {(one.cases, one.events) for one in model.clients} == {(0, 0)}
    assert model.cases == 80
    assert any("of two, each can take its own part" in one for one in model.remarks)


def test_a_feature_without_spread_gets_no_weight():
    clients, table, target = hospitals(2, 80, 3)
    values = table.values.copy()
    values[:, 1] = 0.1 + 0.2
    same = [
        Client(one.name, table.with_values(values).rows(at), target.rows(at))
        for one, at in zip(clients, np.array_split(np.arange(80), 2), strict=True)
    ]
    model = federated_fit(same, Plan())
    assert model.weights[1] == 0.0
    assert any("1 features are the same in every case" in one for one in model.remarks)


def test_gaps_count_as_the_common_mean():
    table, target = made(100, 3)
    values = table.values.copy()
    values[::7, 1] = np.nan
    filled = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
    reasons = {(table.cases[i], "f01"): "not given" for i in range(0, 100, 7)}
    gappy = Table(table.cases, table.features, values, table.columns, reasons)
    parts = np.array_split(np.arange(100), 2)
    model = federated_fit(
        [Client(f"h{k}", gappy.rows(at), target.rows(at)) for k, at in enumerate(parts)], Plan()
    )
    np.testing.assert_allclose(model.centre, np.nanmean(values, axis=0), rtol=1e-12)
    np.testing.assert_allclose(model.spread, np.nanstd(values, axis=0), rtol=1e-12)
    x = np.column_stack(((filled - model.centre) / model.spread, np.ones(100)))
    slope = sums.gradient(x, target.values, np.append(model.weights, model.offset))["gradient"]
    np.testing.assert_allclose(slope[:-1] / 100 + 0.1 * model.weights, 0, atol=1e-7)
    np.testing.assert_allclose(
        model.predict(gappy),
        1 / (1 + np.exp(-x @ np.append(model.weights, model.offset))),
        rtol=1e-12,
    )


def test_scores_each_hospital_as_scikit_learn_does():
    from sklearn.metrics import brier_score_loss, log_loss

    clients, table, target = hospitals(2)
    model = federated_fit(clients, Plan())
    for found, at in zip(
        score_over(channel_to(clients), model), np.array_split(np.arange(80), 2), strict=True
    ):
        event, scores = target.values[at], model.predict(table.rows(at))
        assert found.auc == pytest.approx(roc_auc_score(event, scores), abs=1e-12)
        assert found.brier == pytest.approx(brier_score_loss(event, scores), abs=1e-12)
        assert found.log_loss == pytest.approx(log_loss(event, scores), abs=1e-12)


def test_a_budget_keeps_scores_at_home():
    clients, *_ = hospitals(2, 80, 3)
    model = federated_fit(clients, Plan())
    wary, *_ = hospitals(2, 80, 3, rules=Rules(epsilon=5.0))
    with pytest.raises(NetworkError, match="answers with noise only"):
        score_over(channel_to(wary), model)


# what leaves a hospital


PLANS = [
    Plan(),
    Plan(method="newton"),
    Plan(method="fedavg", rounds=3),
    Plan(method="fedprox", rounds=3, proximal=1.0),
    Plan(secure=True),
    Plan(scaling="given", rounds=3, privacy=Privacy("record", 1.0, 1.0)),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda p: f"{p.method}-{p.secure}-{p.privacy.level}")
def test_no_answer_has_an_entry_for_each_case(plan):
    clients, table, _ = hospitals(2, 94, 6)  # 47 cases each: no other length is 47
    ask, heard = overheard(clients)
    train(ask, plan)
    lengths = set()
    for _, message in heard:
        for array in message.arrays.values():
            lengths |= set(array.shape)
        text = json.dumps(message.words)
        assert not any(case in text for case in table.cases)
    assert heard
    assert lengths <= {2, 6, 7}


def test_no_answer_grows_with_the_number_of_cases():
    sizes = []
    for cases in (80, 160):
        clients, *_ = hospitals(2, cases, 6)
        ask, heard = overheard(clients)
        train(ask, Plan(method="fedavg", rounds=2))
        sizes.append([{k: v.shape for k, v in m.arrays.items()} for _, m in heard])
    assert sizes[0] == sizes[1]


def test_the_second_lock_holds_back_an_entry_for_each_case():
    client = hospitals(2, 94, 6)[0][0]
    with pytest.raises(RegionError, match="an answer must not have an entry for each case"):
        client._check_leaving({"x": np.zeros((47, 2))})


def test_masked_answers_are_nothing_like_those_in_the_clear():
    clients, *_ = hospitals(2)
    ask, heard = overheard(clients)
    train(ask, Plan(secure=True))
    kinds = {
        (message.ask, array.dtype.str) for _, message in heard for array in message.arrays.values()
    }
    assert kinds == {(a, "<u8") for a in ("counts", "moments", "squares", "gradient")}
    first = next(m for _, m in heard if m.ask == "counts").arrays["counts"]
    assert (first > 2**32).all()  # 1 in 10^9 for masks, never for counts of 40


def test_a_client_shows_nothing_of_its_table():
    assert repr(hospitals()[0][0]) == "Client('h0')"


# refusals


def test_refuses_few_cases_of_a_class():
    table, target = made(40, 3)
    event = np.zeros(40)
    event[:4] = 1
    few = Target("binary", event, target.classes)
    clients = [Client("a", table, target), Client("b", table, few)]
    with pytest.raises(NetworkError, match="5 cases of each class, 'b' has fewer"):
        federated_fit(clients, Plan())


def test_does_not_tell_how_few_they_are():
    table, target = made(40, 3)
    event = np.zeros(40)
    event[:3] = 1
    client = Client("b", table, Target("binary", event, target.classes))
    answer = client.answer(Message("counts", {}, {"features": list(table.features)}))
    assert answer.ask == "refused"
    assert "3" not in answer.words["text"]


def test_refuses_a_feature_that_few_have():
    table, target = made(60, 3)
    values = table.values.copy()
    values[3:, 2] = np.nan
    reasons = {(case, "f02"): "not given" for case in table.cases[3:]}
    gappy = Table(table.cases, table.features, values, table.columns, reasons)
    with pytest.raises(NetworkError, match="'f02' is known for fewer in 'a'"):
        federated_fit([Client("a", gappy, target), Client("b", table, target)], Plan())


def test_refuses_a_feature_that_nobody_has():
    table, target = made(60, 3)
    values = table.values.copy()
    values[:, 2] = np.nan
    reasons = {(case, "f02"): "not given" for case in table.cases}
    gappy = Table(table.cases, table.features, values, table.columns, reasons)
    with pytest.raises(RegionError, match="must be known to a client, 'f02' is to none"):
        federated_fit([Client("a", gappy, target), Client("b", gappy, target)], Plan())


def test_refuses_a_matrix_of_few_cases():
    clients, *_ = hospitals(2, 30, 10)
    with pytest.raises(NetworkError, match="must come of twice as many cases"):
        federated_fit(clients, Plan(method="newton"))


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("features", {"features": ("f00", "f01", "x")}),
        ("parameters", {"parameters": "abc"}),
    ],
)
def test_refuses_tables_that_were_made_differently(what, change):
    from dataclasses import replace

    table, target = made(60, 3)
    clients = [Client("a", table, target), Client("b", replace(table, **change), target)]
    with pytest.raises(ConfigError, match=f"clients must have the same {what}, 'a' and 'b'"):
        federated_fit(clients, Plan())


def test_refuses_other_classes():
    table, target = made(60, 3)
    other = Target("binary", target.values, ("alive", "dead"))
    with pytest.raises(ConfigError, match="clients must have the same classes"):
        federated_fit([Client("a", table, target), Client("b", table, other)], Plan())


def test_refuses_two_of_one_name():
    table, target = made(60, 3)
    with pytest.raises(ConfigError, match="clients must have names that differ"):
        federated_fit([Client("a", table, target), Client("a", table, target)], Plan())


def test_refuses_no_client():
    with pytest.raises(ConfigError, match="a training must have clients, got none"):
        federated_fit([], Plan())


def test_refuses_an_outcome_of_another_kind():
    table, target = made(60, 3, kind="number")
    with pytest.raises(ConfigError, match="a name and a binary outcome of each"):
        Client("a", table, target)


def test_refuses_a_question_that_it_does_not_know():
    client = hospitals()[0][0]
    answer = client.answer(Message("cases", {}, {}))
    assert answer.ask == "refused"
    assert "a client must be asked for one of counts" in answer.words["text"]


@pytest.mark.parametrize("words", [{}, {"features": "f00"}, {"features": ["f00"], "privacy": 3}])
def test_a_malformed_question_is_refused_and_not_a_crash(words):
    client = hospitals()[0][0]
    assert client.answer(Message("gradient", {}, words)).ask == "refused"


def test_refuses_sums_that_overflow():
    table, target = made(60, 3)
    client = Client("a", table.with_values(table.values * 1e140), target)
    centre, unit = np.zeros(3), np.full(3, 1e-200)
    words = {"features": list(table.features)}
    with np.errstate(over="ignore"):
        answer = client.answer(Message("squares", {"centre": centre, "unit": unit}, words))
    assert "sums of 'a' must be finite, 'squares' is not" in answer.words["text"]
    with pytest.raises(IntensityError, match="must be finite"):
        client._check_leaving({"x": np.array(np.inf)})


def test_refuses_answers_that_differ_in_shape():
    def ask(message):
        words = {"features": ["f"], "parameters": "", "classes": ["0", "1"], "key": "2"}
        words |= message.words
        shapes = {"a": 2, "b": 3}
        return tuple(
            Message(message.ask, {"counts": np.zeros(shapes[n])}, words | {"client": n})
            for n in "ab"
        )

    rounds = Rounds(ask, (), secure=False, privacy=Privacy())
    with pytest.raises(NetworkError, match=r"clients must answer 'counts' with .* 'b' sent"):
        rounds.sums("counts")


@pytest.mark.parametrize("secure", [False, True])
def test_refuses_to_go_on_without_a_client(secure):
    clients, *_ = hospitals(3)
    whole = channel_to(clients)
    with pytest.raises(NetworkError, match="h0, h1, h2 began and h0, h1 answered 'squares'"):
        train(
            lambda m: whole(m)[:2] if m.ask == "squares" else whole(m),
            Plan(secure=secure),
        )


def test_masks_of_one_training_do_not_stand_in_the_way_of_the_next():
    clients, *_ = hospitals(2)
    first, second = (federated_fit(clients, Plan(secure=True)) for _ in range(2))
    assert first.weights.tobytes() == second.weights.tobytes()


def test_refuses_an_answer_to_another_question():
    with pytest.raises(NetworkError, match="every client must answer 'hello'"):
        train(lambda message: (Message("bye"),), Plan())


def test_a_client_that_wants_masks_tells_nothing_in_the_clear():
    clients, *_ = hospitals(2, rules=Rules(masked=True))
    with pytest.raises(NetworkError, match="must leave masked: train with secure=True"):
        federated_fit(clients, Plan())
    assert federated_fit(hospitals(2, rules=Rules(masked=True))[0], Plan(secure=True)).converged


# privacy


def private(noise=2.0, rounds=20, level="record", **more):
    """Give a plan with noise."""
    method = "gradient" if level == "record" else "fedavg"
    return Plan(
        method=method, scaling="given", rounds=rounds, privacy=Privacy(level, 1.0, noise), **more
    )


def test_reports_what_a_training_cost():
    clients, *_ = hospitals(2, 80, 3, rules=Rules(epsilon=50.0))
    model = federated_fit(clients, private())
    exact = 20 / (2 * 2.0**2) + math.sqrt(2 * 20 * math.log(1e5)) / 2.0
    assert model.epsilon == pytest.approx(exact, rel=0.01)
    assert [one.epsilon for one in clients] == [model.epsilon] * 2
    assert math.isnan(model.loss)


def test_a_spent_budget_ends_the_training_whatever_the_server_asks():
    clients, *_ = hospitals(2, 80, 3, rules=Rules(epsilon=8.0))
    with pytest.raises(NetworkError, match="the budget of privacy of 'h0' must not be passed"):
        federated_fit(clients, private(rounds=200))
    assert 7.0 < clients[0].epsilon <= 8.0


def test_a_budget_lets_nothing_out_without_noise():
    clients, *_ = hospitals(2, 80, 3, rules=Rules(epsilon=8.0))
    with pytest.raises(NetworkError, match="answers with noise only"):
        federated_fit(clients, Plan())
    with pytest.raises(NetworkError, match="answers with noise only"):
        federated_fit(clients, Plan(scaling="given"))
    assert clients[0].epsilon == 0.0


def test_little_noise_gives_nearly_the_model_without():
    table, target = made(2000, 3)
    parts = np.array_split(np.arange(2000), 2)
    generator = torch.Generator().manual_seed(5)
    clients = [
        Client(f"h{k}", table.rows(at), target.rows(at), generator=generator)
        for k, at in enumerate(parts)
    ]
    exact = federated_fit(clients, Plan(scaling="given"))
    noisy = federated_fit(
        clients,
        Plan(scaling="given", rounds=200, privacy=Privacy("record", 5.0, 0.2)),
    )
    assert np.abs(noisy.weights - exact.weights).max() < 0.05


def test_one_case_changes_a_clipped_sum_by_the_clip_at_most():
    table, target = made(50, 4)
    x = np.column_stack((table.values * 100, np.ones(50)))
    weights = np.array([0.1, -0.2, 0.0, 0.3, 0.1])
    whole = sums.clipped_gradient(x, target.values, weights, 0.5)
    for k in range(50):
        less = sums.clipped_gradient(np.delete(x, k, 0), np.delete(target.values, k), weights, 0.5)
        assert np.linalg.norm(whole - less) <= 0.5 + 1e-12


def test_a_wide_clip_is_the_gradient_itself():
    table, target = made(50, 4)
    weights = np.array([0.1, -0.2, 0.0, 0.3])
    np.testing.assert_allclose(
        sums.clipped_gradient(table.values, target.values, weights, 1e6),
        sums.gradient(table.values, target.values, weights)["gradient"],
        rtol=1e-12,
    )


def test_sampling_takes_about_its_share(generator):
    assert sums.chosen(10_000, 0.3, generator).mean() == pytest.approx(0.3, abs=0.02)
    assert sums.chosen(5, 1.0, generator).all()


def test_a_private_client_sends_an_update_of_bounded_length_and_noise():
    clients, *_ = hospitals(2, 80, 3)
    ask, heard = overheard(clients)
    model = train(ask, private(0.001, 3, "client", rate=5.0, local_steps=50))
    changes = [m.arrays["change"] for _, m in heard if m.ask == "train"]
    assert len(changes) == 6
    assert max(np.linalg.norm(one) for one in changes) < 1.01
    assert not any("curvature" in m.ask for _, m in heard)
    assert model.epsilon > 1000


# plans


@pytest.mark.parametrize(
    "plan",
    [Plan(), Plan(method="fedprox", proximal=0.5, features=("a", "b"), secure=True), private()],
    ids=["plain", "fedprox", "private"],
)
def test_a_plan_comes_back_from_json(plan):
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan


def test_a_plan_of_nothing_is_the_default():
    assert plan_from_json({}) == Plan()


@pytest.mark.parametrize("settings", [{"method": "gradient", "speed": 3}, {"privacy": {"k": 1}}])
def test_refuses_an_unknown_setting(settings):
    with pytest.raises(ConfigError, match="must hold known keys"):
        plan_from_json(settings)


@pytest.mark.parametrize("name", ["weight", "tol", "rounds", "local_steps"])
def test_refuses_a_plan_out_of_range(name):
    with pytest.raises(ConfigError, match="a plan must have weight > 0"):
        Plan(**{name: 0})


@pytest.mark.parametrize("change", [{"proximal": 1.0}, {"method": "fedprox"}, {"decay": -1.0}])
def test_refuses_a_pull_without_fedprox(change):
    with pytest.raises(ConfigError, match="proximal must be positive for fedprox and 0 else"):
        Plan(**change)


def test_refuses_privacy_that_does_not_fit():
    with pytest.raises(ConfigError, match='privacy of a record must have method="gradient"'):
        Plan(method="fedavg", scaling="given", privacy=Privacy("record", 1.0, 1.0))
    with pytest.raises(ConfigError, match='privacy must have scaling="given"'):
        Plan(privacy=Privacy("record", 1.0, 1.0))
    with pytest.raises(ConfigError, match="rate must not be negative, and given"):
        Plan(method="fedavg", scaling="given", privacy=Privacy("client", 1.0, 1.0))


@pytest.mark.parametrize("rules", [{"fewest": 1}, {"epsilon": 0.0}, {"delta": 0.0}])
def test_refuses_rules_out_of_range(rules):
    with pytest.raises(ConfigError, match="rules must have fewest >= 2"):
        Rules(**rules)


def test_messages_are_told_before_they_are_used():
    clients, *_ = hospitals(2)
    heard = []
    model = federated_fit(clients, Plan(), on_message=lambda name, m: heard.append((name, m.ask)))
    assert heard[:2] == [("h0", "hello"), ("h1", "hello")]
    assert len([one for one in heard if one[1] == "gradient"]) == 2 * model.rounds
    assert channel_to(clients)(Message("hello"))[1].words["client"] == "h1"
