"""Federation: hospitals for the tests of federated training, and what passed between them."""

import numpy as np
from made_tables import made

from vesalius.predict.federate import Client, Rules, channel_to


def hospitals(parts=2, cases=80, features=6, *, rules=None, seed=0):
    """Give clients that part one table, the table, and its outcome."""
    table, target = made(cases, features, seed=seed)
    places = np.array_split(np.arange(cases), parts)
    names = [f"h{k}" for k in range(parts)]
    clients = [
        Client(name, table.rows(at), target.rows(at), rules=rules or Rules())
        for name, at in zip(names, places, strict=True)
    ]
    return clients, table, target


def overheard(clients):
    """Give a channel and the list of every answer that goes through it."""
    heard = []
    return channel_to(clients, lambda name, message: heard.append((name, message))), heard


def pooled_weights(values, event, weight):
    """Give weights of standardised features by scikit-learn, on all cases together."""
    from sklearn.linear_model import LogisticRegression

    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    model = LogisticRegression(
        C=1 / (weight * len(event)), solver="newton-cholesky", tol=1e-12, max_iter=500
    ).fit(scaled, event)
    return model.coef_[0], float(model.intercept_[0])
