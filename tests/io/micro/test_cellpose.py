"""Cellpose: masks are labels, sessions are refused."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from vesalius import io
from vesalius.errors import FormatError


def test_masks_are_labels_named_cell_n(tmp_path: Path) -> None:
    data = np.zeros((6, 7), np.uint16)
    data[1:3, 1:3], data[4, 4:6] = 1, 300
    tifffile.imwrite(tmp_path / "slide_cp_masks.tif", data)
    labels = io.open_labels(tmp_path / "slide_cp_masks.tif")
    assert labels.names == {(0, 1): "cell 1", (0, 300): "cell 300"}
    assert labels.data[0, 0].tolist() == data.tolist()
    assert io.open_labels(tmp_path / "slide_cp_masks.tif", roi="cell 300").values == ((0, 300),)


def test_other_files_keep_their_names(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", np.ones((3, 3), np.uint8))
    assert io.open_labels(tmp_path / "slide.tif").names == {}


@pytest.mark.parametrize("call", [io.open, io.open_labels, io.scan])
def test_a_session_is_refused_with_the_way_to_export(tmp_path: Path, call) -> None:
    np.save(tmp_path / "slide_seg.npy", {"masks": np.ones(3)}, allow_pickle=True)
    with pytest.raises(
        FormatError, match=r"pickled objects can run any program: in Cellpose choose"
    ):
        call(tmp_path / "slide_seg.npy")


def test_a_session_beside_an_image_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "slide_seg.npy", {"masks": np.ones(3)}, allow_pickle=True)
    tifffile.imwrite(tmp_path / "slide.tif", np.ones((3, 3), np.uint8))
    found = io.survey(tmp_path)
    assert [handle.name for handle in found.handles] == ["slide.tif"]
    assert "'slide_seg.npy' must hold samples only" in str(found.refused[0])
