"""Networks that configure themselves: data set, fingerprint, plan, training, model, prediction.

Part of the room ``segment``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.segment._benchmark import seconds_per_step
from vesalius.segment._class_head import ClassHead
from vesalius.segment._dataset import Case, Dataset, Sample, read_case, read_dataset
from vesalius.segment._evaluation import CaseScore, Evaluation, evaluate_model
from vesalius.segment._fingerprint import Fingerprint, fingerprint, fingerprint_from_json
from vesalius.segment._head import Head
from vesalius.segment._heads import make_head
from vesalius.segment._inference import Inference
from vesalius.segment._model import Model
from vesalius.segment._packaged import load_packaged, packaged_models
from vesalius.segment._plan import Normalisation, Plan
from vesalius.segment._planner import Budget, plan_training
from vesalius.segment._predict import Trained, predict
from vesalius.segment._prepare import Prepared, prepare
from vesalius.segment._regime import Look, Regime
from vesalius.segment._store import load_model, plan_from_json, plan_to_json, save_model
from vesalius.segment._training import TrainingRun, train_model

__all__ = [
    "Budget",
    "Case",
    "CaseScore",
    "ClassHead",
    "Dataset",
    "Evaluation",
    "Fingerprint",
    "Head",
    "Inference",
    "Look",
    "Model",
    "Normalisation",
    "Plan",
    "Prepared",
    "Regime",
    "Sample",
    "Trained",
    "TrainingRun",
    "evaluate_model",
    "fingerprint",
    "fingerprint_from_json",
    "load_model",
    "load_packaged",
    "make_head",
    "packaged_models",
    "plan_from_json",
    "plan_to_json",
    "plan_training",
    "predict",
    "prepare",
    "read_case",
    "read_dataset",
    "save_model",
    "seconds_per_step",
    "train_model",
]
