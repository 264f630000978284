"""``vesalius reconstruct``: simulate, reconstruct and look through, on disk, in patient space."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vesalius import io
from vesalius.core import Grid, Image, Series
from vesalius.io.raw import open_projections
from vesalius.physics import Ellipsoid, Phantom, rasterise

FAN = """
kind: fan
angles_deg: {start: 0, stop: 360, count: 120}
source_mm: 300
detector_mm: 500
detector: {shape: [1, 150], pitch_mm: [1, 1.5], arc: true}
"""
CONE = """
kind: cone
angles_deg: {start: 0, stop: 360, count: 90}
source_mm: 300
detector_mm: 500
detector: {shape: [24, 150], pitch_mm: [3, 1.5]}
"""


@dataclass(frozen=True)
class Bench:
    """A small CT on disk, far from the origin, and scanners."""

    folder: Path
    image: Image

    @property
    def ct(self) -> Path:
        return self.folder / "ct.nii.gz"

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


def small_ct(slices: int) -> Image:
    """A water cylinder with a dense rod to the patient's left and front."""
    centre = (40.0, -25.0, 310.0)
    body = Ellipsoid(centre, (38.0, 30.0, 400.0), 0.0, name="body")
    rod = Ellipsoid((58.0, -37.0, 310.0), (6.0, 6.0, 400.0), 300.0, name="rod")
    grid = Grid.from_spacing(
        (slices, 64, 64), (2.0, 1.5, 1.5), origin_mm=(-7.25, -72.25, 310.0 - (slices - 1))
    )
    return rasterise(Phantom((body, rod), -1000.0, "HU"), grid)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    image = small_ct(1)
    io.save(image, tmp_path / "ct.nii.gz")
    return Bench(tmp_path, image)


