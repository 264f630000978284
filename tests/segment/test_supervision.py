"""Supervision: discs learned from marks, from boxes, and with a teacher; resumed; refused."""

from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from vesalius import io
from vesalius.cli._main import app
from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError, FormatError, RegionError
from vesalius.learn import UNet, UNetPlan, losses
from vesalius.learn.augment import MICROSCOPY, VOLUME
from vesalius.segment._benchmark import seconds_per_step
from vesalius.segment._dataset import read_dataset
from vesalius.segment._fingerprint import fingerprint
from vesalius.segment._heads import make_head
from vesalius.segment._memory import needed_bytes
from vesalius.segment._plan import Normalisation, Plan
from vesalius.segment._planner import Budget, plan_training
from vesalius.segment._regime import Regime
from vesalius.segment._store import load_model, plan_from_json, plan_to_json
from vesalius.segment._supervision import (
    CONSISTENCY,
    SHARPNESS,
    Asked,
    check_supervision,
    draw_views,
    fitting,
)
from vesalius.segment._training import train_model
from vesalius.segment._training_cases import Room, load_cases, tag_planes

SIZE = 32
PLAN = Plan(
    "classes",
    {1: "disc"},
    ("light",),
    (1.0, 1.0, 1.0),
    (Normalisation("standardise"),),
    (1, SIZE, SIZE),
    UNetPlan(2, 1, 2, width=4, levels=3, ascent="pointwise"),
    batch=4,
    steps=60,
    learning_rate=1e-2,
    augment="none",
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def disc(seed, *, noise=0.3):
    """A picture of a bright disc, and where it is."""
    g = torch.Generator().manual_seed(seed)
    y, x = (8 + 16 * torch.rand(2, generator=g)).tolist()
    radius = 4 + 3 * float(torch.rand((), generator=g))
    i, j = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    inside = (i - y) ** 2 + (j - x) ** 2 <= radius**2
    return inside.float() + noise * torch.randn(SIZE, SIZE, generator=g), inside.to(torch.uint8)


def marks(inside, seed):
    """Two samples of the disc and twelve beside it; the rest is 2, not known."""
    g = torch.Generator().manual_seed(seed)
    out = torch.full_like(inside, 2)
    for value, count in ((1, 2), (0, 12)):
        at = (inside == value).nonzero()
        at = at[torch.randperm(len(at), generator=g)[:count]]
        out[at[:, 0], at[:, 1]] = value
    return out


def box(inside):
    """The filled bounding box."""
    at = inside.nonzero()
    (y0, x0), (y1, x1) = at.amin(0).tolist(), at.amax(0).tolist()
    out = torch.zeros_like(inside)
    out[y0 : y1 + 1, x0 : x1 + 1] = 1
    return out


def discs(root, kind, *, cases=12, unlabelled=0):
    """A data set whose last two cases have true labels, to be held out."""
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True, exist_ok=True)
    ignored = ', "ignore": 2' if kind == "scribbles" else ""
    (root / "dataset.json").write_text(f'{{"labels": {{"background": 0, "disc": 1{ignored}}}}}')
    grid = Grid.from_spacing((1, SIZE, SIZE), (1.0, 1.0, 1.0))
    chance = torch.Generator().manual_seed(cases)
    for i in range(cases + unlabelled):
        data, inside = disc(i)
        if kind == "tags" and i % 2 and i < cases - 2:  # no disc, and no trace of one
            data, inside = 0.3 * torch.randn(data.shape, generator=chance), 0 * inside
        name = f"case_{i:02d}.nii.gz"
        io.save(Image(data[None, None], grid), root / "images" / name)
        if i >= cases:
            continue
        weak = marks(inside, i) if kind == "scribbles" else inside
        weak = box(inside) if kind == "boxes" else weak
        truth = inside if i >= cases - 2 else weak
        io.save(Labels(truth[None, None], grid), root / "labels" / name)
    return read_dataset(root)


def held(cases=12):
    return Regime(hold_out=(f"case_{cases - 2:02d}", f"case_{cases - 1:02d}"))


LONG = replace(PLAN, steps=120, augment="microscopy")


def test_learns_discs_from_some_strokes(tmp_path):
    data = discs(tmp_path / "data", "scribbles")
    plan = replace(LONG, supervision="scribbles")
    run = train_model(data, plan, folder=tmp_path / "m", regime=held())
    assert run.looks[0][-1].score > 0.9
    assert "The labels are scribbles" in run.remarks[0]
    assert "10 cases of data labelled by scribbles." in run.model.card.data


