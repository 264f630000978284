"""A run measures each region once, and names everything it did."""

import dataclasses
import json

import pytest
import torch

from vesalius.core import Grid, Image, Labels, hash_samples
from vesalius.errors import GeometryError, OutputError, RegionError, ShapeError
from vesalius.measure import extract
from vesalius.study import Task, measure_part, open_folder, plan, run_measure, write_study


def test_plan_gives_the_volume_of_each_region(scan):
    _, labels = scan
    left, right = plan(labels)
    assert (left.name, left.value, left.voxels, left.volume_mm3) == ("left", 3, 180, 360.0)
    assert plan(labels, (5,)) == (right,)


def test_plan_refuses_an_absent_label_and_lists_those_there(scan):
    with pytest.raises(RegionError, match=r"label 4 must occur in the labels.*there: 3, 5"):
        plan(scan[1], (4,))


def test_plan_refuses_empty_labels(scan):
    labels = scan[1]
    with pytest.raises(RegionError, match="labels must hold at least one region"):
        plan(Labels(torch.zeros_like(labels.data), labels.grid))


def test_equal_names_in_two_layers_are_told_apart(scan):
    labels = scan[1]
    two = Labels(torch.cat([labels.data, labels.data]), labels.grid)
    names = [region.name for region in plan(two)]
    assert names == ["label 3 (0:3)", "label 5 (0:5)", "label 3 (1:3)", "label 5 (1:5)"]


def test_the_part_is_what_extract_gives(scan, quick, tmp_path):
    image, labels = scan
    part = measure_part(image, labels, Task(quick), journal=tmp_path)
    whole = extract(image, labels, config=quick)
    assert part.table["value"].tolist() == pytest.approx(whole.table["value"].tolist(), nan_ok=True)
    assert part.table["mask_hash"].nunique() == 2
    assert part.table["image_hash"].tolist() == whole.table["image_hash"].tolist()


