"""Geometries of other tools: there and back by numbers, and a blob seen by the tools themselves."""

import json
import math
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vesalius.core import Grid, Linear
from vesalius.errors import FormatError, GeometryError
from vesalius.physics import Ellipsoid, Phantom, rasterise
from vesalius.physics.ct import (
    astra_volume,
    cone,
    exact_projections,
    fan,
    from_astra,
    from_rtk,
    from_tigre,
    helical,
    parallel,
    to_astra,
    to_rtk,
    to_tigre,
    tomosynthesis,
)

RIVALS = Path(os.environ.get("VESALIUS_RIVALS", "no rivals"))
ANGLES = torch.tensor([0.0, 33.0, 107.0, 251.0, 400.0])
FAR = {"source_mm": 400.0, "detector_mm": 600.0}
WIDE = {"shape": (4, 9), "pitch_mm": (1.0, 2.0), "offset_mm": (1.0, 3.0)}
LINE = {"shape": (1, 9), "pitch_mm": (1.0, 2.0), "offset_mm": (0.0, 3.0)}
POSE = Linear.rotation((20.0, -10.0, 35.0), centre_mm=(5.0, 6.0, 7.0))
ALL = {
    "parallel line": parallel(ANGLES, **LINE),
    "parallel": parallel(ANGLES, **WIDE),
    "fan": fan(ANGLES, **LINE, **FAR),
    "cone": cone(ANGLES, **WIDE, **FAR),
    "arc": cone(ANGLES, arc=True, **WIDE, **FAR),
    "helix": helical(cone(ANGLES, **WIDE, **FAR), pitch_mm_per_turn=20.0),
    "tomosynthesis": tomosynthesis(ANGLES / 10, shape=(4, 9), pitch_mm=(1.0, 2.0), **FAR),
    "moved": cone(ANGLES, **WIDE, **FAR).moved(POSE),
}
BLOB = Phantom(
    (
        Ellipsoid((6.0, -9.0, 4.0), (9.0, 6.0, 11.0), 0.02, (0.0, 0.0, 25.0)),
        Ellipsoid((-8.0, 5.0, -3.0), (4.0, 8.0, 5.0), 0.05, (15.0, 0.0, -30.0)),
    ),
    unit="1/mm",
)


def same_rays(one, two):
    """Compare lines: directions, and starts up to a shift along the ray."""
    (a, d), (b, e) = one.rays(), two.rays()
    torch.testing.assert_close(d, e, rtol=0, atol=1e-12)
    across = (a - b) - ((a - b) * d).sum(dim=-1, keepdim=True) * d
    torch.testing.assert_close(across, torch.zeros_like(across), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [n for n in ALL if n != "arc"])
def test_astra_gives_every_ray_back(name):
    same_rays(from_astra(to_astra(ALL[name])), ALL[name])


@pytest.mark.parametrize("name", list(ALL))
def test_rtk_gives_every_ray_back(name):
    back = from_rtk(to_rtk(ALL[name]))
    same_rays(back, ALL[name])
    if name not in ("tomosynthesis", "moved"):
        torch.testing.assert_close(back.angles_deg, ALL[name].angles_deg)


GRID = Grid.from_spacing((20, 24, 28), (2.0, 1.5, 1.0), origin_mm=(-10.0, -15.0, -21.0))


@pytest.mark.parametrize("name", ["parallel line", "parallel", "cone"])
def test_tigre_gives_every_ray_back(name):
    made = to_tigre(ALL[name], GRID)
    same_rays(from_tigre(made), ALL[name])
    assert made.nVoxel == (20, 24, 28)
    assert made.offOrigin == pytest.approx((-2.0, 2.25, 3.5))
    assert made.nDetector == ALL[name].shape


def test_tigre_takes_one_row_of_a_fan_as_a_cone():
    same_rays(from_tigre(to_tigre(ALL["fan"], GRID)), ALL["fan"])