def test_learns_discs_from_boxes_better_than_by_taking_them_for_discs(tmp_path):
    data = discs(tmp_path / "data", "boxes")
    scores = []
    for kind in ("boxes", "full"):
        plan = replace(LONG, supervision=kind)
        run = train_model(data, plan, folder=tmp_path / kind, regime=held())
        scores.append(run.looks[0][-1].score)
    assert scores[0] > 0.9
    assert scores[0] > scores[1] + 0.03


def test_learns_discs_from_which_pictures_have_one(tmp_path):
    """Where they are is never told: one voxel of the truth would do."""
    data = discs(tmp_path / "data", "tags", cases=18)
    plan = replace(LONG, supervision="tags")
    run = train_model(data, plan, folder=tmp_path / "m", regime=held(18))
    assert run.looks[0][-1].score > 0.6


def test_learns_discs_with_a_teacher_and_says_from_what(tmp_path):
    data = discs(tmp_path / "data", "full", cases=4, unlabelled=8)
    plan = replace(LONG, steps=60, consistency=5.0)
    run = train_model(data, plan, folder=tmp_path / "m", regime=held(4))
    assert run.looks[0][-1].score > 0.8
    assert run.splits[0].trained == ("case_00", "case_01")
    assert run.splits[0].unlabelled == tuple(f"case_{i:02d}" for i in range(4, 12))
    assert "2 cases of data, and 8 without labels." in run.model.card.data


def test_cases_without_labels_do_not_count_without_a_teacher(tmp_path):
    data = discs(tmp_path / "data", "full", cases=4, unlabelled=2)
    few = data.only(tuple(case.name for case in data.labelled))
    plan = replace(PLAN, steps=3)
    runs = [train_model(d, plan, folder=tmp_path / "m", regime=held(4)) for d in (data, few)]
    assert runs[0].splits[0].unlabelled == ()
    assert torch.equal(weights(runs[0].model), weights(runs[1].model))


def weights(model):
    return torch.cat([p.detach().flatten() for n in model.networks for p in n.parameters()])


@pytest.mark.parametrize("kind", ["scribbles", "boxes", "tags", "full"])
def test_goes_on_exactly_where_it_was_stopped(kind, tmp_path):
    """The full labels with a teacher, whose memory must come back as well."""
    teacher = kind == "full"
    data = discs(tmp_path / "data", kind, cases=4, unlabelled=3 * teacher)
    plan = replace(LONG, steps=6, supervision=kind, consistency=5.0 * teacher)
    regime = replace(held(4), save_every_s=1e-9)

    def stop(step):
        if step.what.startswith("train: loss") and step.done == 4:
            raise KeyboardInterrupt

    whole = train_model(data, plan, folder=tmp_path / "whole", regime=regime)
    with pytest.raises(KeyboardInterrupt):
        train_model(data, plan, folder=tmp_path / "cut", regime=regime, on_step=stop)
    again = train_model(data, plan, folder=tmp_path / "cut", regime=regime, resume=True)
    assert torch.equal(weights(again.model), weights(whole.model))


def test_refuses_to_resume_with_other_images_without_labels(tmp_path):
    data = discs(tmp_path / "data", "full", cases=4, unlabelled=3)
    plan = replace(LONG, steps=6, consistency=5.0)

    def stop(step):
        if step.what.startswith("train: loss"):
            raise KeyboardInterrupt

    regime = replace(held(4), save_every_s=1e-9)
    with pytest.raises(KeyboardInterrupt):
        train_model(data, plan, folder=tmp_path / "m", regime=regime, on_step=stop)
    with pytest.raises(ConfigError, match="cases differ from the checkpoint"):
        train_model(
            data.without(("case_05",)), plan, folder=tmp_path / "m", regime=regime, resume=True
        )


def batch(seed=0, n=2):
    """Data, classes, weight; what student and teacher see, and its weight."""
    g = torch.Generator().manual_seed(seed)
    target = torch.zeros(n, 1, 16, 16)
    target[..., 4:10, 5:12] = 1.0
    data, seen, plain = (torch.randn(n, 1, 16, 16, generator=g) for _ in range(3))
    return data, target, torch.ones_like(target), seen, plain, torch.ones_like(target)


