"""Voxel map: the voxels that move a prediction."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pictured_cases import CONFIG, measured, model_of, picture

from vesalius.core import Grid, Image, Labels
from vesalius.errors import ConfigError, GeometryError, RegionError
from vesalius.measure import Config
from vesalius.predict.explain import Pieces, voxel_map

CORNER = (slice(3, 9), slice(3, 9), slice(3, 9))


@pytest.fixture(scope="module")
def table():
    return measured()


@pytest.mark.parametrize("feature", ["stat_mean", "stat_max"])
def test_finds_the_bright_corner(table, feature):
    model = model_of(table, feature)
    found = voxel_map(*picture(40.0, seed=4), model, table.rows([4]), config=CONFIG)
    change = found.image.data[0]
    best = int(np.nanargmax(found.changes)) + 1
    piece = found.pieces.data[0] == best
    assert bool(piece[CORNER].any())
    far = change[15:21, 15:21, 15:21]
    assert float(change[CORNER].nanmean()) > 5 * float(far.abs().nanmean())
    assert list(found.features) == [feature]


def test_the_map_is_on_the_grid_and_empty_outside(table):
    image, labels = picture(40.0, seed=4)
    model = model_of(table, "stat_mean")
    found = voxel_map(image, labels, model, table.rows([4]), config=CONFIG)
    inside = labels.mask(1)
    assert torch.equal(torch.isfinite(found.image.data[0]), inside)
    assert torch.equal(found.pieces.data[0] > 0, inside)
    torch.testing.assert_close(found.image.grid.affine, image.grid.affine)


def test_the_change_is_the_prediction_less_that_without_the_piece(table):
    image, labels = picture(40.0, seed=4)
    model = model_of(table, "stat_mean")
    found = voxel_map(image, labels, model, table.rows([4]), config=CONFIG, pieces=Pieces(8))
    samples = image.data[0].double()
    inside = labels.mask(1)
    at = table.features.index("stat_mean")
    for k in (1, len(found.changes)):
        piece = found.pieces.data[0] == k
        values = table.rows([4]).values.copy()
        # a piece with the mean of the rest leaves that mean
        values[0, at] = float(samples[inside & ~piece].mean())
        said = model.fitted.predict(table.rows([4]).with_values(values))[0, 0]
        assert found.changes[k - 1] == pytest.approx(found.before - said, abs=1e-6)


def test_a_removed_piece_changes_the_region_too(table):
    model = model_of(table, "stat_mean")
    ways = [
        voxel_map(
            *picture(40.0, seed=4),
            model,
            table.rows([4]),
            config=CONFIG,
            pieces=Pieces(8, way=way),
        )
        for way in ("mean", "removed")
    ]
    # both leave the mean of the rest
    np.testing.assert_allclose(ways[0].changes, ways[1].changes, atol=1e-6)


def test_the_row_of_the_table_is_what_was_measured(table):
    model = model_of(table, "stat_mean")
    found = voxel_map(*picture(40.0, seed=4), model, table.rows([4]), config=CONFIG)
    assert found.remarks == ()
    assert found.before == pytest.approx(model.fitted.predict(table.rows([4]))[0, 0], abs=1e-9)


def test_another_picture_is_said_to_be_another(table):
    model = model_of(table, "stat_mean")
    found = voxel_map(*picture(40.0, seed=4), model, table.rows([0]), config=CONFIG)
    assert any("are not those of the case in the table" in text for text in found.remarks)


def test_features_that_are_not_measured_are_said(table):
    more = replace(
        table,
        features=(*table.features, "age"),
        values=np.column_stack([table.values, np.arange(10.0)]),
    )
    model = model_of(more, "stat_mean", "age")
    found = voxel_map(*picture(40.0, seed=4), model, more.rows([4]), config=CONFIG)
    assert any("not measured by this configuration" in text for text in found.remarks)
    assert list(found.features) == ["stat_mean"]


def test_other_parameters_are_said(table):
    model = model_of(replace(table, parameters="0123456789abcdef"), "stat_mean")
    found = voxel_map(
        *picture(40.0, seed=4), model, table.rows([4]), config=CONFIG, pieces=Pieces(4)
    )
    assert any("0123456789abcdef" in text for text in found.remarks)


def test_a_feature_has_a_map_of_its_own(table):
    model = model_of(table, "stat_mean", "stat_max")
    found = voxel_map(*picture(40.0, seed=4), model, table.rows([4]), config=CONFIG)
    one = found.feature_image("stat_max")
    assert float(one.data[0][CORNER].nan_to_num().max()) > 0
    with pytest.raises(ConfigError, match="must be one that moves the prediction, 'nothing'"):
        found.feature_image("nothing")


def test_a_flat_picture_is_cut_in_its_plane(table):
    image, labels = picture(40.0, seed=4)
    grid = Grid.from_spacing((1, 24, 24), (1.0, 1.0, 1.0))
    flat = Image(image.data[:, 5:6], grid, "1")
    mask = Labels(labels.data[:, 5:6], grid)
    model = model_of(table, "stat_mean")
    found = voxel_map(flat, mask, model, table.rows([4]), config=CONFIG, pieces=Pieces(9))
    assert 4 <= len(found.changes) <= 16


def test_tells_of_each_piece(table):
    told = []
    model = model_of(table, "stat_mean")
    found = voxel_map(
        *picture(40.0, seed=4),
        model,
        table.rows([4]),
        config=CONFIG,
        pieces=Pieces(4),
        on_step=told.append,
    )
    assert [step.done for step in told] == list(range(1, len(found.changes) + 1))


class TestRefuses:
    def test_several_rows(self, table):
        with pytest.raises(ConfigError, match="the case must be one row, got 10"):
            voxel_map(*picture(9.0), model_of(table, "stat_mean"), table, config=CONFIG)

    def test_a_configuration_of_other_features(self, table):
        other = Config.model_validate({"features": {"families": ["ngtdm"]}})
        with pytest.raises(ConfigError, match="must measure features of the model"):
            voxel_map(*picture(9.0), model_of(table, "stat_mean"), table.rows([0]), config=other)

    def test_an_unknown_region(self, table):
        with pytest.raises(RegionError, match="the region must be named, got 'liver'"):
            voxel_map(
                *picture(9.0),
                model_of(table, "stat_mean"),
                table.rows([0]),
                config=CONFIG,
                pieces=Pieces(region="liver"),
            )

    def test_labels_of_another_grid(self, table):
        image, _ = picture(9.0)
        _, labels = picture(9.0, size=16)
        with pytest.raises(GeometryError, match="must be on one grid"):
            voxel_map(image, labels, model_of(table, "stat_mean"), table.rows([0]), config=CONFIG)

    def test_one_piece(self):
        with pytest.raises(ConfigError, match="at least 2 pieces, got 1"):
            Pieces(1)


def test_a_region_of_one_voxel_has_an_empty_map(table):
    image, labels = picture(9.0)
    data = torch.zeros_like(labels.data)
    data[0, 5, 5, 5] = 1
    found = voxel_map(
        image,
        replace(labels, data=data),
        model_of(table, "stat_mean"),
        table.rows([0]),
        config=CONFIG,
    )
    assert np.isnan(found.changes).all()
    assert any("cannot be measured" in text for text in found.remarks)