def test_the_numbers_of_tigre_are_those_of_the_scanner():
    made = to_tigre(ALL["cone"], GRID)
    assert (made.mode, made.DSO, made.DSD) == ("cone", 400.0, 600.0)
    assert made.dDetector == pytest.approx((1.0, 2.0))
    assert made.offDetector == pytest.approx((1.0, 3.0))
    torch.testing.assert_close(made.angles, torch.deg2rad(ANGLES.double()))


@pytest.mark.parametrize("name", ["helix", "moved", "arc", "tomosynthesis"])
def test_tigre_is_told_of_circles_alone(name):
    with pytest.raises(GeometryError, match="TIGRE needs a circle about S"):
        to_tigre(ALL[name], GRID)


def test_a_plane_of_astra_is_seen_with_p_downwards():
    vectors = to_astra(parallel(torch.tensor([0.0]), **LINE))["Vectors"]
    # rays towards -L; the middle of the detector is at P = 3, which is Y = -3
    np.testing.assert_allclose(vectors, [[-1.0, 0.0, 0.0, -3.0, 0.0, -2.0]], atol=1e-12)


def test_space_of_astra_is_ours():
    made = to_astra(ALL["cone"].take(slice(0, 1)))
    assert (made["type"], made["DetectorRowCount"], made["DetectorColCount"]) == ("cone_vec", 4, 9)
    expected = [[400.0, 0, 0, -200.0, 3.0, 1.0, 0, 2.0, 0, 0, 0, 1.0]]
    np.testing.assert_allclose(made["Vectors"], expected, atol=1e-12)


def test_astra_planes_of_equal_angles_are_read():
    angles = np.array([0.0, 0.5])
    flat = {"DetectorWidth": 2.0, "DetectorCount": 5, "ProjectionAngles": angles}
    g = from_astra({"type": "parallel", **flat})
    # ASTRA: at angle 0 rays run down (-Y = +P) and the detector along +X = +L
    torch.testing.assert_close(g.source[0], torch.tensor([0.0, 1.0, 0.0]).double())
    torch.testing.assert_close(g.u[0], torch.tensor([2.0, 0.0, 0.0]).double())
    far = {"DistanceOriginSource": 300.0, "DistanceOriginDetector": 100.0}
    f = from_astra({"type": "fanflat", **flat, **far})
    torch.testing.assert_close(f.source.norm(dim=1), torch.full((2,), 300.0).double())
    torch.testing.assert_close(f.centre[0], torch.tensor([0.0, -100.0, 0.0]).double())
    assert f.magnification == pytest.approx(4 / 3)


def test_a_volume_of_astra_has_the_edges_of_the_grid():
    option = astra_volume(GRID)["option"]
    assert (option["WindowMinX"], option["WindowMaxX"]) == (-10.5, 17.5)
    assert (option["WindowMinY"], option["WindowMaxY"]) == (-15.75, 20.25)
    assert (option["WindowMinZ"], option["WindowMaxZ"]) == (-22.0, 18.0)
    flat = astra_volume(GRID.crop((3, 0, 0), (1, 24, 28)))
    assert "GridSliceCount" not in flat
    assert (flat["option"]["WindowMinY"], flat["option"]["WindowMaxY"]) == (-20.25, 15.75)


def test_what_other_tools_do_not_know_is_refused():
    stack = fan(ANGLES, shape=(3, 5), pitch_mm=(1.0, 1.0), **FAR)
    with pytest.raises(GeometryError, match="ASTRA knows flat detectors alone"):
        to_astra(ALL["arc"])
    with pytest.raises(GeometryError, match="ASTRA has no stack of fans"):
        to_astra(stack)
    with pytest.raises(GeometryError, match="RTK has no stack of fans"):
        to_rtk(stack)
    with pytest.raises(GeometryError, match="TIGRE has no stack of fans"):
        to_tigre(stack, GRID)
    turned = Grid((2, 2, 2), torch.eye(4, dtype=torch.float64))
    with pytest.raises(GeometryError, match=r"axes must run along \(S, P, L\) for ASTRA"):
        astra_volume(turned)
    with pytest.raises(GeometryError, match=r"axes must run along \(S, P, L\) for TIGRE"):
        to_tigre(ALL["cone"], turned)


