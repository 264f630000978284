"""The long table as a DICOM report: every number, code and unit of it."""

from pathlib import Path

import pytest
import torch

from vesalius.core import Image, Labels
from vesalius.errors import FormatError
from vesalius.io.dicom import save_seg, save_series
from vesalius.io.dicom._write_report import read_report
from vesalius.measure import extract, parse_config
from vesalius.measure._measurement import as_table
from vesalius.study import save_dicom_report

CONFIG = """
features: {families: [morphology, statistics, glcm], spatial_autocorrelation: false}
discretise: {method: bin_count, bin_count: 8}
"""


@pytest.fixture
def case(tmp_path: Path, scan: tuple[Image, Labels]) -> tuple[Image, Labels, Path, Path]:
    """A scan with its labels, both as DICOM too."""
    image, labels = scan
    image = Image(image.data.round().to(torch.int16), image.grid, "HU")
    save_series(image, tmp_path / "ct")
    save_seg(labels, tmp_path / "seg.dcm", like=tmp_path / "ct")
    return image, labels, tmp_path / "ct", tmp_path / "seg.dcm"


def test_every_number_code_and_unit_of_the_table_is_in_the_report(
    tmp_path: Path, case: tuple[Image, Labels, Path, Path]
) -> None:
    image, labels, like, seg = case
    table = extract(image, labels, config=parse_config(CONFIG)).table
    table["perturb_p2_5"], table["perturb_p97_5"] = table["value"] - 2, table["value"] + 0.5
    done = save_dicom_report(table, tmp_path / "sr.dcm", like=like, seg=seg)
    there = table[table["value"].notna()]
    assert (done.groups, done.numbers) == (2, len(there))
    assert len(done.left_out) == len(table) - len(there)
    back = read_report(tmp_path / "sr.dcm")
    wanted = [row for name in ("left", "right") for _, row in there.iterrows() if row.label == name]
    for one, row in zip(back, wanted, strict=True):
        assert (one.value, one.region) == (row["value"], row["label"])
        assert one.code == row["ibsi_code"]
        assert one.aggregation == row["aggregation"]
        assert f"config_hash: {row['config_hash']}" in one.parameters
        assert (one.low, one.high) == pytest.approx((one.value - 2, one.value + 0.5), rel=1e-9)
    units = {one.code: one.unit for one in back}
    assert (units["RNU0"], units["Q4LE"]) == ("mm3", "[hnsf'U]")


def test_features_without_a_code_go_by_their_name(
    tmp_path: Path, case: tuple[Image, Labels, Path, Path], make_row
) -> None:
    rows = [
        make_row(feature="sdf_volume", value=2.0, unit="mm^3"),
        make_row(feature="of_others", value=3.0, unit="1", filter="log_3mm"),
    ]
    save_dicom_report(as_table(rows), tmp_path / "sr.dcm", like=case[2], seg=case[3])
    one, two = read_report(tmp_path / "sr.dcm")
    assert (one.code, one.tag, one.unit) == ("", "sdf_volume", "mm3")
    assert (two.tag, two.name, two.parameters) == ("of_others", "of_others", ("filter: log_3mm",))


def test_refuses_a_table_of_several_cases(
    tmp_path: Path, case: tuple[Image, Labels, Path, Path], make_row
) -> None:
    rows = [make_row(feature="sdf_volume", value=2.0, subject=name) for name in ("a", "b")]
    with pytest.raises(FormatError, match="a DICOM report must be of one case, the table holds 2"):
        save_dicom_report(as_table(rows), tmp_path / "sr.dcm", like=case[2], seg=case[3])