def test_a_second_run_measures_nothing_again(scan, quick, tmp_path):
    image, labels = scan
    first = measure_part(image, labels, Task(quick), journal=tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    second = measure_part(image, labels, Task(quick), journal=tmp_path)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert first.table.equals(second.table)


@pytest.mark.parametrize("change", ["image", "mask", "config", "subject", "unit"])
def test_whatever_decides_a_number_makes_a_new_entry(scan, quick, tmp_path, change):
    image, labels = scan
    task = Task(quick, regions=(3,))
    measure_part(image, labels, task, journal=tmp_path)
    if change == "image":
        image = image.map(lambda x: x + 1)
    elif change == "unit":
        image = Image(image.data, image.grid, "SUV")
    elif change == "mask":
        data = labels.data.clone()
        data[0, 3, 4, 3] = 0
        labels = Labels(data, labels.grid, labels.names)
    elif change == "config":
        task = dataclasses.replace(task, config=quick.model_copy(update={"modality": "CT"}))
    else:
        task = dataclasses.replace(task, subject="other")
    measure_part(image, labels, task, journal=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_error_bars_are_counted_by_region(scan, quick, tmp_path):
    part = measure_part(*scan, Task(quick, uncertainty=True), journal=tmp_path)
    assert part.perturbations == {"left": 4, "right": 4}
    assert part.table["perturb_sd"].notna().any()


def test_steps_are_told_in_order(scan, quick, tmp_path):
    steps = []
    measure_part(*scan, Task(quick), journal=tmp_path, on_step=steps.append)
    assert [(s.what, s.done, s.total) for s in steps] == [
        ("left", 0, 2),
        ("right", 1, 2),
        ("regions", 2, 2),
    ]


def test_batches_of_perturbations_are_told_as_pieces_of_the_whole(scan, quick, tmp_path):
    steps = []
    task = Task(quick, uncertainty=True)
    measure_part(*scan, task, journal=tmp_path, on_step=steps.append)
    assert [(s.what, s.done, s.total) for s in steps] == [
        ("left", 0, 10),
        ("left, 4 of 4 perturbed", 4, 10),
        ("right", 5, 10),
        ("right, 4 of 4 perturbed", 9, 10),
        ("regions", 10, 10),
    ]


def test_an_image_is_hashed_once(scan, quick, tmp_path, monkeypatch):
    from vesalius.measure import _measurement

    sizes = []

    def counted(data, affine):
        sizes.append(data.numel())
        return hash_samples(data, affine)

    monkeypatch.setattr(_measurement, "hash_samples", counted)
    measure_part(*scan, Task(quick), journal=tmp_path)
    assert sizes.count(scan[0].data.numel()) == 1


def test_a_region_that_fails_stops_no_other(scan, quick, tmp_path):
    image, labels = scan
    image.data[labels.data == 3] = torch.nan
    part = measure_part(image, labels, Task(quick), journal=tmp_path)
    assert list(part.failures) == ["left"]
    assert set(part.table["label"]) == {"right"}


def test_when_all_regions_fail_the_report_is_written(scan, quick, tmp_path):
    image, labels = scan
    outcome = run_measure(image.map(lambda x: x * torch.nan), labels, tmp_path, task=Task(quick))
    assert not outcome.complete
    assert len(json.loads((tmp_path / "report.json").read_text())["errors"]) == 2


def test_grids_that_differ_are_refused(scan, quick, tmp_path):
    image, labels = scan
    other = Labels(labels.data, Grid.from_spacing(labels.grid.shape, (2.5, 1.0, 1.0)))
    with pytest.raises(GeometryError, match=r"spacing differs by up to 0\.5 mm.*--on-mismatch"):
        measure_part(image, other, Task(quick), journal=tmp_path)


def test_several_channels_are_refused(scan, quick, tmp_path):
    image, labels = scan
    two = Image(torch.cat([image.data, image.data]), image.grid)
    with pytest.raises(ShapeError, match="one channel"):
        measure_part(two, labels, Task(quick), journal=tmp_path)


def test_what_is_written_follows_the_configuration(scan, quick, tmp_path):
    output = quick.output.model_copy(update={"csv": False, "report": False, "wide": True})
    task = Task(quick.model_copy(update={"output": output}))
    outcome = run_measure(*scan, tmp_path, task=task)
    assert set(outcome.files) == {"features.parquet", "features_wide.csv", "provenance.json"}
    assert all((tmp_path / name).exists() for name in outcome.files)


def test_maps_are_written_where_they_are_asked_for(scan, quick, tmp_path):
    maps = quick.maps.model_copy(update={"features": ("stat_mean", "cm_contrast_3D_avg")})
    image, labels = scan
    two = Labels(torch.cat([labels.data, labels.data]), labels.grid, {(0, 3): "left lung"})
    task = Task(quick.model_copy(update={"maps": maps}), regions=(3,))
    outcome = run_measure(image, two, tmp_path, task=task)
    assert [name for name in outcome.files if name.startswith("maps/")] == [
        "maps/left_lung_3_stat_mean.nii.gz",
        "maps/left_lung_3_cm_contrast_3D_avg.nii.gz",
        "maps/label_3_1_3_stat_mean.nii.gz",
        "maps/label_3_1_3_cm_contrast_3D_avg.nii.gz",
    ]
    before = {name: (tmp_path / name).read_bytes() for name in outcome.files}
    assert run_measure(image, two, tmp_path, task=task).files == outcome.files
    assert before == {name: (tmp_path / name).read_bytes() for name in outcome.files}


def test_provenance_names_inputs_by_content(scan, quick, tmp_path):
    outcome = run_measure(*scan, tmp_path, task=Task(quick))
    record = json.loads((tmp_path / "provenance.json").read_text())
    assert set(record["inputs"]) == {"image", "labels"}
    assert outcome.parts[0].table["image_hash"][0] == record["inputs"]["image"]
    assert "threads" not in json.dumps(record)


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="output folder must be writable, 'out' cannot be made"):
        open_folder(tmp_path / "out")


def test_a_folder_of_figures_that_cannot_be_made_is_refused(scan, quick, tmp_path):
    outcome = run_measure(*scan, tmp_path / "a", task=Task(quick))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "figures").write_text("")
    with pytest.raises(OutputError, match="output folder 'figures' must be writable"):
        write_study(tmp_path / "b", outcome.report, outcome.parts)
