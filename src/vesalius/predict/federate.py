"""Across hospitals: train and harmonise on cases that stay where they are.

A ``Client`` holds a hospital's table and answers with sums; ``federated_fit`` is the reference in
one process, ``train`` the same over anything that carries messages, ``serve`` and ``join`` over
Flower (extra ``fed``). Sums can be masked, so that the server sees their total alone, and made
differentially private, with a budget that each client keeps for itself.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._federated import (
    FederatedModel,
    LocalScore,
    Share,
    channel_to,
    federated_fit,
    score_over,
    train,
)
from vesalius.predict._federated_batches import with_batches
from vesalius.predict._federated_client import Client, Rules
from vesalius.predict._federated_combat import combat_over
from vesalius.predict._federated_message import Message, pack, unpack
from vesalius.predict._federated_model import as_model
from vesalius.predict._federated_plan import Plan, plan_from_json, plan_to_json
from vesalius.predict._flower import Link, join, serve
from vesalius.predict._private import Accountant, Privacy, noise_for
from vesalius.predict._secure_sum import Masks

__all__ = [
    "Accountant",
    "Client",
    "FederatedModel",
    "Link",
    "LocalScore",
    "Masks",
    "Message",
    "Plan",
    "Privacy",
    "Rules",
    "Share",
    "as_model",
    "channel_to",
    "combat_over",
    "federated_fit",
    "join",
    "noise_for",
    "pack",
    "plan_from_json",
    "plan_to_json",
    "score_over",
    "serve",
    "train",
    "unpack",
    "with_batches",
]
