"""Hostile messages: what a client refuses of a server, and a server of a client."""
# SPDX-License-Identifier: Apache-2.0

import json
import math
import tracemalloc

import numpy as np
import pytest
from federation import hospitals
from made_tables import made

from vesalius.errors import ConfigError, FormatError, IntensityError, NetworkError
from vesalius.predict import _federated_sums as sums
from vesalius.predict import _private as private
from vesalius.predict import _secure_sum as secure_sum
from vesalius.predict._federated_message import Message
from vesalius.predict.federate import (
    Accountant,
    Client,
    Plan,
    Privacy,
    Rules,
    channel_to,
    combat_over,
    federated_fit,
    pack,
    train,
    unpack,
)
from vesalius.predict.harmonise import Combat

LOCAL = {"steps": 1, "rate": 1.0, "weight": 0.1, "proximal": 0.0}


def asked(client, ask, *, privacy=None, arrays=None, **words):
    """Ask a client, with arrays of the shapes that it needs unless others are given."""
    names = list(client._table.features)
    given = {
        "centre": np.zeros(len(names)),
        "spread": np.ones(len(names)),
        "unit": np.ones(len(names)),
        "weights": np.zeros(len(names) + 1),
    }
    told = {"features": names, "privacy": privacy or {}, "local": LOCAL, **words}
    return client.answer(Message(ask, given | (arrays or {}), told))


def noise(level="record", **settings):
    return {"level": level, "clip": 1.0, "noise": 20.0, "sampling": 1.0, **settings}


def one(**rules):
    return hospitals(rules=Rules(**rules))[0][0]


# what a server could ask


@pytest.mark.parametrize(("ask", "level"), [("train", "record"), ("gradient", "client")])
def test_noise_meant_for_something_else_buys_nothing(ask, level):
    client = one(epsilon=1.0)
    found = asked(client, ask, privacy=noise(level, noise=1000.0))
    assert found.ask == "refused"
    assert (
        f"must have noise for each {'client' if level == 'record' else 'record'}"
        in (found.words["text"])
    )
    assert client.epsilon == 0.0


@pytest.mark.parametrize("settings", [{"noise": 1e-200}, {"noise": 1e-160}, {"noise": 1e-7}])
@pytest.mark.parametrize("sampling", [0.5, 1.0])
def test_noise_too_small_to_be_any_does_not_pass_a_budget(settings, sampling):
    client = one(epsilon=1.0)
    found = asked(client, "gradient", privacy=noise(sampling=sampling, **settings))
    assert found.ask == "refused"
    assert client.epsilon == 0.0


@pytest.mark.parametrize("scale", [0.0, 1e-200, 1e-160, 1e-30])
@pytest.mark.parametrize("sampling", [0.5, 1.0])
def test_next_to_no_noise_costs_all_and_never_nan(scale, sampling):
    assert np.isinf(private.divergence(scale, sampling)).all()


def test_a_budget_that_cannot_be_reckoned_is_passed():
    client = one(epsilon=1.0)
    client._budget.account = Accountant(np.full(len(private.ORDERS), math.nan))
    assert "must not be passed" in asked(client, "gradient", privacy=noise()).words["text"]


@pytest.mark.parametrize("ask", ["moments", "squares", "curvature", "curved", "scored", "levels"])
def test_a_budget_lets_nothing_exact_out(ask):
    found = asked(one(epsilon=100.0), ask, privacy=noise(), keep=["sex"])
    assert "answers with noise only" in found.words["text"]


def test_releases_of_two_levels_do_not_share_a_budget():
    client = one(epsilon=100.0)
    assert asked(client, "gradient", privacy=noise()).ask == "gradient"
    found = asked(client, "train", privacy=noise("client"))
    assert "must be of one level, it was begun for each record" in found.words["text"]


def test_a_harmonised_client_spends_from_the_same_budget():
    clients, *_ = hospitals()
    shared = combat_over(channel_to(clients), Combat(batch="site_name"))
    one = clients[0]
    two, three = one.harmonised(shared), one.harmonised(shared)
    asked(two, "gradient", privacy=noise())
    assert one.epsilon == two.epsilon == three.epsilon > 0
    asked(three, "gradient", privacy=noise())
    assert (
        one.epsilon == two.epsilon > Accountant().spend(Privacy("record", 1.0, 20.0)).epsilon(1e-5)
    )