def networks():
    """A student and a teacher of other weights that has no gradient."""
    plan = UNetPlan(2, 1, 2, width=2, levels=2)
    student, teacher = (UNet(plan, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    return student, teacher.requires_grad_(requires_grad=False)


@pytest.mark.parametrize(("done", "share"), [(0.0, 0.006737947), (0.4, 1.0), (1.0, 1.0)])
def test_a_teacher_adds_its_agreement_more_and_more(done, share):
    student, teacher = networks()
    asked = Asked(replace(PLAN, consistency=3.0), make_head(PLAN))
    parts = batch()
    found = asked.taught(student, teacher, parts, done)
    apart = losses.consistency(student(parts[3]), teacher(parts[4]), parts[5])
    expected = asked.alone(student, parts[:3]) + 3.0 * share * apart
    torch.testing.assert_close(found, expected)


def test_where_an_image_ends_nothing_is_agreed_on():
    student, teacher = networks()
    asked = Asked(replace(PLAN, consistency=3.0), make_head(PLAN))
    *parts, there = batch()
    alone = asked.alone(student, tuple(parts[:3]))
    found = asked.taught(student, teacher, (*parts, 0 * there), 1.0)
    torch.testing.assert_close(found, alone)


def test_the_loss_of_boxes_is_that_of_boxes_and_of_like_neighbours_about_them():
    student, _ = networks()
    data, target, one = batch()[:3]
    plan = replace(PLAN, supervision="boxes")
    found = Asked(plan, make_head(plan)).alone(student, (data, target, one))
    near = torch.zeros_like(one)
    near[..., 2:12, 3:14] = 1.0
    y = student(data)
    expected = losses.boxes(y, target.long(), one) + losses.affinity(y, data, near)
    torch.testing.assert_close(found, expected)


def test_only_whether_a_class_occurs_counts_as_a_tag():
    student, _ = networks()
    plan = replace(PLAN, supervision="tags")
    data, target, one = batch()[:3]
    labels = torch.zeros(2, 5, 6, dtype=torch.int32)
    labels[1, 2, 3] = 4
    planes = tag_planes(labels, (1, 4))
    assert planes.shape == (2, 2, 5, 6)
    assert planes.amin((1, 2, 3)).tolist() == planes.amax((1, 2, 3)).tolist() == [0.0, 1.0]
    y = student(data)
    for planes in (target, target.amax((2, 3), keepdim=True).expand_as(target)):
        found = Asked(plan, make_head(plan)).alone(student, (data, planes, one))
        held_there = torch.ones(2, 1, dtype=torch.bool)
        torch.testing.assert_close(found, losses.image_tags(y, held_there, sharpness=SHARPNESS))


def test_a_plan_of_tags_sees_cases_whole(tmp_path):
    plan = planned(discs(tmp_path, "tags", cases=4), supervision="tags")
    assert plan.patch == (1, SIZE, SIZE)
    assert "a tag is of a case" in plan.reasons["patch"]


def test_views_are_moved_alike_and_drawn_alike(tmp_path):
    data = discs(tmp_path / "data", "full", cases=0, unlabelled=2)
    plan = replace(PLAN, patch=(1, 40, 40))
    cases = load_cases(data, plan, make_head(plan), room=Room(tmp_path, 1 << 30))
    draws = [
        draw_views(cases, plan, VOLUME, margin=0.1, generator=torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    ]
    assert all(torch.equal(a, b) for a, b in zip(draws[0], draws[1], strict=True))
    assert not torch.equal(draws[0][0], draws[2][0])
    seen, plain, there = draws[0]
    assert seen.shape == plain.shape == there.shape == (4, 1, 40, 40)
    assert not torch.equal(seen, plain)
    for one, other in zip(seen, plain, strict=True):
        assert float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]) > 0.6
    assert 0.4 < float(there.mean()) < 0.95  # the picture is smaller than the patch
    assert float((plain[there == 0] == 0).float().mean()) > 0.8  # the rest is interpolated


def test_boxes_are_not_turned_and_all_else_is():
    boxes = fitting(MICROSCOPY, replace(PLAN, supervision="boxes"))
    assert boxes.motion.share_rotated == 0
    assert boxes.motion.share_bent == 0
    assert boxes.motion.flips == MICROSCOPY.motion.flips
    assert fitting(MICROSCOPY, replace(PLAN, supervision="scribbles")) == MICROSCOPY


def planned(data, **asked):
    return plan_training(fingerprint(data), Budget(steps=5, **asked), measure=seconds_per_step)


@pytest.mark.parametrize("kind", ["scribbles", "boxes", "tags"])
def test_a_plan_says_what_the_labels_are(kind, tmp_path):
    plan = planned(discs(tmp_path, kind, cases=4), supervision=kind)
    assert plan.supervision == kind
    assert plan.reasons["supervision"].startswith(f"{kind}, as asked for: ")
    assert plan.consistency == 0
    assert plan_from_json(plan_to_json(plan)) == plan


def test_a_plan_says_that_there_is_a_teacher_and_counts_its_cost(tmp_path):
    plan = planned(discs(tmp_path, "full", cases=3, unlabelled=2), unlabelled=True)
    assert plan.consistency == CONSISTENCY
    assert "agree on 2 cases without labels" in plan.reasons["consistency"]
    assert "supervision" not in plan.reasons
    twice = replace(plan, consistency=0.0, batch=2 * plan.batch)
    assert needed_bytes(plan) == needed_bytes(twice)
    assert seconds_per_step(replace(plan, patch=(1, 16, 16))) > 0


def test_refuses_marks_that_leave_nothing_unknown(tmp_path):
    with pytest.raises(RegionError, match="marks must leave voxels that are not known"):
        planned(discs(tmp_path, "full", cases=3), supervision="scribbles")


def test_refuses_marks_without_background(tmp_path):
    data = discs(tmp_path, "scribbles", cases=2)
    found = fingerprint(data)
    bare = tuple(replace(case, counts={-1: 900, 1: 5}) for case in found.cases)
    with pytest.raises(RegionError, match="marks must show the background, too"):
        plan_training(
            replace(found, cases=bare),
            Budget(steps=5, supervision="scribbles"),
            measure=seconds_per_step,
        )


def test_refuses_tags_that_all_cases_share(tmp_path):
    with pytest.raises(RegionError, match="tags must tell cases apart, class 1 is in 3 of 3"):
        planned(discs(tmp_path, "full", cases=3), supervision="tags")


def test_refuses_a_teacher_without_images_to_teach_on(tmp_path):
    data = discs(tmp_path / "data", "full", cases=3)
    with pytest.raises(ConfigError, match="mean teacher needs cases without labels"):
        planned(data, unlabelled=True)
    with pytest.raises(ConfigError, match="mean teacher needs cases without labels"):
        train_model(data, replace(PLAN, consistency=1.0), folder=tmp_path / "m")


def test_refuses_objects_from_boxes_or_with_a_teacher():
    flows = replace(PLAN, head="flows")
    with pytest.raises(ConfigError, match="only classes are learned from boxes, the plan is for f"):
        check_supervision(replace(flows, supervision="boxes"))
    with pytest.raises(ConfigError, match="learned from cases without labels, the plan is for fl"):
        check_supervision(replace(flows, consistency=1.0))
    check_supervision(flows)


def test_refuses_a_negative_strength():
    with pytest.raises(ConfigError, match="must be 0 or more, got -1"):
        check_supervision(replace(PLAN, consistency=-1.0))


def test_a_folder_of_its_own_holds_images_without_labels(tmp_path):
    data = discs(tmp_path, "full", cases=3)
    (tmp_path / "imagesUn").mkdir()
    other = tmp_path / "imagesUn" / "more_0000.nii.gz"
    other.write_bytes(data.cases[0].images[0].read_bytes())
    found = read_dataset(tmp_path)
    assert [case.name for case in found.unlabelled] == ["more"]
    assert found.case("more").images == (other,)
    assert len(found.labelled) == 3


def test_refuses_an_image_that_is_there_twice(tmp_path):
    data = discs(tmp_path, "full", cases=3)
    (tmp_path / "unlabelled").mkdir()
    (tmp_path / "unlabelled" / "case_01.nii.gz").write_bytes(data.cases[1].images[0].read_bytes())
    with pytest.raises(FormatError, match="'case_01' is in unlabelled/ as well"):
        read_dataset(tmp_path)


def test_the_command_asks_for_them(tmp_path):
    discs(tmp_path / "data", "full", cases=3, unlabelled=2)
    words = ["train", "run", str(tmp_path / "data"), "-o", str(tmp_path / "m"), "--steps", "1"]
    done = CliRunner().invoke(app, [*words, "--unlabelled", "-q"])
    assert done.exit_code == 0, done.output
    assert load_model(tmp_path / "m").plan.consistency == CONSISTENCY
    words[1:5] = ["plan", str(tmp_path / "data")]
    done = CliRunner().invoke(app, [*words, "--supervision", "scribbles", "-q"])
    assert done.exit_code == 1
    assert isinstance(done.exception, RegionError)
