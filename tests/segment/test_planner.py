"""Fingerprint and plan: what a data set is like, what is decided, and why."""

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_cases import make_case, make_dataset

from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError, FormatError, RegionError
from vesalius.segment._benchmark import seconds_per_step
from vesalius.segment._dataset import read_dataset
from vesalius.segment._fingerprint import fingerprint, fingerprint_from_json
from vesalius.segment._heads import make_head
from vesalius.segment._memory import SPARE, needed_bytes
from vesalius.segment._planner import Budget, plan_training
from vesalius.segment._store import plan_to_json
from vesalius.segment._training_cases import label_counts


def fast(plan):
    """A machine on which a step costs by the squared width."""
    return 0.0004 * plan.network.width**2


@pytest.fixture
def seen(tmp_path):
    return fingerprint(read_dataset(make_dataset(tmp_path, cases=3, told=True)))


def test_counts_what_is_there(seen):
    image, labels = make_case(0)
    first = seen.cases[0]
    assert first.shape == image.grid.shape
    assert first.spacing_mm == pytest.approx((1.5, 1, 1))
    assert first.counts == {v: int((labels.data == v).sum()) for v in (0, 1, 2)}
    assert first.objects == {1: 1, 2: 1}
    assert seen.names == {1: "bright", 2: "dark"}
    assert sum(seen.frequencies.values()) == pytest.approx(1)
    assert seen.task == "classes"
    assert seen.channels[0].name == "T1"
    assert seen.channels[0].kind == "scan"
    assert not seen.faults


def test_survives_json(seen):
    assert fingerprint_from_json(json.loads(json.dumps(seen.to_json()))) == seen


def test_refuses_half_a_fingerprint():
    with pytest.raises(FormatError, match=r"a fingerprint must be as vesalius train"):
        fingerprint_from_json({"dataset": "x"})


def test_names_the_case_and_its_fault_and_goes_on(tmp_path):
    make_dataset(tmp_path, cases=3)
    image, _ = make_case(1)
    io.save(Image(image.data * float("nan"), image.grid), tmp_path / "images" / "case_1.nii.gz")
    found = fingerprint(read_dataset(tmp_path))
    assert [case.name for case in found.cases] == ["case_0", "case_2"]
    (fault,) = found.faults
    assert (fault.case, fault.kind) == ("case_1", "IntensityError")


def test_a_case_with_other_channels_is_a_fault(tmp_path):
    make_dataset(tmp_path, cases=2)
    image, _ = make_case(1)
    (tmp_path / "images" / "case_1.nii.gz").unlink()
    for i in range(2):
        io.save(image, tmp_path / "images" / f"case_1_000{i}.nii.gz")
    (fault,) = fingerprint(read_dataset(tmp_path)).faults
    assert "it has 2, the others 1" in fault.text


def test_labels_that_mark_nothing_are_a_fault_and_are_not_planned_for(tmp_path):
    make_dataset(tmp_path, cases=1)
    _, labels = make_case(0)
    io.save(Labels(labels.data * 0, labels.grid), tmp_path / "labels" / "case_0.nii.gz")
    found = fingerprint(read_dataset(tmp_path))
    assert "every case is empty" in found.faults[0].text
    with pytest.raises(RegionError, match=r"must have labelled voxels"):
        plan_training(found, Budget(), measure=fast)


def test_hounsfield_units_are_known_by_air_and_bone(tmp_path):
    make_dataset(tmp_path, cases=2)
    for i in range(2):
        image, _ = make_case(i)
        data = image.data * 400
        data[..., 0] = -1000
        io.save(Image(data, image.grid), tmp_path / "images" / f"case_{i}.nii.gz")
    found = fingerprint(read_dataset(tmp_path))
    assert found.channels[0].kind == "CT"
    (how,) = plan_training(found, Budget(), measure=fast).normalisation
    assert how.scheme == "clip and standardise"
    assert how.low < how.mean < how.high


