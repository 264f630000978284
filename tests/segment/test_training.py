"""Training: exact after a kill, watched by other cases, small where memory is short."""

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from made_cases import make_dataset

from vesalius.errors import ConfigError, ConvergenceError, FormatError, OutputError, ShapeError
from vesalius.learn import UNetPlan
from vesalius.segment import _memory, _training
from vesalius.segment._checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vesalius.segment._dataset import read_dataset
from vesalius.segment._heads import make_head
from vesalius.segment._memory import fitted_to_memory, needed_bytes, out_of_memory, smaller
from vesalius.segment._patches import draw_patches, fixed_patches
from vesalius.segment._plan import Normalisation, Plan
from vesalius.segment._regime import Regime, make_splits
from vesalius.segment._store import load_model, save_model
from vesalius.segment._training import train_model
from vesalius.segment._training_cases import Room, load_cases, typical_diameter

PLAN = Plan(
    "classes",
    {1: "bright", 2: "dark"},
    ("T1",),
    (1.5, 1.0, 1.0),
    (Normalisation("standardise"),),
    (8, 12, 12),
    UNetPlan(3, 1, 3, width=4, levels=2, ascent="pointwise"),
    steps=8,
    learning_rate=1e-2,
)
OFTEN = Regime(save_every_s=1e-9)


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order, so that weights can be compared bit by bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data(tmp_path):
    return read_dataset(make_dataset(tmp_path / "data", cases=4))


def weights(model):
    return torch.cat([p.detach().flatten() for n in model.networks for p in n.parameters()])


def test_learns_what_is_bright_and_what_is_dark(data, tmp_path):
    network = replace(PLAN.network, width=8)
    plan = replace(PLAN, steps=80, augment="none", foreground=1.0, network=network)
    run = train_model(data, plan, folder=tmp_path / "m", regime=Regime(hold_out=("case_3",)))
    assert run.looks[0][-1].score > 0.6
    assert run.looks[0][-1].loss < 0.5 * run.looks[0][0].loss
    assert run.splits[0].watched == ("case_3",)
    assert "case_3" not in run.splits[0].trained
    assert bool((weights(load_model(tmp_path / "m")) == weights(run.model)).all())
    assert not (tmp_path / "m" / "training").exists()


KILLED = """
import os, signal, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_training import OFTEN, PLAN
from vesalius.segment._dataset import read_dataset
from vesalius.segment._training import train_model

def kill(step):
    if step.what.startswith("train: loss") and step.done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

train_model(read_dataset({data!r}), PLAN, folder={out!r}, regime=OFTEN, on_step=kill)
"""


def test_goes_on_exactly_after_a_kill(data, tmp_path):
    whole = train_model(data, PLAN, folder=tmp_path / "whole", regime=OFTEN)
    folder = data.cases[0].images[0].parent.parent
    tests = __file__.rpartition("/")[0]
    code = KILLED.format(tests=tests, data=str(folder), out=str(tmp_path / "cut"))
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()[-2000:]
    kept = load_checkpoint(tmp_path / "cut" / "training" / "fold_0.safetensors")
    assert 1 <= int(kept.state["step"]) <= 5
    resumed = train_model(data, PLAN, folder=tmp_path / "cut", regime=OFTEN, resume=True)
    assert torch.equal(weights(resumed.model), weights(whole.model))
    assert [x.score for x in resumed.looks[0]] == [x.score for x in whole.looks[0]]


def test_folds_watch_what_they_have_not_seen(data, tmp_path):
    run = train_model(data, replace(PLAN, steps=2), folder=tmp_path / "m", regime=Regime(folds=2))
    assert len(run.model.networks) == 2
    watched = [name for split in run.splits for name in split.watched]
    assert sorted(watched) == [case.name for case in data.cases]
    assert all(not set(s.watched) & set(s.trained) for s in run.splits)


