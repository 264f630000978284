"""A dry run says what would be done and cost, and writes nothing."""

import pytest
from cohort_cases import Here, quick_job, write_cohort, write_manifest

from vesalius.errors import FormatError
from vesalius.study.cohort import plan_cohort, read_manifest, run_cohort
from vesalius.study.cohort._estimate import estimate
from vesalius.study.cohort._state import Cost


@pytest.fixture
def manifest(tmp_path):
    return read_manifest(write_cohort(tmp_path, 3))


def test_nothing_is_written(manifest, tmp_path):
    plan_cohort(manifest, tmp_path / "out", job=quick_job())
    assert not (tmp_path / "out").exists()


def test_sizes_come_from_headers(manifest, tmp_path):
    plans = plan_cohort(manifest, tmp_path / "out", job=quick_job())
    assert [plan.case.name for plan in plans] == ["P00", "P01", "P02"]
    assert {plan.voxels for plan in plans} == {12**3}
    assert all(plan.seconds > 0 and plan.peak_bytes > 1 << 20 for plan in plans)
    assert not any(plan.cached or plan.learned or plan.cause for plan in plans)


def test_measured_cases_are_known_and_teach_the_rest(manifest, tmp_path):
    run_cohort(manifest, tmp_path / "out", job=quick_job(), runner=Here())
    assert all(plan.cached for plan in plan_cohort(manifest, tmp_path / "out", job=quick_job()))
    more = read_manifest(write_cohort(tmp_path, 4))
    *known, new = plan_cohort(more, tmp_path / "out", job=quick_job())
    assert all(plan.cached and not plan.seconds for plan in known)
    assert not new.cached
    assert new.learned


def test_what_would_fail_is_told_with_its_cause(tmp_path):
    path = write_cohort(tmp_path, 3)
    (tmp_path / "scan0_labels.nii.gz").unlink()
    (tmp_path / "scan1.nii.gz").write_bytes(b"broken")
    plans = plan_cohort(read_manifest(path), tmp_path / "out", job=quick_job())
    assert plans[0].cause == "labels 'scan0_labels.nii.gz' is not there"
    assert plans[1].cause
    assert not plans[2].cause


def test_a_cohort_without_any_file_is_refused(tmp_path):
    path = write_manifest(tmp_path, ["subject", "image", "labels"], [["a", "i", "l"]])
    with pytest.raises(FormatError, match="at least one case of a manifest must have its files"):
        plan_cohort(read_manifest(path), tmp_path / "out", job=quick_job())


def test_error_bars_cost_as_many_measurements():
    plain, _ = estimate(10**6, ())
    barred, _ = estimate(10**6, (), repeats=32)
    assert 10 * plain < barred <= 33 * plain


def test_a_case_like_those_before_costs_what_they_did():
    costs = tuple(Cost(10**6, seconds, 700 << 20) for seconds in (1.0, 2.0, 9.0))
    seconds, peak = estimate(10**6, costs)
    assert seconds == pytest.approx(2.0)
    assert peak == pytest.approx(700 << 20, rel=1e-6)


def test_a_larger_case_costs_more():
    costs = (Cost(10**6, 2.0, 700 << 20),)
    assert estimate(10**7, costs)[0] > 5 * estimate(10**6, costs)[0]
    assert estimate(10**7, costs)[1] > estimate(10**6, costs)[1]


def test_unknown_memory_is_taken_from_the_plain_model():
    assert estimate(10**6, (Cost(10**6, 2.0, 0),))[1] == estimate(10**6, ())[1]
