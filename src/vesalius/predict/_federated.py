"""Federated training: one logistic model of several hospitals, whose cases stay where they are."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._federated_client import Client
from vesalius.predict._federated_message import Message, pack, unpack
from vesalius.predict._federated_plan import Plan
from vesalius.predict._federated_round import Channel, Rounds
from vesalius.predict._federated_solve import Solved, solve
from vesalius.predict._private import Accountant, Privacy
from vesalius.predict._table import Floats, Table

_FLAT = 1e-12
"""A spread below this share of the typical magnitude is rounding, not spread."""


@final
@dataclass(frozen=True, slots=True)
class Share:
    """What a hospital brought, where it may be told.

    Attributes:
        client: Its name.
        cases: How many.
        events: How many with the event.
    """

    client: str
    cases: int
    events: int


@final
@dataclass(frozen=True, slots=True)
class LocalScore:
    """How well a model does on the cases of one hospital.

    Attributes:
        client: Its name.
        auc: Area under the ROC curve.
        brier: Brier score.
        log_loss: Mean log loss.
    """

    client: str
    auc: float
    brier: float
    log_loss: float


@final
@dataclass(frozen=True, slots=True, eq=False)
class FederatedModel:
    """A logistic model that several hospitals trained.

    Attributes:
        features: What it needs.
        classes: (no event, event).
        parameters: Hash of the parameters of the features; empty where unknown.
        centre: (features,) taken away first; what a gap is filled with.
        spread: (features,) divided by; infinite for a feature without spread.
        weights: (features,) of standardised features.
        offset: Added.
        plan: How it was trained.
        clients: What each hospital brought; without counts where sums were masked.
        cases: Of all.
        events: Of all.
        rounds: Messages to each client during training.
        converged: Whether the tolerance was reached.
        loss: Mean log loss and penalty at the end; NaN where it stayed private.
        trace: (rounds,) what is compared with the tolerance, round by round.
        epsilon: Spent for this model by each client, at ``plan.privacy.delta``; 0 for no noise.
        remarks: What must be known before it is used.
    """

    features: tuple[str, ...]
    classes: tuple[str, ...]
    parameters: str
    centre: Floats = field(repr=False)
    spread: Floats = field(repr=False)
    weights: Floats = field(repr=False)
    offset: float
    plan: Plan
    clients: tuple[Share, ...]
    cases: int
    events: int
    rounds: int
    converged: bool
    loss: float
    trace: Floats = field(repr=False)
    epsilon: float = 0.0
    remarks: tuple[str, ...] = ()

    def predict(self, table: Table) -> Floats:
        """Predict cases.

        Args:
            table: With the features.

        Returns:
            (cases,) chance of the event.
        """
        from scipy.special import expit

        scaled = (table.select(self.features).values - self.centre) / self.spread
        return np.asarray(expit(np.nan_to_num(scaled) @ self.weights + self.offset))


def channel_to(
    clients: Sequence[Client], on_message: Callable[[str, Message], None] | None = None
) -> Channel:
    """Reach clients in this process; every message goes through bytes, as over a network.

    Args:
        clients: All of them.
        on_message: Told of every answer, with the name of the client, before it is used.

    Returns:
        What sends a message to all, and gives their answers in the order of their names.

    Raises:
        ConfigError: There is none.
    """
    if not clients:
        raise ConfigError("a training must have clients, got none: give two or more")
    ordered = sorted(clients, key=lambda one: one.name)

    def ask(message: Message) -> tuple[Message, ...]:
        data = pack(message)
        answers = [unpack(pack(client.answer(unpack(data)))) for client in ordered]
        for client, answer in zip(ordered, answers, strict=True):
            if on_message is not None:
                on_message(client.name, answer)
        return tuple(answers)

    return ask


def federated_fit(
    clients: Sequence[Client],
    plan: Plan,
    *,
    on_message: Callable[[str, Message], None] | None = None,
) -> FederatedModel:
    """Train a logistic model over hospitals in this process: the reference of what a network does.

    Args:
        clients: The hospitals.
        plan: How.
        on_message: Told of every answer, with the name of the client.

    Returns:
        The model.

    Raises:
        NetworkError: A client refuses, or does not answer.
        ConfigError: Features, parameters or classes of the clients differ.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from vesalius.predict import Table, Target
        >>> rng = np.random.default_rng(0)
        >>> hospitals = []
        >>> for name in ("A", "B"):
        ...     x, y = rng.normal(size=(40, 2)), np.arange(40) % 2.0
        ...     cases = tuple(f"{name}{k}" for k in range(40))
        ...     table = Table(cases, ("f", "g"), x + y[:, None], pd.DataFrame(index=range(40)))
        ...     hospitals.append(Client(name, table, Target("binary", y, ("no", "yes"))))
        >>> federated_fit(tuple(hospitals), Plan()).cases
        80
    """
    return train(channel_to(clients, on_message), plan)


def train(ask: Channel, plan: Plan) -> FederatedModel:
    """Train a logistic model over whatever reaches the hospitals.

    Minimises mean log loss + weight / 2 * |weights|^2 over all cases, the offset left free.

    Args:
        ask: Sends a message to every client and gives their answers, in order of their names.
        plan: How.

    Returns:
        The model.

    Raises:
        NetworkError: A client refuses, or does not answer.
        ConfigError: Features, parameters or classes of the clients differ.

    References:
        McMahan et al. (2017), doi:10.48550/arXiv.1602.05629, algorithm 1; Li et al. (2020),
        doi:10.48550/arXiv.1812.06127, algorithm 2. Differ in: every client in every round.
    """
    rounds = Rounds(ask, plan.features, secure=plan.secure, privacy=plan.privacy)
    shares, counts = rounds.counts()
    if plan.scaling == "federated":
        rounds.standardise(_FLAT)
    started = rounds.sent
    solved = solve(rounds, plan, float(counts[0]))
    private = plan.privacy.level != "none"
    account = Accountant().spend(plan.privacy, solved.rounds) if private else Accountant()
    return FederatedModel(
        rounds.features,
        rounds.classes,
        rounds.parameters,
        rounds.centre,
        rounds.spread,
        solved.weights[:-1],
        float(solved.weights[-1]),
        plan,
        tuple(Share(*one) for one in shares),
        int(counts[0]),
        int(counts[1]),
        rounds.sent - started,
        solved.converged,
        solved.loss,
        np.array(solved.trace),
        account.epsilon(plan.privacy.delta),
        _remarks(plan, shares, solved, rounds),
    )


def score_over(ask: Channel, model: FederatedModel) -> tuple[LocalScore, ...]:
    """Ask each hospital how well the model does on its own cases, which it was trained on.

    Args:
        ask: Reaches every client.
        model: What is scored.

    Returns:
        One for each hospital, in order of their names.

    Raises:
        NetworkError: A client refuses, as one with a budget of privacy or with masks does.
    """
    rounds = Rounds(ask, model.features, secure=False, privacy=Privacy())
    rounds.centre, rounds.spread = model.centre, model.spread
    found = rounds.each("scored", np.append(model.weights, model.offset))
    return tuple(LocalScore(name, *map(float, told["scores"])) for name, told in found)


def _remarks(
    plan: Plan, shares: Sequence[tuple[str, int, int]], solved: Solved, rounds: Rounds
) -> tuple[str, ...]:
    found = []
    told = [(name, events / cases) for name, cases, events in shares if cases]
    if told:
        low, high = min(told, key=lambda one: one[1]), max(told, key=lambda one: one[1])
        if high[1] - low[1] > 0.1:
            found.append(
                f"The event is seen in {high[1]:.0%} of the cases of {high[0]} and in {low[1]:.0%} "
                f"of those of {low[0]}: the common offset fits neither; recalibrate on the spot."
            )
    if not solved.converged:
        found.append(
            f"Training ended after {solved.rounds} rounds without reaching its tolerance: the "
            "weights are not those of the pooled cases."
        )
    if plan.method in ("fedavg", "fedprox") and plan.local_steps > 1 and not plan.decay:
        found.append(
            "Averages of several local steps of constant length end beside the optimum where "
            "hospitals differ: compare with method gradient."
        )
    if plan.secure and len(shares) == 2:
        found.append(
            "Masks hide sums from the server, not from the other hospital: of two, each can take "
            "its own part from the sum."
        )
    if plan.privacy.level == "none":
        found.append(
            "Without noise the sums of many rounds may tell of single cases, above all where a "
            "hospital has fewer cases than features."
        )
    if flat := int(np.isinf(rounds.spread).sum()):
        found.append(f"{flat} features are the same in every case and were given no weight.")
    return tuple(found)
