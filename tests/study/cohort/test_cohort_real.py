"""Five sarcoma patients in three modalities, and a batch file of PyRadiomics, as they are."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest
from cohort_cases import Here, quick_job, write_manifest

from vesalius.measure import load_config
from vesalius.study.cohort import Job, read_manifest, run_cohort

CONFIGS = Path(__file__).parents[3] / "examples" / "ibsi2"
FILES = {"CT": ("ct", "CT", "HU"), "MR_T1": ("mr_t1", "MR", ""), "PET": ("pet_suv", "PET", "SUV")}


@pytest.fixture(scope="module")
def sarcoma(data_dir, tmp_path_factory):
    """The long table of the cohort, by the first configuration of IBSI chapter 2, phase 3."""
    root = tmp_path_factory.mktemp("sarcoma")
    rows = []
    for patient in sorted((data_dir / "sts").glob("STS_*")):
        for role, (stem, modality, unit) in FILES.items():
            files = [patient / f"{stem}.nii.gz", patient / f"{stem}_gtv.nii.gz"]
            rows.append([patient.name, role, *files, modality, unit])
    header = ["subject", "role", "image", "labels", "modality", "unit"]
    manifest = read_manifest(write_manifest(root, header, rows))
    configs = tuple(load_config(CONFIGS / f"ID_1{suffix}.yaml") for suffix in ("", "_MR", "_PET"))
    done = run_cohort(manifest, root / "out", job=Job(configs), runner=Here())
    assert done.complete
    assert done.cases == 15
    return pyarrow.parquet.read_table(root / "out" / "features.parquet").to_pandas()


def test_every_value_on_which_the_teams_agree_is_within_one_percent(data_dir, sarcoma):
    """Medians of up to nine teams, doi:10.1148/radiol.231319; see the README beside them."""
    teams = pd.read_csv(data_dir / "sts" / "ibsi2_nine_team_reference.csv.gz")
    teams = teams[(teams["config"] == "ID_1") & teams["patient"].isin(sarcoma["subject"])]
    ours = teams.merge(
        sarcoma,
        left_on=["patient", "modality", "feature_tag"],
        right_on=["subject", "role", "feature"],
    )
    assert len(ours) == len(teams) == 5 * 3 * 18
    agree = ours[(ours["n_teams"] >= 5) & (ours["n_within_1pct_of_median"] >= ours["n_teams"] - 1)]
    assert len(agree) == 270
    assert agree["value"].tolist() == pytest.approx(agree["median"].tolist(), rel=0.01)


def test_cases_of_each_modality_have_its_configuration_and_unit(sarcoma):
    by = sarcoma[sarcoma["feature"] == "stat_mean"].groupby("role")
    assert by["config_hash"].nunique().to_dict() == {"CT": 1, "MR_T1": 1, "PET": 1}
    assert by["unit"].unique().map(list).to_dict() == {"CT": ["HU"], "MR_T1": ["1"], "PET": ["SUV"]}
    assert sarcoma["config_hash"].nunique() == 3


def test_a_batch_file_of_pyradiomics_is_measured(data_dir, tmp_path):
    folder = data_dir / "radiomics_cases"
    names = ["brain1", "breast1"]
    rows = [[n, folder / f"{n}_image.nrrd", folder / f"{n}_label.nrrd", 1] for n in names]
    manifest = write_manifest(tmp_path, ["ID", "Image", "Mask", "Label"], rows)
    done = run_cohort(read_manifest(manifest), tmp_path / "out", job=quick_job(), runner=Here())
    assert done.complete
    assert done.rows == 2
    table = pyarrow.parquet.read_table(tmp_path / "out" / "features.parquet").to_pandas()
    assert set(table["case"]) == set(names)
    assert table["value"].notna().all()
