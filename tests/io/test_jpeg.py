"""JPEG against Pillow: samples, what EXIF says, refused colours."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from vesalius import io
from vesalius.errors import FormatError


def picture(mode: str, generator: torch.Generator) -> Pillow.Image:
    channels = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
    data = torch.randint(0, 256, (9, 7, channels), generator=generator).to(torch.uint8).numpy()
    return Pillow.fromarray(data[..., 0] if mode == "L" else data, mode)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_agrees_with_pillow(
    tmp_path: Path, generator: torch.Generator, mode: str, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    picture(mode, generator).save(path, format="JPEG")
    handle = io.open(path)
    assert [f.code for f in handle.findings] == ["no-spacing", "lossy"]
    image = handle.read()
    with Pillow.open(path) as theirs:
        wanted = np.atleast_3d(np.array(theirs))
    assert np.array_equal(image.data[:, 0].movedim(0, -1).numpy(), wanted)
    assert image.channels == (("R", "G", "B") if mode == "RGB" else ())
    part = handle.read((slice(0, 1), slice(2, 5), slice(1, 4)))
    assert torch.equal(part.data, image.data[:, :, 2:5, 1:4])


def test_tells_that_it_is_shown_turned_and_does_not_turn(
    tmp_path: Path, generator: torch.Generator
) -> None:
    upright = picture("L", generator)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    upright.save(tmp_path / "a.jpg", quality=100)
    upright.save(tmp_path / "b.jpg", quality=100, exif=exif)
    plain, turned = io.open(tmp_path / "a.jpg"), io.open(tmp_path / "b.jpg")
    assert "turned" in [f.code for f in turned.findings]
    assert torch.equal(plain.read().data, turned.read().data)


# ---- refusals


def test_refuses_four_colours(tmp_path: Path, generator: torch.Generator) -> None:
    picture("CMYK", generator).save(tmp_path / "a.jpg")
    with pytest.raises(FormatError, match="must be grey or RGB, it is CMYK: convert it first"):
        io.open(tmp_path / "a.jpg")


def test_refuses_what_is_no_jpeg(tmp_path: Path, generator: torch.Generator) -> None:
    picture("L", generator).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    with pytest.raises(FormatError, match="must be a JPEG file, its header is not: not a JPEG"):
        io.open(tmp_path / "a.jpg")


def test_refuses_truncated_data(tmp_path: Path, generator: torch.Generator) -> None:
    picture("RGB", generator).resize((200, 100)).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="must hold all samples that its header promises"):
        io.open(tmp_path / "a.jpg").read()


def test_refuses_huge_claims(tmp_path: Path, generator: torch.Generator) -> None:
    picture("L", generator).save(tmp_path / "a.jpg")
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xdc\xff\xdc"
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(FormatError, match="must not grow more than 200 times"):
        io.open(tmp_path / "a.jpg")
    data[at + 5 : at + 9] = b"\x40\x00\x30\x00"
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(FormatError, match=r"must fit in .* GiB"):
        io.open(tmp_path / "a.jpg", budget=io.Budget(bytes=1 << 27))