def simulated(vesalius, bench: Bench, *more: object, geometry: str = FAN) -> Path:
    scan = bench.folder / "scan.h5"
    ended = vesalius(
        "reconstruct", "simulate", bench.ct, "-g", bench.file("g.yaml", geometry), "-o", scan,
        "--unit", "HU", *more,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    return scan


def test_a_scan_comes_back_in_patient_space_and_in_hu(vesalius, bench: Bench) -> None:
    scan = simulated(vesalius, bench)
    ended = vesalius(
        "reconstruct", scan, "-o", bench.folder / "out.nii.gz", "--like", bench.ct,
        "--unit", "hu", "-q",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    back = io.open(bench.folder / "out.nii.gz").read()
    torch.testing.assert_close(back.grid.affine, bench.image.grid.affine, atol=1e-4, rtol=0)
    values = back.data[0, 0]
    where = back.grid.to_index(torch.tensor([[58.0, -37.0, 310.0], [30.0, -15.0, 310.0]]).double())
    (_, ry, rx), (_, wy, wx) = where.round().long().tolist()
    assert float(values[ry - 1 : ry + 2, rx - 1 : rx + 2].mean()) == pytest.approx(300, abs=30)
    assert float(values[wy - 3 : wy + 4, wx - 3 : wx + 4].mean()) == pytest.approx(0, abs=8)
    assert float(values[2:6, 2:6].mean()) == pytest.approx(-1000, abs=25)


def test_the_same_seed_gives_the_same_counts_and_another_one_others(vesalius, bench) -> None:
    one = open_projections(simulated(vesalius, bench, "--photons", "1e4", "--seed", "3"))
    two = open_projections(simulated(vesalius, bench, "--photons", "1e4", "--seed", "3"))
    other = open_projections(simulated(vesalius, bench, "--photons", "1e4", "--seed", "4"))
    assert one.quantity == "counts"
    assert torch.equal(one.counts, two.counts)
    assert not torch.equal(one.counts, other.counts)
    assert float(one.counts.max()) == pytest.approx(1e4, rel=0.06)
    assert torch.equal(one.counts, one.counts.round())


def test_counts_are_corrected_on_the_way(vesalius, bench: Bench) -> None:
    scan = simulated(vesalius, bench, "--photons", "1e6")
    out = bench.folder / "out.nii.gz"
    ended = vesalius(
        "reconstruct", scan, "-o", out, "--like", bench.ct, "--unit", "hu", "--window", "hann"
    )
    assert ended.code == 0, ended.err
    middle = io.open(out).read().data[0, 0, 28:36, 24:32]
    assert float(middle.mean()) == pytest.approx(0, abs=15)
    assert f"report: {bench.folder / 'out.report.html'}" in ended.out


def test_the_report_shows_measurement_image_and_record(vesalius, bench: Bench) -> None:
    scan = simulated(vesalius, bench)
    vesalius(
        "reconstruct", scan, "-o", bench.folder / "out.nii.gz", "--like", bench.ct,
        "--unit", "hu", "--truth", bench.ct, "--method", "cgls", "--steps", "6",
    )  # fmt: skip
    # the truth file tells no unit: it is taken as it is
    text = (bench.folder / "out.report.html").read_text()
    for part in ("Sinogram", "Profile", "Residual", "Transfer", "Power of the difference"):
        assert part in text
    assert "conjugate gradients" in text
    assert "//" not in text.replace("base64,", "").split("</style>")[1].split("<main>")[0]
    assert 'src="http' not in text
    assert str(bench.folder) not in text


def test_a_dry_run_says_what_it_needs_and_writes_nothing(vesalius, bench: Bench) -> None:
    scan = simulated(vesalius, bench)
    before = sorted(bench.folder.iterdir())
    ended = vesalius("reconstruct", scan, "-o", bench.folder / "out.nii.gz", "--dry-run")
    assert ended.code == 0
    assert "120 views of 1 x 150 elements" in ended.out
    assert "MiB" in ended.out
    assert "note: No grid was given: 1 x 150 x 150 voxels of 0.6 x 0.9 x 0.9 mm" in ended.out
    assert sorted(bench.folder.iterdir()) == before


def test_a_cone_beam_is_reconstructed_by_fdk(vesalius, tmp_path: Path) -> None:
    image = small_ct(16)
    io.save(image, tmp_path / "ct.nii.gz")
    bench = Bench(tmp_path, image)
    scan = simulated(vesalius, bench, geometry=CONE)
    out = tmp_path / "out.nii.gz"
    ended = vesalius("reconstruct", scan, "-o", out, "--like", bench.ct, "--unit", "hu")
    assert ended.code == 0, ended.err
    back = io.open(out).read()
    assert float(back.data[0, 7:9, 28:36, 24:32].mean()) == pytest.approx(0, abs=40)
    assert "Feldkamp" in (tmp_path / "out.report.html").read_text()


def test_total_variation_beats_back_projection_at_few_photons(vesalius, bench: Bench) -> None:
    scan = simulated(vesalius, bench, "--photons", "5e3")
    error = {}
    for method in ("fbp", "tv"):
        out = bench.folder / f"{method}.nii.gz"
        ended = vesalius(
            "reconstruct", scan, "-o", out, "--like", bench.ct, "--unit", "hu", "-m", method, "-q"
        )
        assert ended.code == 0, ended.err
        error[method] = float((io.open(out).read().data - bench.image.data).square().mean().sqrt())
    assert error["tv"] < 0.7 * error["fbp"]


def test_k_space_becomes_a_magnitude_image(vesalius, tmp_path: Path, generator) -> None:
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(40.0), indexing="ij")
    body = (((y - 24) / 18) ** 2 + ((x - 20) / 14) ** 2 < 1).to(torch.complex64)
    coils = torch.stack([torch.exp(-((y - a) ** 2 + (x - b) ** 2) / 2000) for a, b in
                         ((0, 0), (0, 40), (48, 0), (48, 40))])  # fmt: skip
    k = torch.fft.fftshift(
        torch.fft.fft2(torch.fft.ifftshift(coils * body, dim=(-2, -1)), norm="ortho"), dim=(-2, -1)
    )
    np.save(tmp_path / "k.npy", k.to(torch.complex64).numpy())
    noise = torch.randn(4, 500, generator=generator, dtype=torch.complex64)
    np.save(tmp_path / "noise.npy", noise.numpy())
    for method in ("rss", "sense", "cs"):
        ended = vesalius(
            "reconstruct", tmp_path / "k.npy", "-o", tmp_path / f"{method}.nii.gz",
            "-m", method, "--noise", tmp_path / "noise.npy", "--coils", "3",
        )  # fmt: skip
        assert ended.code == 0, ended.err
        assert "note: The coils were compressed to 3 virtual ones." in ended.out
        image = io.open(tmp_path / f"{method}.nii.gz").read().data[0, 0]
        inside, outside = image[20:28, 16:24].mean(), image[:3, :3].mean()
        assert float(inside) > 5 * float(outside)
    ended = vesalius("reconstruct", tmp_path / "k.npy", "-o", tmp_path / "auto.nii.gz", "--dry-run")
    assert "cs" in ended.out
    assert "4 coils" in ended.out


def test_a_radiograph_shows_the_dense_side_where_it_is(vesalius, tmp_path: Path) -> None:
    """From the front (270 deg) the patient's left is on the picture's right."""
    import matplotlib.image as mpimg

    io.save(small_ct(30), tmp_path / "ct.nii.gz")
    out = tmp_path / "xray.png"
    ended = vesalius(
        "reconstruct", "drr", tmp_path / "ct.nii.gz", "-o", out, "--unit", "HU",
        "--size", "60,100", "--pitch", "2",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    picture = mpimg.imread(out)
    assert picture.shape[:2] == (60, 100)
    row = np.asarray(picture)[30].reshape(100, -1)[:, 0]
    columns = np.arange(100) - 49.5
    rod = row - row[::-1]
    assert columns[int(np.argmax(rod))] == pytest.approx(18 * 1500 / 1000 / 2, abs=4)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--method", "tvv"), 3, "did you mean tv?"),
        (("--weight", "strong"), 2, "must be auto or a number of at least 0, got"),
        (("--weight", "-1"), 2, "must be auto or a number of at least 0"),
        (("--steps", "-1"), 3, "steps and coils must not be negative"),
        (("--coils", "2"), 3, "--noise and --coils belong to k-space"),
        (("--centre", "left"), 2, "must be file, find or a column such as 295.5"),
        (("--kev", "1000"), 3, "kev must be 10 to 500"),
    ],
)
def test_wrong_options_are_told(vesalius, bench: Bench, words, code, message) -> None:
    scan = simulated(vesalius, bench)
    ended = vesalius("reconstruct", scan, "-o", bench.folder / "o.nii.gz", "--unit", "hu", *words)
    assert ended.code == code
    assert message in ended.err
    assert not (bench.folder / "o.nii.gz").exists()


