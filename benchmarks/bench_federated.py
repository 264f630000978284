"""Federated training on the two hospitals of Hosny 2018 beside training on their pooled cases.

Prints, for each method: rounds, CPU seconds, bytes that left a hospital, the largest distance of a
weight and of a prediction from the pooled model of scikit-learn, and the AUC of both. Then what
privacy costs in AUC, on ten features of scales taken as public.

    VESALIUS_TEST_DATA=... python benchmarks/bench_federated.py
"""
# SPDX-License-Identifier: Apache-2.0

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from vesalius.predict import Table, Target
from vesalius.predict.federate import (
    Client,
    Plan,
    Privacy,
    channel_to,
    combat_over,
    federated_fit,
    noise_for,
    pack,
    train,
    with_batches,
)
from vesalius.predict.harmonise import Combat

torch.set_num_threads(1)
NAMES = ("A", "B")


def hospital(root, name):
    """Read one hospital."""
    frame = pd.read_csv(root / "tables" / f"Hosny2018{name}.csv.gz")
    features = [one for one in frame.columns if one not in ("ID", "Target")]
    cases = tuple(f"{name}{k}" for k in range(len(frame)))
    columns = frame[["Target"]].assign(hospital=name)
    table = Table(cases, tuple(features), frame[features].to_numpy(float), columns)
    return table, Target("binary", frame["Target"].to_numpy(float), ("0", "1"))


def measured(hospitals, plan):
    """Train, and count bytes and CPU seconds."""
    sent = dict.fromkeys(NAMES, 0)

    def heard(name, message):
        sent[name] += len(pack(message))

    clients = [Client(name, *one) for name, one in zip(NAMES, hospitals, strict=True)]
    start = time.process_time()
    model = train(channel_to(clients, heard), plan)
    return model, time.process_time() - start, max(sent.values())


def scores(model, hospitals):
    """Predict all cases."""
    return np.concatenate([model.predict(table) for table, _ in hospitals])


def methods(hospitals):
    """Compare methods with pooled training."""
    values = np.concatenate([table.values for table, _ in hospitals])
    event = np.concatenate([target.values for _, target in hospitals])
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    start = time.process_time()
    pooled = LogisticRegression(C=10 / len(event), solver="newton-cholesky", tol=1e-10)
    pooled.fit(scaled, event)
    cpu = time.process_time() - start
    best = pooled.predict_proba(scaled)[:, 1]
    print(f"scikit-learn, pooled: {cpu:.2f} CPU s, AUC {roc_auc_score(event, best):.4f}")
    plans = {
        "gradient": Plan(),
        "gradient, masked": Plan(secure=True),
        "fedavg, 1 step, 1000 rounds": Plan(method="fedavg"),
        "fedavg, 10 steps, 1000 rounds": Plan(method="fedavg", local_steps=10),
        "fedprox, 10 steps, 1000 rounds": Plan(method="fedprox", local_steps=10, proximal=1.0),
    }
    print(f"{'method':<32}{'rounds':>7}{'CPU s':>7}{'MB out':>8}{'|dw|':>9}{'|dp|':>9}{'AUC':>8}")
    for name, plan in plans.items():
        model, cpu, sent = measured(hospitals, plan)
        found = scores(model, hospitals)
        away = np.abs(model.weights - pooled.coef_[0]).max()
        auc = roc_auc_score(event, found)
        print(
            f"{name:<32}{model.rounds:>7}{cpu:>7.2f}{sent / 1e6:>8.2f}{away:>9.1e}"
            f"{np.abs(found - best).max():>9.1e}{auc:>8.4f}"
        )


def combat(hospitals):
    """Compare ComBat over hospitals with ComBat of all cases."""
    values = np.concatenate([table.values for table, _ in hospitals])
    columns = pd.concat([table.columns for table, _ in hospitals], ignore_index=True)
    cases = sum((table.cases for table, _ in hospitals), ())
    both = Table(cases, hospitals[0][0].features, values, columns)
    step = Combat(batch="hospital")
    pooled = step.fit(both).transform(both).values
    clients = [Client(name, *one) for name, one in zip(NAMES, hospitals, strict=True)]
    shared = combat_over(channel_to(clients), step, secure=True)
    parts = [
        with_batches(shared, table, name).transform(table).values
        for name, (table, _) in zip(NAMES, hospitals, strict=True)
    ]
    away = np.abs(np.concatenate(parts) - pooled).max()
    print(f"ComBat over hospitals, masked, from ComBat of all cases: {away:.1e}")


def privacy(hospitals):
    """Show what a budget costs, on ten features (chosen on pooled cases, without privacy)."""
    values = np.concatenate([table.values for table, _ in hospitals])
    event = np.concatenate([target.values for _, target in hospitals])
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    place: list[int] = []
    rest = event - event.mean()
    for _ in range(10):  # one after the other, since the best ten alone say the same thing
        place.append(int(np.argmax(np.abs(rest @ scaled))))
        fitted, *_ = np.linalg.lstsq(scaled[:, place], event - event.mean(), rcond=None)
        rest = event - event.mean() - scaled[:, place] @ fitted
    features = tuple(hospitals[0][0].features[k] for k in place)
    exact = federated_fit(
        [Client(n, *one) for n, one in zip(NAMES, hospitals, strict=True)],
        Plan(features=features, scaling="given"),
    )
    print(f"ten features, no privacy: AUC {roc_auc_score(event, scores(exact, hospitals)):.3f}")
    for epsilon in (1.0, 3.0, 10.0):
        noise = noise_for(epsilon, 1e-5, rounds=50)
        plan = Plan(
            features=features,
            scaling="given",
            rounds=50,
            privacy=Privacy("record", 1.0, noise),
        )
        found = []
        for seed in range(20):
            clients = [
                Client(n, *one, generator=torch.Generator().manual_seed(100 * seed + k))
                for k, (n, one) in enumerate(zip(NAMES, hospitals, strict=True))
            ]
            found.append(roc_auc_score(event, scores(federated_fit(clients, plan), hospitals)))
        low, middle, high = np.quantile(found, (0.05, 0.5, 0.95))
        print(f"epsilon {epsilon:g}: AUC {middle:.3f} ({low:.3f} to {high:.3f} of 20 runs)")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    folder = Path(os.environ.get("VESALIUS_TEST_DATA", "data"))
    both = [hospital(folder, name) for name in NAMES]
    methods(both)
    combat(both)
    privacy(both)
