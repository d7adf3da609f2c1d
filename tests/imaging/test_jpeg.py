from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from monitor.errors import InputError
from monitor.imaging.jpeg import decode, encode, read_picture


def gradient(width: int = 64, height: int = 48) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)
    picture[..., 2] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    return picture


def test_what_is_encoded_decodes_as_rgb() -> None:
    picture = gradient()
    back = decode(encode(picture, quality=95))
    assert np.abs(back.astype(int) - picture).mean() < 3


def test_large_pictures_are_shrunk_with_their_aspect() -> None:
    assert decode(encode(gradient(640, 480), max_side=64)).shape == (48, 64, 3)
    assert decode(encode(gradient(64, 48), max_side=640)).shape == (48, 64, 3)


def test_same_pixels_as_paddleclas_reads(tmp_path: Path) -> None:
    path = tmp_path / "bild ü.jpg"
    path.write_bytes(encode(gradient()))
    np.testing.assert_array_equal(read_picture(path), cv2.imread(str(path))[:, :, ::-1])


def test_exif_orientation_is_applied() -> None:
    data = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(gradient()).save(data, "JPEG", exif=exif)
    assert decode(data.getvalue()).shape == (64, 48, 3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_modes_become_rgb(mode: str) -> None:
    data = io.BytesIO()
    Image.fromarray(gradient()).convert(mode).save(data, "PNG")
    assert decode(data.getvalue()).shape == (48, 64, 3)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0" + bytes(20)])
def test_what_is_no_picture_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"broken\.jpg"):
        read_picture(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.jpg: No such file"):
        read_picture(tmp_path / "nowhere.jpg")
    with pytest.raises(InputError, match="directory"):
        read_picture(tmp_path)


def test_what_is_no_rgb_picture_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="RGB uint8"):
        encode(np.zeros((4, 4), np.uint8))