@pytest.mark.parametrize(
    ("ask", "name", "shape"),
    [
        ("squares", "unit", (40, 6)),
        ("squares", "centre", (1, 6)),
        ("gradient", "spread", (40, 6)),
        ("gradient", "centre", (40, 1)),
        ("gradient", "weights", (7, 3)),
        ("train", "weights", (1,)),
        ("scored", "weights", (8,)),
    ],
)
def test_numbers_for_each_case_cannot_choose_one(ask, name, shape):
    """An infinite spread of all cases but one would leave that one in the sum."""
    found = asked(one(), ask, arrays={name: np.ones(shape)})
    assert f"{name!r} of a message must be" in found.words["text"]


@pytest.mark.parametrize("level", ["record", "client"])
def test_whether_noise_is_answered_does_not_depend_on_the_cases(level):
    """A failure for some cases alone would tell of them for nothing."""
    client = one(epsilon=100.0)
    wild = {"spread": np.full(6, 1e-300), "weights": np.full(7, 1e300)}
    ask = {"record": "gradient", "client": "train"}[level]
    local = {**LOCAL, "steps": 50, "rate": 1e300, "weight": 1e300}
    found = asked(client, ask, privacy=noise(level), arrays=wild, local=local)
    assert found.ask == ask
    assert client.epsilon > 0


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e160, 1e308])
def test_no_case_moves_a_private_sum_by_more_than_the_clip(scale):
    draw = np.random.default_rng(0)
    x = np.nan_to_num(draw.normal(size=(30, 5)) * scale)
    y = (draw.random(30) < 0.5).astype(float)
    w = draw.normal(size=5)
    every = sums.clipped_gradient(x, y, w, 0.25)
    for k in range(30):
        rest = np.arange(30) != k
        moved = every - sums.clipped_gradient(x[rest], y[rest], w, 0.25)
        assert np.linalg.norm(moved) <= 0.25 * (1 + 1e-9)


def test_an_update_beyond_numbers_becomes_none():
    assert not sums.clipped(np.array([np.nan, 1.0]), 1.0).any()
    assert not sums.clipped(np.array([np.inf, 1.0]), 1.0).any()
    assert np.linalg.norm(sums.clipped(np.full(4, 1e100), 2.0)) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "local", [{"steps": 0}, {"steps": 10**9}, {"rate": -1.0}, {"proximal": -1.0}, {"weight": -1.0}]
)
def test_refuses_local_training_without_end(local):
    assert "local steps" in asked(one(), "train", local={**LOCAL, **local}).words["text"]
    with pytest.raises(ConfigError, match="a client takes 1 to 10000 local steps"):
        sums.Local(**local)


@pytest.mark.parametrize("keys", [["a"], "a", 5, {"h0": 3}, {"h0": ["a"]}])
def test_no_message_ends_a_client(keys):
    assert one().answer(Message("meet", {}, {"keys": keys})).ask == "refused"


@pytest.mark.parametrize("told", [{"keep": 5}, {"keep": [None]}, {}])
def test_no_question_for_levels_ends_a_client(told):
    assert one().answer(Message("levels", {}, told)).ask == "refused"


def test_a_refusal_names_no_case_and_no_cell():
    table, target = made(60, 3)
    values = table.values.copy()
    values[7, 1] = np.nan
    reasons = {(table.cases[7], table.features[1]): "no such thing in Smith"}
    from dataclasses import replace

    gap = Client("a", replace(table, values=values, reasons=reasons), target)
    words = {"batch": "none", "levels": {}, "reference": ""}
    assert "Smith" not in (text := asked(gap, "within", **words).words["text"])
    assert table.cases[7] not in text
    assert "batches of 'a' must have every feature" in text
    named = table.columns.assign(name=[f"Smith {k % 3}" for k in range(60)])
    full = Client("a", replace(table, columns=named), target)
    for levels in ({"name": []}, {"name": ["x"]}):
        text = asked(full, "within", **{**words, "levels": levels}).words["text"]
        assert "Smith" not in text
    lacking = named.assign(name=[None, *named["name"].tolist()[1:]])
    text = asked(Client("a", replace(table, columns=lacking), target), "levels", keep=["name"])
    assert "covariates of 'a' must be known of every case" in text.words["text"]
    assert table.cases[0] not in text.words["text"]