def test_raw_data_without_a_geometry_are_told_to_bring_one(vesalius, bench: Bench) -> None:
    np.save(bench.folder / "raw.npy", np.ones((4, 1, 8), np.float32))
    ended = vesalius("reconstruct", bench.folder / "raw.npy", "-o", bench.folder / "o.nii.gz")
    assert ended.code == 3
    assert "a geometry must be known: the raw file holds none" in ended.err


def test_a_geometry_file_that_is_not_there_or_misspelt_is_told(vesalius, bench: Bench) -> None:
    np.save(bench.folder / "raw.npy", np.ones((4, 1, 8), np.float32))
    words = ("reconstruct", bench.folder / "raw.npy", "-o", bench.folder / "o.nii.gz", "-g")
    ended = vesalius(*words, bench.folder / "none.yaml")
    assert ended.code == 3
    assert "must be a YAML file, there is none: check the path" in ended.err
    ended = vesalius(*words, bench.file("g.yaml", FAN.replace("kind: fan", "kind: paralel_")))
    assert "did you mean 'parallel'?" in ended.err


def test_a_short_scan_is_told_which_option_helps(vesalius, bench: Bench) -> None:
    short = FAN.replace("stop: 360", "stop: 240")
    scan = simulated(vesalius, bench, geometry=short)
    ended = vesalius("reconstruct", scan, "-o", bench.folder / "o.nii.gz", "--like", bench.ct)
    assert ended.code == 3
    assert "--scan short" in ended.err
    words = ("reconstruct", scan, "-o", bench.folder / "o.nii.gz", "--like", bench.ct)
    assert vesalius(*words, "--scan", "short").code == 0


