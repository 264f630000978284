"""One case is measured and recorded; whatever goes wrong is a result."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cohort_cases import quick, quick_job, write_cohort, write_manifest, write_scan

import vesalius
from vesalius import io
from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError
from vesalius.measure import Config, extract, parse_config
from vesalius.study.cohort import Job, execute, read_manifest
from vesalius.study.cohort._code import MEASURING, measuring_code
from vesalius.study.cohort._execute import one_threaded, peak_of
from vesalius.study.cohort._job import prepare, prepare_all
from vesalius.study.cohort._journal import recall_case
from vesalius.study.cohort._runner import order_of, result_of


@pytest.fixture
def case(tmp_path):
    return read_manifest(write_cohort(tmp_path, 1)).cases[0]


@pytest.fixture
def journal(tmp_path):
    (tmp_path / "journal").mkdir()
    return tmp_path / "journal"


@pytest.fixture
def order(case, journal):
    return prepare(case, quick_job(), journal).order


def test_the_entry_is_what_extract_gives(case, journal, order):
    result = execute(order)
    assert (result.ended, result.cause, result.voxels) == ("done", "", 12**3)
    assert result.seconds > 0
    found = recall_case(journal, order.key)
    image = io.open(case.image).read()
    whole = extract(image, io.open_labels(case.labels), config=quick()).table
    assert found.table.column("value").to_pylist() == whole["value"].tolist()
    assert found.table.column("label").to_pylist() == whole["label"].tolist()
    assert set(found.table.column("subject").to_pylist()) == {""}


def test_memory_is_told_where_the_system_tells_it(order):
    assert (execute(order).peak_bytes > 1 << 20) == (sys.platform == "linux")
    assert peak_of(-1) == 0


def test_regions_and_names_are_chosen_by_the_manifest(tmp_path, journal):
    write_scan(tmp_path, "s", seed=1)
    header = ["subject", "image", "labels", "regions", "roi"]
    rows = [
        ["a", "s.nii.gz", "s_labels.nii.gz", 2, ""],
        ["b", "s.nii.gz", "s_labels.nii.gz", "", "tum.*"],
    ]
    cases = read_manifest(write_manifest(tmp_path, header, rows)).cases
    found = []
    for one in cases:
        ready = prepare(one, quick_job(), journal).order
        assert execute(ready).ended == "done"
        found.append(set(recall_case(journal, ready.key).table.column("label").to_pylist()))
    assert found == [{"node"}, {"tumour"}]


def test_an_order_and_a_result_come_back_from_their_line(order):
    order = replace(order, regions=(1, 2), roi='G"TV\n')
    assert "\n" not in order.to_text()
    assert order_of(order.to_text()) == order
    result = replace(execute(order), detail="x\ny")
    assert "\n" not in result.to_text()
    assert result_of(result.to_text()) == result


def test_a_typed_error_is_a_result(order):
    result = execute(replace(order, regions=(9,)))
    assert result.ended == "failed"
    assert result.cause.startswith("RegionError: label 9 must occur in the labels")


def test_an_unreadable_file_is_a_result(case, order):
    case.image.write_bytes(b"no scan")
    result = execute(order)
    assert result.ended == "failed"
    assert result.cause.startswith("FormatError: ")


def test_a_fault_of_the_program_is_a_result(order):
    result = execute(replace(order, config="{"))
    assert result.ended == "failed"
    assert result.cause.startswith("fault of the program, ValidationError")


def test_other_code_refuses_the_order(order):
    result = execute(replace(order, code="0123"))
    assert "a case must be measured by one code, 'P00' was ordered by 0123" in result.cause


def test_files_that_change_meanwhile_are_not_recorded(journal, order):
    result = execute(replace(order, stamp="0123"))
    assert "the files of 'P00' must stay as they are while they are measured" in result.cause
    assert recall_case(journal, order.key) is None


def test_a_case_none_of_whose_regions_can_be_measured_has_failed(tmp_path, journal):
    grid = Grid.from_spacing((6, 6, 6), (1.0, 1.0, 1.0))
    io.save(Image(torch.full((1, 6, 6, 6), float("nan")), grid, "HU"), tmp_path / "i.nii")
    io.save(Labels(torch.ones(1, 6, 6, 6, dtype=torch.uint8), grid), tmp_path / "l.nii")
    path = write_manifest(tmp_path, ["subject", "image", "labels"], [["a", "i.nii", "l.nii"]])
    ready = prepare(read_manifest(path).cases[0], quick_job(), journal).order
    result = execute(ready)
    assert (
        "a case must have a region that can be measured, 'a' has none; IntensityE" in result.cause
    )


@pytest.mark.parametrize("change", ["image", "labels", "config", "uncertainty", "roi", "unit"])
def test_whatever_decides_a_number_makes_another_key(tmp_path, case, journal, order, change):
    job = quick_job()
    if change in ("image", "labels"):
        write_scan(tmp_path, "other", seed=5)
        suffix = "_labels" if change == "labels" else ""
        name = "other_labels.nii.gz" if suffix else "other.nii.gz"
        if change == "labels":
            labels = io.open_labels(case.labels)
            data = labels.data.clone()
            data[0, 2, 2, 2] = 0
            io.save(Labels(data, labels.grid, labels.names), tmp_path / name)
        case = replace(case, **{change: tmp_path / name})
    elif change == "config":
        job = Job((parse_config("features: {families: [statistics]}\nmodality: CT"),))
    elif change == "uncertainty":
        job = quick_job(uncertainty=True)
    else:
        case = replace(case, **{change: "HU"})
    assert prepare(case, job, journal).order.key != order.key


def test_the_name_of_a_case_and_its_place_do_not_make_another_key(case, journal, order):
    other = replace(case, name="x", subject="x")
    case.image.rename(case.image.with_name("moved.nii.gz"))
    other = replace(other, image=case.image.with_name("moved.nii.gz"))
    assert prepare(other, quick_job(), journal).order.key == order.key


def test_how_the_work_is_done_does_not_make_another_key(case, journal, order):
    job = Job(
        (
            parse_config(
                "features: {families: [statistics]}\ncompute: {threads: 4}\nperturb: {count: 4}"
            ),
        )
    )
    ready = prepare(case, job, journal).order
    assert ready.key == order.key
    assert one_threaded(Config.model_validate_json(ready.config)).compute.threads == 1


def test_a_configuration_survives_the_order(order):
    assert Config.model_validate_json(order.config).digest == quick().digest


def test_absent_files_have_no_order(case, journal):
    found = prepare(replace(case, image=case.image.with_name("absent.nii")), quick_job(), journal)
    assert found.order is None
    assert found.cause == "FormatError: image 'absent.nii' is not there: check its path"


def test_cases_are_prepared_in_their_order(tmp_path, journal):
    cases = read_manifest(write_cohort(tmp_path, 7)).cases
    found = list(prepare_all(cases, quick_job(), journal))
    assert [one.case.name for one in found] == [case.name for case in cases]
    assert len({one.order.key for one in found}) == 7


def test_a_row_takes_the_configuration_of_its_modality(case):
    ct, pet = parse_config("modality: CT"), parse_config("modality: PET")
    job = Job((ct, pet))
    assert job.config_for(case) is ct
    assert job.config_for(replace(case, modality="PET")) is pet
    assert Job().config_for(replace(case, modality="CT")).digest == ct.digest
    assert Job().config_for(case).digest == Config().digest


def test_a_modality_without_configuration_is_refused(case):
    with pytest.raises(ConfigError, match="every modality must have a configuration, case 'P00'"):
        Job((parse_config("modality: CT"),)).config_for(replace(case, modality="MR"))


def test_two_configurations_of_one_modality_are_refused():
    with pytest.raises(ConfigError, match="several configurations must be of different modalities"):
        Job((Config(), quick()))


def test_the_hash_of_the_code_covers_every_room_that_measuring_imports():
    root = Path(vesalius.__file__).parent
    rooms = {name for name in MEASURING if "/" not in name} | {"study"}
    outside = set()
    for name in MEASURING:
        place = root / name
        assert place.exists()
        for path in place.rglob("*.py") if place.is_dir() else (place,):
            used = re.findall(r"^\s*from vesalius\.(\w+)", path.read_text(), re.MULTILINE)
            found = {room for room in used if (root / room).is_dir()} - rooms
            outside |= {(path.name, room) for room in found}
    # brain volumetry segments first; no case of a cohort passes through it
    assert outside <= {("_volumes.py", "segment")}
    assert len(measuring_code()) == 16