def test_a_sum_too_large_for_masks_is_not_told_in_the_refusal():
    with pytest.raises(IntensityError, match="one is not") as caught:
        secure_sum.to_limbs(np.array([1.0, 7.25e18]))
    assert "7.25" not in str(caught.value)


# noise


def test_noise_comes_from_the_operating_system(monkeypatch):
    """Not from a generator that a few hundred outputs give away."""
    asked_for = []

    def tokens(count):
        asked_for.append(count)
        return np.random.default_rng(len(asked_for)).bytes(count)

    monkeypatch.setattr(private.secrets, "token_bytes", tokens)
    private.noisy(np.zeros((3, 2)), Privacy("record", 1.0, 1.0))
    sums.chosen(9, 0.5)
    assert asked_for == [3 * 2 * 16, 9 * 8]


def test_noise_of_the_operating_system_is_normal_and_its_chances_even():
    from scipy.stats import kstest

    drawn = private.normal((200, 100), None)
    assert drawn.shape == (200, 100)
    assert kstest(drawn.ravel(), "norm").pvalue > 1e-6
    assert np.abs(drawn).max() < 7
    assert kstest(private.uniform(20_000, None), "uniform").pvalue > 1e-6
    assert private.normal((), None).shape == ()


@pytest.mark.parametrize(("byte", "sign"), [(b"\0", -1), (b"\xff", 1)])
def test_the_ends_of_the_noise_are_finite(monkeypatch, byte, sign):
    monkeypatch.setattr(private.secrets, "token_bytes", lambda count: byte * count)
    assert np.isfinite(private.normal((2,), None)).all()
    assert 0 <= private.uniform(1, None)[0] < 1


def test_the_digits_of_a_noisy_number_tell_no_more_than_the_number():
    """Whatever the value was, what is told stands on one grid, so that no digit gives it away."""
    privacy = Privacy("record", 1.0, 1.5)
    grid = 2.0 ** round(math.log2(1.5 * 2.0**-32))
    for value in (0.0, 1 / 3, 1e-9, 12345.678901234567):
        told = private.noisy(np.full(50, value), privacy) / grid
        assert (told == np.rint(told)).all()


@pytest.mark.parametrize("clip", [5e-324, 1e-101, 1e101])
def test_refuses_a_clip_at_the_ends_of_numbers(clip):
    """Where all numbers are multiples of the clip, a case moves each entry by a whole clip."""
    with pytest.raises(ConfigError, match="clip must be positive"):
        Privacy("record", clip, 1.0)


# what a client could answer


def forged(change):
    """Give a channel whose second client answers what ``change`` makes of its answer."""
    clients, *_ = hospitals(2)
    ask = channel_to(clients)

    def channel(message):
        first, second = ask(message)
        return first, change(second)

    return channel


def altered(ask, **arrays):
    def change(answer):
        if answer.ask != ask:
            return answer
        return Message(answer.ask, {**answer.arrays, **arrays}, answer.words)

    return change


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("ask", ["moments", "squares", "gradient"])
def test_refuses_answers_that_are_not_finite(ask, value):
    size = {"moments": ("sums", 6), "squares": ("squares", 6), "gradient": ("gradient", 7)}[ask]
    with pytest.raises(NetworkError, match=f"answers to '{ask}' must be finite, that of 'h1'"):
        train(forged(altered(ask, **{size[0]: np.full(size[1], value)})), Plan())


@pytest.mark.parametrize(
    ("ask", "arrays"),
    [
        ("gradient", {"gradient": np.zeros(1)}),
        ("gradient", {"gradient": np.zeros((7, 1))}),
        ("gradient", {"more": np.zeros(7)}),
        ("moments", {"known": np.zeros(6, np.int64)}),
        ("counts", {"counts": np.zeros(3)}),
    ],
)
def test_refuses_answers_of_another_shape(ask, arrays):
    with pytest.raises(NetworkError, match=f"clients must answer '{ask}' with .* 'h1' sent"):
        train(forged(altered(ask, **arrays)), Plan())


def test_refuses_a_shape_that_all_clients_agree_on():
    """One number in place of seven would be added to each weight."""
    clients, *_ = hospitals(1)
    ask = channel_to(clients)

    def channel(message):
        (answer,) = ask(message)
        if answer.ask != "gradient":
            return (answer,)
        return (altered("gradient", gradient=np.zeros(1))(answer),)

    with pytest.raises(NetworkError, match="clients must answer 'gradient' with"):
        train(channel, Plan())