def test_the_best_weights_are_those_of_the_best_look(data, tmp_path):
    regime = Regime(folds=2, fold=0, keep="best", patience=2)
    run = train_model(data, replace(PLAN, steps=20), folder=tmp_path / "m", regime=regime)
    assert len(run.looks[0]) <= 20
    assert all(0 <= look.score <= 1 for look in run.looks[0])


def test_cases_that_do_not_fit_in_memory_are_mapped_and_equal(data, tmp_path):
    head = make_head(PLAN)
    kept = load_cases(data, PLAN, head, room=Room(tmp_path / "a", 1 << 30))
    mapped = load_cases(data, PLAN, head, room=Room(tmp_path / "b", 0))
    assert len(list((tmp_path / "b").iterdir())) == 12
    assert not (tmp_path / "a").exists()
    for one, two in zip(kept, mapped, strict=True):
        assert torch.equal(one.data, two.data)
        assert torch.equal(one.targets, two.targets)


def test_a_disk_that_cannot_be_written_is_told(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"prepared cases .* must be written"):
        load_cases(data, PLAN, make_head(PLAN), room=Room(tmp_path / "file", 0))


def test_patches_lie_around_labelled_voxels_and_know_what_is_outside(data, tmp_path):
    cases = load_cases(data, PLAN, make_head(PLAN), room=Room(tmp_path, 1 << 30))
    plan = replace(PLAN, batch=6, foreground=1.0, patch=(4, 4, 4))
    g = torch.Generator().manual_seed(0)
    found = draw_patches(cases, plan, margin=0.25, generator=g)
    assert found.data.shape == (6, 1, 6, 6, 6)
    assert all(bool((x > 0).any()) for x in found.labels)
    large = draw_patches(cases, replace(PLAN, patch=(32, 16, 14)), margin=0.0, generator=g)
    assert float(large.weight[0].sum()) == 12 * 16 * 14
    assert bool((large.data[large.weight == 0] == 0).all())
    assert bool((large.labels[:, :10] == -1).all())


def test_the_patches_that_are_watched_are_always_the_same(data, tmp_path):
    cases = load_cases(data, PLAN, make_head(PLAN), room=Room(tmp_path, 1 << 30))
    one, two = (fixed_patches(cases, PLAN, most=2, seed=3) for _ in range(2))
    assert len(one) == 2
    assert all(torch.equal(a.data, b.data) for a, b in zip(one, two, strict=True))


def test_the_typical_diameter_is_that_of_a_disc_or_ball():
    flat = torch.zeros(1, 40, 40, dtype=torch.int32)
    flat[0, :10, :10] = 1
    assert typical_diameter(flat) == pytest.approx(2 * (100 / torch.pi) ** 0.5)
    assert typical_diameter(torch.zeros_like(flat)) == 0.0


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path):
    path = tmp_path / "x" / "a.safetensors"
    save_checkpoint(path, Checkpoint({"a": torch.ones(3)}, {"step": 1}))
    path.parent.chmod(0o500)
    try:
        if (tmp_path / "x").stat().st_uid != 0:
            with pytest.raises(OutputError, match=r"must be writable"):
                save_checkpoint(path, Checkpoint({"a": torch.zeros(3)}, {"step": 2}))
    finally:
        path.parent.chmod(0o700)
    assert load_checkpoint(path).run == {"step": 1}
    assert load_checkpoint(path).state["a"].tolist() == [1, 1, 1]