def test_detectors_that_rtk_cannot_hold_are_refused():
    g = ALL["cone"]
    with pytest.raises(GeometryError, match="RTK needs rows across columns"):
        to_rtk(replace(g, v=g.v + 0.3 * g.u))
    with pytest.raises(GeometryError, match="RTK needs rows across columns"):
        to_rtk(replace(g, u=g.u * torch.linspace(1, 2, 5).double()[:, None]))
    with pytest.raises(GeometryError, match="u x v must point to the source for RTK"):
        to_rtk(replace(g, v=-g.v))
    with pytest.raises(GeometryError, match="an arc must have the radius of its distance"):
        to_rtk(replace(ALL["arc"], arc_mm=500.0))
    p = ALL["parallel"]
    with pytest.raises(GeometryError, match="parallel rays must run from u x v"):
        to_rtk(replace(p, source=p.source + 0.1 * p.u))


def test_dictionaries_that_are_not_astra_are_refused():
    with pytest.raises(FormatError, match="ASTRA geometry must be parallel, fanflat"):
        from_astra({"type": "cone", "DetectorRowCount": 1, "DetectorColCount": 1})
    with pytest.raises(FormatError, match=r"ASTRA geometry 'parallel' must have the key"):
        from_astra({"type": "parallel", "DetectorWidth": 1.0})
    with pytest.raises(FormatError, match=r"vectors of 'parallel_vec' must have shape"):
        from_astra({"type": "parallel_vec", "DetectorCount": 3, "Vectors": np.zeros((2, 5))})