@pytest.mark.parametrize("counts", [[0.0, 0.0], [40.0, 41.0], [-40.0, -2.0], [39.5, 3.0]])
def test_refuses_counts_that_are_none(counts):
    with pytest.raises(NetworkError, match=r"counts must be of one case or more, .* 'h1' told"):
        train(forged(altered("counts", counts=np.array(counts))), Plan())


def test_refuses_an_answer_to_an_earlier_message():
    kept = {}

    def replayed(answer):
        return kept.setdefault(answer.ask, answer)

    with pytest.raises(NetworkError, match=r"must answer message \d+, got answers to \["):
        train(forged(replayed), Plan())


@pytest.mark.parametrize(
    "words", [{"features": "f00"}, {"features": [1]}, {"client": 3}, {"key": None}, {"classes": {}}]
)
def test_refuses_a_greeting_that_is_none(words):
    def rude(answer):
        return Message(answer.ask, answer.arrays, {**answer.words, **words})

    with pytest.raises(NetworkError, match="a client must say its name, features"):
        train(forged(rude), Plan())


def test_refuses_masks_that_do_not_cancel():
    """A hospital that another training asked meanwhile has other keys."""
    clients, *_ = hospitals(3)
    ask = channel_to(clients)

    def channel(message):
        if message.ask == "moments":
            clients[1].answer(Message("hello"))
            clients[1].answer(
                Message("meet", {}, {"keys": {"x": "3", "h1": clients[1]._masks.public}})
            )
        return ask(message)

    with pytest.raises(NetworkError, match="masks of a secure sum must cancel, those of 3"):
        train(channel, Plan(secure=True))


def test_masked_combat_is_checked_too():
    clients, *_ = hospitals(3)
    shared = [
        combat_over(channel_to(clients), Combat(batch="where", keep=("sex",)), secure=secure)
        for secure in (False, True)
    ]
    np.testing.assert_allclose(shared[0].mean_, shared[1].mean_, rtol=1e-12)


# messages that are no messages


def packed(header, tail=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return b"VSFED001" + len(text).to_bytes(8, "little") + text + tail


@pytest.mark.parametrize(
    "header",
    [
        b'{"ask":"a","words":' + b"[" * 100_000,
        b'{"ask":"a","words":{"a":NaN},"arrays":[]}',
        b'{"ask":"a","words":{},"arrays":[["x","<f8",[Infinity]]]}',
        b'{"ask":"a","words":[["a",1]],"arrays":[]}',
        b'{"ask":"a","words":{},"arrays":[["x","<f8",[1.5]]]}',
        b'{"ask":"a","words":{},"arrays":[["x","<f8",[1]],["x","<f8",[1]]]}',
        b"[1]",
    ],
)
def test_refuses_a_header_that_is_none(header):
    with pytest.raises(FormatError, match="the header of a message must be JSON"):
        unpack(packed(header, bytes(16)))


@pytest.mark.parametrize("shape", [[0, 10**30], [0, 2**62], [2**62, 2**62], [1] * 100, [-1, -1]])
def test_refuses_a_shape_without_memory_for_it(shape):
    tracemalloc.start()
    with pytest.raises(FormatError, match="arrays of a message must be one of"):
        unpack(packed({"ask": "a", "words": {}, "arrays": [["x", "<f8", shape]]}, bytes(8)))
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_an_honest_message_still_comes_through():
    found = unpack(pack(Message("a", {"x": np.arange(3.0), "none": np.zeros((0, 4))}, {"w": [1]})))
    assert found.arrays["x"].tolist() == [0.0, 1.0, 2.0]
    assert found.arrays["none"].shape == (0, 4)


@pytest.mark.parametrize("name", ["weight", "tol", "proximal", "rate", "decay"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_refuses_a_plan_that_is_not_finite(name, value):
    with pytest.raises(ConfigError, match="of a plan must be finite"):
        Plan(method="fedprox", **{"proximal": 0.1, name: value})


def test_a_training_with_all_of_this_is_the_same_as_before():
    clients, *_ = hospitals(3)
    assert federated_fit(clients, Plan(tol=1e-6)).converged
