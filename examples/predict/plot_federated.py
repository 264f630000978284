"""
One model of three hospitals whose patients stay at home
========================================================

Each hospital answers with sums over its patients: counts, means, slopes of the loss. Their total
is that of the pooled table, so the model that minimises it is the pooled model, not an average of
three. Averages of models that each trains by itself (FedAvg) end beside it where hospitals
differ. Noise that hides single patients has a price, and the price falls with the number of
patients.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from vesalius.predict import Description, as_table, target_of
from vesalius.predict.federate import Client, Plan, Privacy, federated_fit, noise_for

# %%
# Three hospitals that differ in size, in their patients and in how often the event comes.

description = Description(outcome="relapse", positive="1")
weights = np.array([1.0, -0.8, 0.6, 0.4, 0, 0, 0, 0])


def hospital(seed: int, cases: int, base: float) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    values = draw.normal(0.5 * base, 1, size=(cases, 8))
    events = draw.random(cases) < 1 / (1 + np.exp(-values @ weights - base))
    return pd.DataFrame(values).add_prefix("feature_").assign(relapse=events.astype(int))


def clients(*frames: pd.DataFrame) -> list[Client]:
    tables = [as_table(frame, description) for frame in frames]
    noise = torch.Generator().manual_seed(0)
    outcomes = [target_of(table, description) for table in tables]
    parts = zip("abc", tables, outcomes, strict=False)
    return [Client(name, table, y, generator=noise) for name, table, y in parts]


frames = [hospital(1, 300, 0.0), hospital(2, 120, 1.0), hospital(3, 80, -1.0)]
pooled = federated_fit(clients(pd.concat(frames)), Plan())

# %%
# How far from the pooled model the weights are, by how the training is done.

plans = {
    "exact, sums of slopes": Plan(),
    "exact, masked sums": Plan(secure=True),
    "FedAvg, 1 local step": Plan(method="fedavg", rounds=200),
    "FedAvg, 20 local steps": Plan(method="fedavg", rounds=200, local_steps=20),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8))
for y, plan in enumerate(plans.values()):
    model = federated_fit(clients(*frames), plan)
    off = float(np.abs(model.weights - pooled.weights).max())
    left.barh(y, np.log10(off) + 17, left=-17, color="#8a1c1c" if off > 1e-5 else "#1f6f8b")
    left.text(np.log10(off) + 0.2, y, f"{model.rounds} messages", va="center", fontsize=8)
left.set_yticks(range(len(plans)), plans)
left.set(xlabel="largest error, power of ten", xlim=(-17, 2), title="Weights, against pooled")

# %%
# With differential privacy: the smaller epsilon, the less is told of a patient, and the more noise.

test = as_table(hospital(9, 2000, 0.0), description)
truth = target_of(test, description).values > 0.5
for times, colour in ((1, "#8a1c1c"), (10, "#1f6f8b")):
    many = [hospital(20 + k, 150 * times, 0.0) for k in range(3)]
    means = []
    for epsilon in (0.5, 1, 2, 4, 8):
        privacy = Privacy("record", noise=noise_for(epsilon, 1e-5, rounds=20))
        plan = Plan(scaling="given", rounds=20, privacy=privacy)
        said = federated_fit(clients(*many), plan).predict(test)
        means.append((said[truth][:, None] > said[~truth]).mean())
    right.plot((0.5, 1, 2, 4, 8), means, "o-", color=colour, label=f"3 x {150 * times} patients")
right.set(xscale="log", xlabel="epsilon", ylabel="AUC on others", title="What privacy costs")
right.set_xticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
right.minorticks_off()
right.legend()
plt.show()