def nuclei(root, *, cases=3):
    """Pictures with squares, numbered from 1, another number in each."""
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    for i in range(cases):
        labels = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
        for k in range(5 + i):
            labels[0, 0, 12 * (k % 5) : 12 * (k % 5) + 9, 20 * (k // 5) : 20 * (k // 5) + 9] = k + 1
        grid = Grid.from_spacing((1, 64, 64))
        io.save(Image((labels > 0).to(torch.uint8) * 99, grid), root / "images" / f"a{i}.png")
        io.save(Labels(labels, grid), root / "labels" / f"a{i}.png")
    return root


def test_numbers_of_objects_are_known_and_learned_by_flows(tmp_path):
    found = fingerprint(read_dataset(nuclei(tmp_path / "n")))
    assert found.task == "objects"
    assert found.names == {1: "object"}
    assert found.channels[0].kind == "picture"
    assert found.diameter == pytest.approx(2 * (81 / torch.pi) ** 0.5)
    plan = plan_training(found, Budget(), measure=fast)
    assert plan.head == "flows"
    assert plan.dims == 2
    assert plan.diameter > 0
    assert plan.augment == "microscopy"
    assert plan.network.outputs == make_head(plan).outputs == 3


def test_the_same_question_has_the_same_answer(seen):
    one, two = (plan_training(seen, Budget(), measure=fast) for _ in range(2))
    assert json.dumps(plan_to_json(one)) == json.dumps(plan_to_json(two))
    for choice in ("head", "spacing_mm", "patch", "batch", "width", "steps", "augment"):
        assert one.reasons[choice]


def test_more_minutes_make_a_wider_network_and_more_steps(seen):
    plans = [plan_training(seen, Budget(minutes=m), measure=fast) for m in (2, 20, 200)]
    assert [p.network.width for p in plans] == sorted(p.network.width for p in plans)
    assert plans[0].network.width < plans[-1].network.width
    spent = [p.steps * fast(p) for p in plans]
    assert all(s <= 60 * m for s, m in zip(spent, (2, 20, 200), strict=True))


def test_fixed_steps_measure_nothing(seen):
    def never(plan):
        raise AssertionError

    assert plan_training(seen, Budget(steps=7), measure=never).steps == 7


def test_the_faster_precision_is_taken(seen):
    def half(plan):
        return fast(plan) * (0.5 if plan.precision == "bfloat16" else 1)

    assert plan_training(seen, Budget(), measure=half).precision == "bfloat16"
    assert plan_training(seen, Budget(), measure=fast).precision == "float32"


def test_a_plan_fits_the_memory_it_is_given(seen):
    free = plan_training(seen, Budget(), measure=fast)
    ram = 1.2 * needed_bytes(free) / 2**30
    tight = plan_training(seen, Budget(ram_gb=ram), measure=fast)
    assert needed_bytes(tight) * SPARE <= ram * 2**30
    assert "memory is short" in tight.reasons["memory"]


def test_the_hippocampus_gets_the_plan_of_nnunet(seen):
    # MSD Task04: 260 cases of 1 mm, median 36 x 50 x 35
    one = replace(seen.cases[0], shape=(36, 50, 35), crop=(36, 50, 35), spacing_mm=(1.0, 1.0, 1.0))
    many = tuple(replace(one, name=str(i)) for i in range(260))
    found = seen
    plan = plan_training(replace(found, cases=many), Budget(kind="nnunet"), measure=fast)
    assert plan.patch == (40, 56, 40)
    assert plan.batch == 9
    assert plan.network.strides == ((2, 2, 2),) * 3
    assert plan.network.widths == (32, 64, 128, 256)
    assert plan.spacing_mm == (1.0, 1.0, 1.0)
    assert plan.optimiser == "sgd"
    assert plan.steps == 250_000


@pytest.mark.parametrize("words", [{"minutes": 0.0}, {"ram_gb": -1.0}, {"steps": -1}])
def test_refuses_a_budget_of_nothing(words):
    with pytest.raises(ConfigError, match=r"minutes and ram_gb must be positive"):
        Budget(**words)


def test_a_step_takes_some_time(seen):
    plan = plan_training(seen, Budget(steps=1), measure=fast)
    plan = replace(plan, batch=1, patch=(4, 4, 4), network=replace(plan.network, width=2))
    assert 0 < seconds_per_step(plan) < 60


def test_pictures_among_volumes_are_faults(tmp_path):
    root = make_dataset(tmp_path / "d", cases=2)
    image, labels = make_case(7, shape=(1, 16, 14))
    io.save(image, root / "images" / "flat.nii.gz")
    io.save(labels, root / "labels" / "flat.nii.gz")
    found = fingerprint(read_dataset(root))
    assert [fault.case for fault in found.faults] == ["flat"]
    assert "it is 2-D, 2 others are volumes" in found.faults[0].text


def test_label_values_may_be_large_but_not_too_large(tmp_path):
    root = make_dataset(tmp_path / "d", cases=2)
    for i, value in enumerate((1 << 30, (1 << 30) + 1)):
        labels = make_case(i)[1]
        data = torch.where(labels.data == 2, value, labels.data.to(torch.int32))
        io.save(Labels(data, labels.grid), root / "labels" / f"case_{i}.nii.gz")
    found = fingerprint(read_dataset(root))
    assert found.cases[0].counts[1 << 30] == int((make_case(0)[1].data == 2).sum())
    assert "labels must be at most 1073741824, got 1073741825" in found.faults[0].text


@given(st.lists(st.integers(-1, 2**30), max_size=30))
def test_voxels_of_labels_are_counted_whatever_their_numbers(values):
    found, counts = label_counts(torch.tensor(values, dtype=torch.int32))
    told = Counter(values)
    assert dict(zip(found.tolist(), counts.tolist(), strict=True)) == told
    assert found.tolist() == sorted(told)