def test_refuses_a_file_that_is_no_checkpoint(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"no")
    with pytest.raises(FormatError, match=r"a checkpoint must be a file that vesalius train wrote"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_refuses_to_resume_what_was_never_begun(data, tmp_path):
    with pytest.raises(ConfigError, match=r"must have a checkpoint to be resumed"):
        train_model(data, PLAN, folder=tmp_path / "m", resume=True)


def test_refuses_to_resume_another_training(data, tmp_path):
    def stop(step):
        if step.what.startswith("train: loss"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_model(data, PLAN, folder=tmp_path / "m", regime=OFTEN, on_step=stop)
    other = replace(OFTEN, seed=1)
    with pytest.raises(ConfigError, match=r"seed .*differ from the checkpoint"):
        train_model(data, PLAN, folder=tmp_path / "m", regime=other, resume=True)


def test_refuses_a_folder_that_is_a_file(data, tmp_path):
    (tmp_path / "m").write_text("")
    with pytest.raises(OutputError, match=r"the folder 'm' must be writable"):
        train_model(data, PLAN, folder=tmp_path / "m")


def test_a_rate_that_diverges_is_told_and_the_checkpoint_stays(data, tmp_path):
    plan = replace(PLAN, learning_rate=1e30)
    with pytest.raises(ConvergenceError, match=r"must stay finite"):
        train_model(data, plan, folder=tmp_path / "m", regime=OFTEN)
    assert (tmp_path / "m" / "training").is_dir()


def test_memory_that_runs_out_in_a_step_makes_the_batch_smaller(data, tmp_path, monkeypatch):
    tried = []

    def full(ran, splits, train=_training._train_all):
        tried.append(ran.plan.batch)
        if len(tried) == 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
        return train(ran, splits)

    monkeypatch.setattr(_training, "_train_all", full)
    run = train_model(data, replace(PLAN, steps=1), folder=tmp_path / "m")
    assert tried == [2, 1]
    assert run.model.plan.batch == 1
    assert "memory is short: 2 patches" in run.remarks[0]


def test_a_plan_is_made_to_fit_memory():
    most = needed_bytes(PLAN)
    found, remarks = fitted_to_memory(PLAN, most)
    assert found.batch == 1
    assert remarks
    assert fitted_to_memory(PLAN, 100 * most) == (PLAN, ())
    assert smaller(replace(PLAN, batch=1, patch=(8, 16, 12)), 0).patch == (8, 8, 12)


def test_refuses_where_not_even_the_smallest_patch_fits():
    with pytest.raises(ConfigError, match=r"must fit in memory: it needs about .* GiB"):
        fitted_to_memory(PLAN, 1)


def test_knows_an_error_of_memory():
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("CUDA out of memory."))
    assert not out_of_memory(RuntimeError("shapes differ"))
    assert _memory.free_bytes() > 1 << 20


def test_too_few_cases_watch_themselves_and_ten_spare_one(tmp_path):
    few = read_dataset(make_dataset(tmp_path / "a", cases=3))
    (split,) = make_splits(few, Regime())
    assert split.watched == split.trained
    many = read_dataset(make_dataset(tmp_path / "b", cases=10))
    (split,) = make_splits(many, Regime())
    assert len(split.watched) == 1
    assert len(split.trained) == 9


def test_what_is_held_out_never_chooses(tmp_path):
    data = read_dataset(make_dataset(tmp_path, cases=12))
    (split,) = make_splits(data, Regime(hold_out=("case_1",), keep="best"))
    assert "case_1" not in (*split.watched, *split.trained)


def test_refuses_more_folds_than_cases(data):
    with pytest.raises(ConfigError, match=r"at least 9 labelled cases, 4 are left"):
        make_splits(data, Regime(folds=9))


def test_refuses_a_regime_that_cannot_be():
    with pytest.raises(ConfigError, match=r"folds must be 0 or at least 2"):
        Regime(folds=1)
    with pytest.raises(ConfigError, match=r"fold one of them"):
        Regime(folds=2, fold=2)
    with pytest.raises(ConfigError, match=r"patience must not be negative"):
        Regime(patience=-1)


def test_refuses_a_network_of_other_outputs():
    with pytest.raises(ConfigError, match=r"must have the 3 outputs of its head 'classes'"):
        make_head(replace(PLAN, network=UNetPlan(3, 1, 2, width=2)))


def test_a_case_that_does_not_fit_the_plan_is_named(data, tmp_path):
    channels = replace(PLAN.network, inputs=2)
    plan = replace(
        PLAN, channels=("T1", "T2"), normalisation=PLAN.normalisation * 2, network=channels
    )
    with pytest.raises(ShapeError, match=r"case 'case_0': the image must have the 2 channels"):
        train_model(data, plan, folder=tmp_path / "m")


def stopped(data, folder):
    """A training that was stopped after its first checkpoints."""

    def stop(step):
        if step.what.startswith("train: loss") and step.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_model(data, PLAN, folder=folder, regime=OFTEN, on_step=stop)


def test_memory_that_runs_out_after_a_checkpoint_loses_nothing(data, tmp_path, monkeypatch):
    stopped(data, tmp_path / "m")
    first = load_checkpoint(tmp_path / "m" / "training" / "fold_0.safetensors")

    def full(ran, splits):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

    with monkeypatch.context() as patch:
        patch.setattr(_training, "_train_all", full)
        with pytest.raises(
            ConfigError, match=r"it ran out: 2 patches of .* the checkpoint is kept"
        ):
            train_model(data, PLAN, folder=tmp_path / "m", regime=OFTEN, resume=True)
    kept = load_checkpoint(tmp_path / "m" / "training" / "fold_0.safetensors")
    assert int(kept.state["step"]) == int(first.state["step"]) > 0


def test_goes_on_with_the_patches_it_began_with_though_memory_is_short(data, tmp_path, monkeypatch):
    whole = train_model(data, PLAN, folder=tmp_path / "whole", regime=OFTEN)
    stopped(data, tmp_path / "m")
    monkeypatch.setattr(_training, "device_bytes", lambda: needed_bytes(PLAN))  # less than asked
    run = train_model(data, PLAN, folder=tmp_path / "m", regime=OFTEN, resume=True)
    assert run.model.plan == PLAN
    assert torch.equal(weights(run.model), weights(whole.model))


def test_a_model_does_not_know_what_held_out_images_look_like(tmp_path):
    data = read_dataset(make_dataset(tmp_path / "d", cases=9))
    plan = replace(PLAN, steps=1)
    one = train_model(data, plan, folder=tmp_path / "m", regime=Regime(hold_out=("case_8",)))
    assert one.splits[0].watched == ("case_8",)
    assert one.model.fingerprint["appearance"]["cases"] == 8


@contextmanager
def full_disk(most=2000):
    """No file may become longer, as on a disk that is full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, Checkpoint({"a": torch.ones(3)}, {"step": 1}))
    with full_disk(), pytest.raises(OutputError, match=r"must be writable"):
        save_checkpoint(path, Checkpoint({"a": torch.zeros(9000)}, {"step": 2}))
    assert load_checkpoint(path).run == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_disk_that_fills_up_keeps_the_last_model(data, tmp_path):
    run = train_model(data, replace(PLAN, steps=1), folder=tmp_path / "m")
    with full_disk(), pytest.raises(OutputError, match=r"must be writable"):
        save_model(tmp_path / "m", replace(run.model, networks=run.model.networks * 2))
    assert torch.equal(weights(load_model(tmp_path / "m")), weights(run.model))
    assert not list((tmp_path / "m").glob(".*.tmp"))


def test_a_disk_that_fills_up_with_prepared_cases_is_told(data, tmp_path):
    with full_disk(), pytest.raises(OutputError, match=r"must be written to 'x'"):
        load_cases(data, PLAN, make_head(PLAN), room=Room(tmp_path / "x", 0))


def test_a_training_whose_time_ends_between_two_looks_is_still_looked_at(data, tmp_path):
    plan = replace(PLAN, steps=5000)  # a look every hundred steps
    regime = Regime(seconds=2e-3, clock="cpu", save_every_s=1e9)
    run = train_model(data, plan, folder=tmp_path / "m", regime=regime)
    assert len(run.looks[0]) == 1
    assert run.looks[0][0].step >= 1


def test_refuses_a_time_that_is_over_at_once(data, tmp_path):
    with pytest.raises(ConfigError, match=r"the time must last for one step at least, 1e-09 s"):
        train_model(data, PLAN, folder=tmp_path / "m", regime=Regime(seconds=1e-9))
