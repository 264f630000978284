"""Similar cases from file to file: which are compared, what is written, what a page shows."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError, RegionError
from vesalius.io import save
from vesalius.io.tables import read_rows, write_parquet
from vesalius.predict import Description
from vesalius.predict.retrieve import Likeness
from vesalius.study.predict import Columns, SimilarJob, run_similar, write_similar

ROLES = Description(outcome="response")


def frame(count=30, seed=0):
    rng = np.random.default_rng(seed)
    columns = {"case": [f"p{k:02d}" for k in range(count)]}
    columns |= {"response": (np.arange(count) % 3 == 0).astype(int)}
    columns |= {f"glcm_{j}": rng.normal(size=count) for j in range(6)}
    return pd.DataFrame(columns)


@pytest.fixture
def table(tmp_path):
    frame().to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def cohort(folder, *, pictures=True, subjects=12):
    """Write what a cohort of two visits and two regions a subject leaves behind."""
    out = folder / "OUT"
    out.mkdir()
    rng = np.random.default_rng(1)
    rows, manifest = [], []
    for k in range(subjects):
        subject = f"s{k // 2:02d}"
        case = f"{subject}_v{k % 2}"
        manifest.append(
            {"case": case, "subject": subject, "image": f"{case}.nii", "labels": f"{case}_l.nii"}
        )
        if pictures:
            _pictures(folder, case, rng)
        rows += [
            {"case": case, "subject": subject, "session": f"v{k % 2}", "role": "", "label": label}
            | {"config_hash": "abc", "reason": "", "stage": k % 3}
            | {f"f{j}": rng.normal() + 50 * label for j in range(4)}
            for label in (1, 2)
        ]
    note = {"features": [f"f{j}" for j in range(4)], "units": {}, "parameters": "abc"}
    write_parquet(out / "wide.parquet", pd.DataFrame(rows), note=note)
    pd.DataFrame(manifest).to_csv(out / "manifest.csv", index=False)
    return out


def _pictures(folder, case, rng):
    grid = Grid.from_spacing((12, 14, 16), (1.0, 1.0, 1.0))
    samples = torch.from_numpy(rng.normal(size=(1, 12, 14, 16)).astype(np.float32))
    save(Image(samples, grid), folder / f"{case}.nii")
    marks = torch.zeros(1, 12, 14, 16, dtype=torch.int16)
    marks[0, 3:6, 4:9, 4:9] = 1
    marks[0, 8:10, 4:9, 9:14] = 2
    save(Labels(marks, grid), folder / f"{case}_l.nii")


class TestTable:
    def test_finds_writes_and_tells(self, table, tmp_path):
        found = run_similar("p03", table, SimilarJob(Columns(ROLES), 5))
        done = write_similar(found, tmp_path / "out")
        rows = read_rows(done.table)
        assert rows["case"].tolist() == [one.case for one in found.similar.neighbours]
        assert rows["rank"].tolist() == [1, 2, 3, 4, 5]
        page = done.report.read_text()
        for one in found.similar.neighbours:
            assert one.case in page
        assert "Cases similar to p03" in page
        assert dict(found.facts)["Cases compared"] == "29"

    def test_the_outcome_is_told_and_is_no_feature(self, table):
        found = run_similar("p03", table, SimilarJob(Columns(ROLES), 9))
        truth = frame().set_index("case")["response"]
        assert found.similar.features == 6
        for one in found.similar.neighbours:
            assert one.outcome == str(truth[one.case])
        shares = [value for name, value in found.facts if name.startswith("response = ")]
        assert len(shares) == 1
        assert " of 9 similar cases; " in shares[0]

    def test_a_case_may_come_from_a_file(self, table, tmp_path):
        one = frame().iloc[[7]].assign(case="new").drop(columns="response")
        one.to_csv(tmp_path / "new.csv", index=False)
        found = run_similar(str(tmp_path / "new.csv"), table, SimilarJob(Columns(ROLES), 3))
        assert found.similar.case == "new"
        assert found.similar.neighbours[0].case == "p07"
        assert found.similar.neighbours[0].distance < 1e-9

    def test_the_record_names_the_table_by_its_hash(self, table, tmp_path):
        found = run_similar("p03", table, SimilarJob(k=2))
        other = tmp_path / "copy.csv"
        other.write_bytes(table.read_bytes())
        again = run_similar("p03", other, SimilarJob(k=2))
        assert found.record == again.record
        assert found.record["parameters"]["metric"] == "standardised"
        assert str(tmp_path) not in json.dumps(found.record)

    @pytest.mark.parametrize("metric", ["mahalanobis", "cosine", "learned"])
    def test_every_metric_is_named_on_the_page(self, table, tmp_path, metric):
        job = SimilarJob(Columns(ROLES), 4, Likeness(metric))
        done = write_similar(run_similar("p03", table, job), tmp_path / "out")
        word = {"mahalanobis": "Mahalanobis", "cosine": "cosine", "learned": "learned"}[metric]
        assert word in done.report.read_text()

    def test_a_name_that_is_code_is_shown_as_text(self, tmp_path):
        rows = frame()
        rows.loc[3, "case"] = "<script>alert(1)</script>"
        rows.to_csv(tmp_path / "t.csv", index=False)
        found = run_similar("<script>alert(1)</script>", tmp_path / "t.csv", SimilarJob(k=2))
        page = write_similar(found, tmp_path / "out").report.read_text()
        assert "<script>" not in page

    def test_a_formula_in_a_name_does_not_run(self, tmp_path):
        rows = frame()
        rows["case"] = ["=1+1" if k == 3 else f"p{k}" for k in range(30)]
        rows.to_csv(tmp_path / "t.csv", index=False)
        found = run_similar("p4", tmp_path / "t.csv", SimilarJob(k=29))
        done = write_similar(found, tmp_path / "out")
        assert "\n=1+1" not in done.table.read_text()
        assert ",=1+1" not in done.table.read_text()


class TestCohort:
    def test_compares_the_same_region_and_other_subjects(self, tmp_path):
        out = cohort(tmp_path, pictures=False)
        found = run_similar("s00_v0:2", out, SimilarJob(k=10))
        names = {one.case for one in found.similar.neighbours}
        assert found.same == {"label": "2"}
        assert all(name.endswith(":2") for name in names)
        assert not any(name.startswith("s00") for name in names)
        assert dict(found.facts)["Cases of the same patient"] == "left out"

    def test_other_visits_are_neighbours_where_asked_for(self, tmp_path):
        out = cohort(tmp_path, pictures=False)
        job = SimilarJob(k=11, likeness=Likeness(same_patient=True))
        found = run_similar("s00_v0:2", out, job)
        assert "s00_v1:2" in {one.case for one in found.similar.neighbours}

    def test_shows_a_slice_of_every_case(self, tmp_path):
        out = cohort(tmp_path)
        found = run_similar("s00_v0:1", out, SimilarJob(k=3))
        done = write_similar(found, tmp_path / "page")
        page = done.report.read_text()
        assert page.count('<figure class="view"') == 4
        for rank, one in enumerate(found.similar.neighbours, start=1):
            assert f"{rank}. {one.case}" in page

    def test_names_no_file_and_no_subject_but_cases(self, tmp_path):
        out = cohort(tmp_path)
        done = write_similar(run_similar("s00_v0:1", out, SimilarJob(k=3)), tmp_path / "page")
        assert ".nii" not in done.report.read_text()
        assert ".nii" not in done.table.read_text()

    def test_says_that_pictures_are_missing(self, tmp_path):
        out = cohort(tmp_path)
        (tmp_path / "s00_v0.nii").unlink()
        done = write_similar(run_similar("s00_v0:1", out, SimilarJob(k=3)), tmp_path / "page")
        assert any("1 of 4 cases have no picture" in text for text in done.remarks)

    def test_says_that_no_picture_is_there(self, tmp_path):
        out = cohort(tmp_path, pictures=False)
        done = write_similar(run_similar("s00_v0:1", out, SimilarJob(k=3)), tmp_path / "page")
        assert any("there are no pictures" in text for text in done.remarks)

    def test_an_image_that_cannot_be_read_is_a_missing_picture(self, tmp_path):
        out = cohort(tmp_path)
        (tmp_path / "s00_v0.nii").write_bytes(b"nothing")
        done = write_similar(run_similar("s00_v0:1", out, SimilarJob(k=3)), tmp_path / "page")
        assert any("1 of 4 cases have no picture" in text for text in done.remarks)

    def test_a_case_of_several_regions_must_say_which(self, tmp_path):
        with pytest.raises(RegionError, match="say 's00_v0:1' or 's00_v0:2'"):
            run_similar("s00_v0", cohort(tmp_path, pictures=False), SimilarJob(k=3))

    def test_a_file_must_say_its_region(self, tmp_path):
        out = cohort(tmp_path, pictures=False)
        one = pd.DataFrame([{"case": "new"} | {f"f{j}": 50.0 for j in range(4)}])
        one.to_csv(tmp_path / "new.csv", index=False)
        with pytest.raises(ConfigError, match=r"several values of 'label' .* add it \(1, 2\)"):
            run_similar(str(tmp_path / "new.csv"), out, SimilarJob(k=3))
        one.assign(label=1).to_csv(tmp_path / "new.csv", index=False)
        found = run_similar(str(tmp_path / "new.csv"), out, SimilarJob(k=3))
        assert all(x.case.endswith(":1") for x in found.similar.neighbours)
        one.assign(label=7).to_csv(tmp_path / "new.csv", index=False)
        with pytest.raises(RegionError, match="'new' has '7' and the cohort 1, 2"):
            run_similar(str(tmp_path / "new.csv"), out, SimilarJob(k=3))