def test_a_geometry_of_another_scan_is_refused(vesalius, bench: Bench) -> None:
    np.save(bench.folder / "raw.npy", np.ones((4, 1, 8), np.float32))
    g = bench.file("g.yaml", FAN)
    ended = vesalius(
        "reconstruct", bench.folder / "raw.npy", "-g", g, "-o", bench.folder / "o.nii.gz"
    )
    assert ended.code == 3
    assert "the geometry must be of this scan: it has 120 x 1 x 150" in ended.err


def test_an_image_without_a_unit_is_refused(vesalius, bench: Bench) -> None:
    g = bench.file("g.yaml", FAN)
    io.save(replace(bench.image, unit="1"), bench.ct)
    for verb in (("simulate", bench.ct, "-g", g, "-o", bench.folder / "s.h5"),
                 ("drr", bench.ct, "-o", bench.folder / "x.png")):  # fmt: skip
        ended = vesalius("reconstruct", *verb)
        assert ended.code == 3
        assert "must be in HU or 1/mm, its unit is '1': say --unit HU" in ended.err


def test_a_refused_input_leaves_a_report_and_no_image(vesalius, bench: Bench) -> None:
    scan = simulated(vesalius, bench)
    half = bench.file("half.yaml", FAN.replace("stop: 360", "stop: 150"))
    ended = vesalius("reconstruct", scan, "-g", half, "-o", bench.folder / "o.nii.gz")
    assert ended.code == 3
    assert not (bench.folder / "o.nii.gz").exists()
    assert "Nothing was reconstructed" in (bench.folder / "o.report.html").read_text()


def test_help_names_the_verbs_and_methods(vesalius) -> None:
    ended = vesalius("reconstruct", "--help")
    assert ended.code == 0
    for word in ("simulate", "drr", "--geometry", "fdk", "tgv", "sense"):
        assert word in ended.out


def test_arrays_that_do_not_tell_what_they_are_can_be_told(vesalius, bench: Bench) -> None:
    scan = open_projections(simulated(vesalius, bench))
    np.save(bench.folder / "raw.npy", scan.counts.numpy())
    words = ("reconstruct", bench.folder / "raw.npy", "-g", bench.folder / "g.yaml", "-q")
    out = bench.folder / "o.nii.gz"
    bare = vesalius(*words, "-o", out)
    assert bare.code == 3
    assert "counts must come with flat frames" in bare.err
    dark = vesalius(*words, "-o", out, "--quantity", "transmission")
    assert dark.code == 3
    assert "transmission must be positive to be believed" in dark.err
    assert not out.exists()
    told = vesalius(*words, "-o", out, "--quantity", "line integral", "-m", "mlem", "--steps", "9")
    assert told.code == 0, told.err
    assert float(io.open(out).read().data.max()) > 0.01


def test_a_truth_of_several_times_is_refused_and_not_passed_over(vesalius, bench: Bench) -> None:
    scan = simulated(vesalius, bench)
    twice = torch.stack([bench.image.data, bench.image.data])
    series = Series(twice, bench.image.grid, (0.0, 1.0), "HU")
    io.save(series, bench.folder / "times.nii.gz")
    words = ("reconstruct", scan, "-o", bench.folder / "o.nii.gz", "--like", bench.ct)
    ended = vesalius(*words, "--truth", bench.folder / "times.nii.gz")
    assert ended.code == 3
    assert "must hold one volume, it holds 2 frames" in ended.err
    assert not (bench.folder / "o.nii.gz").exists()