def test_texts_that_are_not_rtk_are_refused():
    good = to_rtk(ALL["cone"])
    for text, message in (
        ("<a", "RTK geometry must be well-formed XML"),
        ("<a/>", "RTK geometry must be RTKThreeDCircularGeometry of version 3"),
        (good.xml.replace('"3"', '"2"'), "RTK geometry must be RTKThreeDCircularGeometry"),
        (good.xml.split("  <Projection>")[0] + "</RTKThreeDCircularGeometry>", "at least one"),
        (good.xml.replace("<GantryAngle>", "<GantryAngle>x", 1), "RTK geometry must hold numbers"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a/>', "RTK geometry must not define entities"),
    ):
        with pytest.raises(FormatError, match=message):
            from_rtk(replace(good, xml=text))


def test_numbers_that_rtk_writes_once_for_all_views_are_read():
    good = to_rtk(ALL["cone"])
    once = "<SourceToIsocenterDistance>400.0</SourceToIsocenterDistance>"
    head, *views = good.xml.split("  <Projection>")
    text = "  <Projection>".join([f"{head}  {once}\n", *(v.replace(once, "") for v in views)])
    assert text.count(once) == 1
    same_rays(from_rtk(replace(good, xml=text)), ALL["cone"])


# --- the tools themselves ----------------------------------------------------------------------


def rival(name: str) -> Path:
    """Give the interpreter that has a tool, or skip."""
    python = RIVALS / name / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{name} absent: set VESALIUS_RIVALS to the folder of its environment")
    return python


def asked(python: Path, script: str, folder: Path) -> np.ndarray:
    """Run a script of another tool in a folder; it writes ``out.npy`` there."""
    (folder / "script.py").write_text(script)
    done = subprocess.run(
        [python, "script.py"], cwd=folder, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return np.load(folder / "out.npy")


def agrees(seen: np.ndarray, geometry, tol=0.02) -> None:
    """The tool's view of the sampled blob is the closed form, up to its sampling."""
    exact = exact_projections(BLOB, geometry, subrays=(2, 2)).data.double().numpy()
    assert seen.shape == exact.shape
    wrong = math.sqrt(((seen - exact) ** 2).mean() / (exact**2).mean())
    assert wrong < tol
    for mirrored in (seen[..., ::-1], seen[::-1]):
        assert math.sqrt(((mirrored - exact) ** 2).mean() / (exact**2).mean()) > 0.2


FLAT = Grid.from_spacing((1, 96, 80), (0.5, 0.5, 0.5), origin_mm=(-19.0, -24.5, 0.0))
ASTRA = """
import json, numpy as np, astra
told = json.load(open("told.json"))
told["geometry"]["Vectors"] = np.array(told["geometry"]["Vectors"])
volume = astra.data2d.create("-vol", told["volume"], np.load("blob.npy"))
kind = "line" if told["geometry"]["type"].startswith("parallel") else "line_fanflat"
projector = astra.create_projector(kind, told["geometry"], told["volume"])
_, seen = astra.create_sino(np.load("blob.npy"), projector)
np.save("out.npy", seen)
"""


@pytest.mark.slow
@pytest.mark.parametrize("beam", ["parallel", "fan"])
def test_astra_sees_the_blob_where_it_is(beam, tmp_path):
    python = rival("astra")
    line = {"shape": (1, 70), "pitch_mm": (1.0, 0.9), "offset_mm": (0.0, 2.0)}
    angles = torch.arange(0.0, 360.0, 23.0)
    g = parallel(angles, **line) if beam == "parallel" else fan(angles, **line, **FAR)
    told = {"geometry": to_astra(g), "volume": astra_volume(FLAT)}
    told["geometry"]["Vectors"] = told["geometry"]["Vectors"].tolist()
    (tmp_path / "told.json").write_text(json.dumps(told))
    np.save(tmp_path / "blob.npy", rasterise(BLOB, FLAT).data[0, 0].numpy())
    agrees(asked(python, ASTRA, tmp_path)[:, None], g)


SOLID = Grid.from_spacing((48, 50, 44), (1.0, 1.0, 1.0), origin_mm=(-20.0, -26.0, -22.0))
RTK = """
import json, numpy as np, itk
from itk import RTK as rtk
seen = []
for told in json.load(open("told.json")):
    open("geometry.xml", "w").write(told["xml"])
    reader = rtk.ThreeDCircularProjectionGeometryXMLFileReader.New()
    reader.SetFilename("geometry.xml")
    reader.GenerateOutputInformation()
    volume = itk.image_from_array(np.load("blob.npy"))
    volume.SetSpacing(told["spacing"]); volume.SetOrigin(told["origin"])
    stack = itk.image_from_array(np.zeros(told["shape"], dtype=np.float32))
    stack.SetSpacing([*told["stack_spacing"], 1.0])
    stack.SetOrigin([*told["stack_origin"], 0.0])
    kind = type(volume)
    project = rtk.JosephForwardProjectionImageFilter[kind, kind].New()
    project.SetGeometry(reader.GetOutputObject())
    project.SetInput(0, stack); project.SetInput(1, volume)
    project.Update()
    seen.append(np.array(itk.array_from_image(project.GetOutput())))
np.save("out.npy", np.stack(seen))
"""


@pytest.mark.slow
def test_rtk_sees_the_blob_where_it_is(tmp_path):
    python = rival("rtk")
    angles = torch.arange(0.0, 360.0, 51.0)
    wide = {"shape": (40, 44), "pitch_mm": (2.0, 2.0), "offset_mm": (1.0, 3.0)}
    circle = cone(angles, **wide, **FAR)
    shown = (
        parallel(angles, **wide),
        circle,
        helical(circle, pitch_mm_per_turn=20.0),
        cone(angles, arc=True, **wide, **FAR),
        circle.moved(POSE),
    )
    x, y, z = SOLID.origin_mm
    told = []
    for g in shown:
        made = to_rtk(g)
        place = {"stack_spacing": list(made.spacing_mm), "stack_origin": list(made.origin_mm)}
        solid = {"spacing": [1.0, 1.0, 1.0], "origin": [y, z, x]}
        told.append({"xml": made.xml, "shape": list(g.codomain), **place, **solid})
    (tmp_path / "told.json").write_text(json.dumps(told))
    data = rasterise(BLOB, SOLID).data[0].permute(2, 0, 1).contiguous()
    np.save(tmp_path / "blob.npy", data.numpy())
    for seen, g in zip(asked(python, RTK, tmp_path), shown, strict=True):
        agrees(seen, g, tol=0.04)
