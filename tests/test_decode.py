"""Pictures to pixels: colours, orientation, scaled decode, and a clear error for all else."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from silverprint.data.decode import MAX_PIXELS, decode, read_picture
from silverprint.data.heif import has_readable_items
from silverprint.data.rule import PictureRule
from silverprint.errors import InvalidDataError

Pixels = npt.NDArray[np.uint8]


@pytest.fixture
def colours() -> Pixels:
    """A smooth RGB picture, 48 high and 64 wide."""
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([x * 4, y * 5, 255 - x - y], axis=-1).astype(np.uint8)


def encoded(image: Image.Image | npt.NDArray[np.generic], kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(stream, kind, **options)
    return stream.getvalue()


def reason(image: object, **options: object) -> str:
    with pytest.raises(InvalidDataError) as caught:
        decode(image, **options)  # type: ignore[arg-type]
    return caught.value.reason


def test_every_way_to_give_a_picture_gives_the_same_pixels(tmp_path: Path, colours: Pixels) -> None:
    data = encoded(colours, "PNG")
    path = tmp_path / "picture.txt"  # the name does not matter
    path.write_bytes(data)
    for image in (path, str(path), data, bytearray(data), Image.open(path), colours):
        pixels = decode(image)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        np.testing.assert_array_equal(pixels, colours)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "JPEG", "MPO", "AVIF", "GIF"])
def test_formats(kind: str, colours: Pixels) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind != "GIF" else {}
    pixels = decode(encoded(colours, kind, **options))
    tolerance = 24 if kind == "GIF" else 8
    assert np.abs(pixels.astype(int) - colours).mean() < tolerance / 4
    assert pixels.shape == colours.shape


def test_heic_needs_an_extra() -> None:
    header = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    try:
        import pi_heif  # noqa: F401
    except ImportError:
        assert reason(header) == "HEIC needs silverprint[heif]"
    else:
        assert reason(header) in ("damaged", "truncated")


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


@pytest.mark.parametrize("item", [b"\2\0\0\0" + b"\0\xff" * 2, b"\3\0\0\0" + b"\0\xff" * 3])
def test_heic_with_unreadable_items_is_kept_from_pi_heif(item: bytes) -> None:
    def file(text: bytes) -> bytes:
        items = box(b"infe", item + b"hvc1\0") + box(b"infe", item + text)
        noise = box(b"mdat", b"infe" + b"\xff" * 40)
        return box(b"ftyp", b"heic\0\0\0\0") + noise + box(b"meta", b"\0\0\0\0" + items)

    assert has_readable_items(file("Exif é\0".encode()))
    assert not has_readable_items(file(b"E\xd4if\0"))


def test_arrays(colours: Pixels) -> None:
    grey = colours[:, :, 0]
    np.testing.assert_array_equal(decode(grey), np.stack([grey] * 3, axis=-1))
    turned = colours[::-1, ::2]
    np.testing.assert_array_equal(decode(turned), turned)
    assert decode(turned).flags.c_contiguous
    clear = np.dstack([colours, grey])
    over_black = colours * (grey[:, :, None] / 255)
    assert np.abs(decode(clear) - over_black).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(array: npt.NDArray[np.generic]) -> None:
    assert reason(array).startswith(
        f"not uint8 of shape (H, W), (H, W, 3) or (H, W, 4) but {array.dtype}"
    )


def test_what_is_no_picture_has_a_short_reason() -> None:
    assert reason(b"") == "empty file"
    assert reason(b"hello, world") == "not a picture"
    assert reason(np.zeros((0, 4, 3), np.uint8)) == "no pixels"
    assert reason(None).startswith("not a picture; give a path")


def test_errors_name_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"text")
    with pytest.raises(InvalidDataError) as caught:
        decode(path)
    assert caught.value.file == path
    with pytest.raises(InvalidDataError, match=r"^photo 3: not a picture$"):
        decode(b"text", name="photo 3")


# ------------------------------------------------------------------------------ pixel modes


def plain(image: Image.Image) -> npt.NDArray[np.float64]:
    return np.asarray(image).astype(float)


def test_modes_without_transparency(colours: Pixels) -> None:
    rgb = Image.fromarray(colours)
    for mode in ("L", "1", "P", "CMYK", "YCbCr", "HSV", "RGBX"):
        image = rgb.convert(mode)
        np.testing.assert_array_equal(decode(image), plain(image.convert("RGB")), err_msg=mode)
    ink = np.asarray(rgb.convert("CMYK")).astype(float)
    expected = (255 - ink[:, :, :3]) * (255 - ink[:, :, 3:]) / 255
    assert np.abs(decode(rgb.convert("CMYK")) - expected).max() <= 1
    # L* = 50 without chroma is sRGB 119 (CIE 15; IEC 61966-2-1).
    lab = Image.merge("LAB", [Image.new("L", (1, 1), v) for v in (127, 128, 128)])
    assert np.abs(decode(lab).astype(int) - 119).max() <= 2


@pytest.mark.parametrize("mode", ["RGBA", "RGBa", "LA", "La", "PA"])
def test_transparency_is_over_black(mode: str, colours: Pixels) -> None:
    clear = Image.fromarray(np.dstack([colours, colours[:, :, 0]]))
    if mode == "PA":
        image = Image.merge("PA", [Image.fromarray(colours[:, :, 1]), clear.getchannel("A")])
        image.putpalette([v for i in range(256) for v in (i, 255 - i, i)])
        shown = np.stack([colours[:, :, 1], 255 - colours[:, :, 1], colours[:, :, 1]], axis=-1)
    elif mode in ("LA", "La"):
        image = clear.convert("LA").convert(mode)
        shown = plain(clear.convert("RGB").convert("L"))[:, :, None]
    else:
        image = clear.convert(mode)
        shown = colours
    assert image.mode == mode
    expected = shown * (colours[:, :, :1] / 255)
    # Premultiplied samples have lost up to half a level already.
    assert np.abs(decode(image) - expected).max() <= (2 if mode.endswith("a") else 1)


def test_transparent_colours_are_black() -> None:
    index = np.array([[0, 1, 2]], np.uint8)
    palette = Image.fromarray(index).convert("P")
    palette.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    expected = [[[200, 0, 0], [0, 0, 0], [0, 0, 200]]]
    assert decode(encoded(palette, "PNG", transparency=1)).tolist() == expected
    assert decode(encoded(palette, "GIF", transparency=1)).tolist() == expected
    half = decode(encoded(palette, "PNG", transparency=b"\xff\x80\xff"))
    assert half.tolist() == [[[200, 0, 0], [0, 100, 0], [0, 0, 200]]]
    grey = encoded(np.array([[7, 8]], np.uint8), "PNG", transparency=7)
    assert decode(grey)[:, :, 0].tolist() == [[0, 8]]
    deep = encoded(np.array([[7 * 257, 8 * 257]], np.uint16), "PNG", transparency=7 * 257)
    assert decode(deep)[:, :, 0].tolist() == [[0, 8]]
    colour = encoded(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8), "PNG", transparency=(1, 2, 3))
    assert decode(colour).tolist() == [[[0, 0, 0], [4, 5, 6]]]


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
def test_sixteen_bit_grey_is_divided_by_257(mode: str) -> None:
    samples = np.arange(65536, dtype=np.uint32)
    order = {"I;16B": ">u2", "I;16N": "=u2"}.get(mode, "<u2")
    image = Image.frombytes(mode, (256, 256), samples.astype(order).tobytes())
    expected = np.rint(samples / 257).reshape(256, 256)
    np.testing.assert_array_equal(decode(image)[:, :, 1], expected)


def test_wide_samples_have_one_scale_or_are_refused() -> None:
    whole = Image.fromarray(np.array([[0, 257, 65535]], np.int32))
    assert decode(whole)[0, :, 0].tolist() == [0, 1, 255]
    floats = Image.fromarray(np.array([[0, 0.5, 1]], np.float32))
    assert decode(floats)[0, :, 0].tolist() == [0, 128, 255]
    for samples in (-1, 65536):
        wide = Image.fromarray(np.array([[samples]], np.int32))
        assert reason(wide) == "integer samples outside 0..65535"
    for sample in (-0.1, 1.1, np.nan, np.inf):
        wide = Image.fromarray(np.array([[sample]], np.float32))
        assert reason(wide) == "float samples outside 0..1"


# ------------------------------------------------------------------------------ orientation

TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}
"""What to store so that orientation n shows the picture upright (EXIF 2.32, table 6)."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "TIFF deflate", "JPEG", "AVIF"])
def test_orientation(kind: str, orientation: int, colours: Pixels) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(TURNS[orientation](colours))
    options = {"compression": "tiff_adobe_deflate"} if kind == "TIFF deflate" else {"quality": 95}
    data = encoded(stored, kind.split()[0], exif=exif, **options)
    for image in (data, Image.open(io.BytesIO(data))):
        pixels = decode(image)
        assert pixels.shape == colours.shape
        assert np.abs(pixels.astype(int) - colours).mean() < 3


def test_orientation_decides_which_side_is_needed() -> None:
    """A tall picture, stored lying: by its stored sides the first rule would need twice as many."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("RGB", (640, 160)), "JPEG", exif=exif)
    assert decode(data).shape == (640, 160, 3)
    assert decode(data, PictureRule(80, 40)).shape == (160, 40, 3)
    assert decode(data, PictureRule(40, 160)).shape == (640, 160, 3)


# ------------------------------------------------------------------------------ scaled decode


@given(
    st.integers(8, 700),
    st.integers(8, 700),
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from(["center_crop", "scale_fill", "scale_fit"]),
)
@settings(max_examples=60, deadline=None)
def test_scaled_decode_is_never_smaller_than_needed_nor_larger_than_it_must(
    width: int, height: int, rule_width: int, rule_height: int, crop_and_scale: str
) -> None:
    rule = PictureRule(rule_height, rule_width, crop_and_scale)
    got_height, got_width, _ = decode(encoded(Image.new("L", (width, height)), "JPEG"), rule).shape
    needed_width, needed_height = rule.needed_size(width, height)
    sizes = [(-(-width // scale), -(-height // scale)) for scale in (8, 4, 2, 1)]
    enough = (size for size in sizes if size[0] >= needed_width and size[1] >= needed_height)
    assert (got_width, got_height) == next(enough)


def test_scaled_decode_looks_like_the_picture(shared_data: Path) -> None:
    photo = next(iter(sorted((shared_data / "distill").glob("oi_birds_*.jpg"))))
    rule = PictureRule(64, 64)
    reduced, full = decode(photo, rule), decode(photo)
    assert reduced.shape[0] <= full.shape[0] // 2
    size = (64, 64)
    small = [plain(Image.fromarray(a).resize(size, Image.Resampling.BOX)) for a in (reduced, full)]
    assert np.abs(small[0] - small[1]).mean() < 3


def test_only_jpeg_files_are_reduced(colours: Pixels) -> None:
    rule = PictureRule(4, 4)
    assert decode(encoded(colours, "PNG"), rule).shape == colours.shape
    assert decode(Image.open(io.BytesIO(encoded(colours, "JPEG"))), rule).shape == colours.shape
    assert decode(encoded(colours, "JPEG"), rule).shape == (6, 8, 3)
    assert decode(encoded(colours, "MPO"), rule).shape == (6, 8, 3)


def test_the_pixel_limit_holds_after_scaled_decode() -> None:
    side = int(MAX_PIXELS**0.5) + 100
    data = encoded(Image.new("L", (side, side)), "JPEG", quality=10)
    assert reason(data) == "more than 178 million pixels"
    assert decode(data, PictureRule(224, 224)).shape == (-(-side // 8), -(-side // 8), 3)
    # Progressive pictures are held whole by libjpeg, whatever the scale.
    start = data.index(b"\xff\xc0")
    progressive = data[:start] + b"\xff\xc2" + data[start + 2 :]
    assert reason(progressive, rule=PictureRule(224, 224)) == "more than 178 million pixels"


# ------------------------------------------------------------------------------ colour profiles


def swapped_profile() -> bytes:
    """sRGB with the red and blue primaries exchanged (ICC.1:2022, 7.3: the tag table)."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = data.index(b"rXYZ"), data.index(b"bXYZ")
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_profile_is_followed_to_srgb(kind: str) -> None:
    """With two primaries exchanged, red is shown as blue."""
    red = Image.new("RGB", (16, 16), (255, 0, 0))
    data = encoded(red, kind, icc_profile=swapped_profile(), quality=95)
    assert np.abs(decode(data)[8, 8].astype(int) - (0, 0, 255)).max() < 8
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 128))
    if kind != "JPEG":
        data = encoded(clear, kind, icc_profile=swapped_profile(), lossless=True)
        assert np.abs(decode(data)[8, 8].astype(int) - (0, 0, 128)).max() < 8


def test_srgb_and_unusable_profiles_change_nothing(colours: Pixels) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (srgb, lab, b"x" * 200, b"x", srgb[:200], srgb[:300] + bytes(len(srgb) - 300)):
        data = encoded(colours, "PNG", icc_profile=profile)
        np.testing.assert_array_equal(decode(data), colours)


def test_a_profile_for_colour_serves_a_grey_picture() -> None:
    """sRGB with gamma 1 in its curve: 77 stands for the light (77/255 + 0.055)/1.055 = 0.338."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    gamma = profile.index(b"para") + 12  # ICC.1:2022, 10.18: parametricCurveType
    profile[gamma : gamma + 4] = (1 << 16).to_bytes(4, "big")
    grey = encoded(Image.new("L", (4, 4), 77), "PNG", icc_profile=bytes(profile))
    expected = 255 * (1.055 * 0.338 ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    assert np.abs(decode(grey) - expected).max() <= 1.5


# ------------------------------------------------------------------------------ files


def test_only_regular_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: object) -> str:
        with pytest.raises(InvalidDataError) as caught:
            read_picture(path)  # type: ignore[arg-type]
        return caught.value.reason

    file = tmp_path / "file"
    file.write_bytes(b"bytes")
    (tmp_path / "link").symlink_to(file)
    assert read_picture(tmp_path / "link") == b"bytes"
    assert refused(tmp_path) == "a folder, not a file"
    assert refused(tmp_path / "missing") == "no such file"
    assert refused(file / "below") == "no such file"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert refused(tmp_path / "loop") == "links in a circle"
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe") == "not a regular file"
    assert refused("/dev/zero") == "not a regular file"
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # socket names are short
        server.bind("socket")
        assert refused(tmp_path / "socket") == "not a regular file"
    with open(tmp_path / "huge", "wb") as huge:
        huge.truncate(2**30 + 1)
    assert refused(tmp_path / "huge") == "larger than 1 GiB"
    assert refused(tmp_path / ("x" * 300)) == "the name is too long"
    assert refused("a\0b") == "not a file name"
    assert refused(3) == "not a file name"


def test_names_that_are_not_utf8_are_named_printably(tmp_path: Path) -> None:
    path = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg"))
    with pytest.raises(InvalidDataError) as caught:
        decode(path)
    assert str(caught.value).encode().endswith(b"caf\\xe9.jpg: no such file")


# ------------------------------------------------------------------------------ hostile files


def test_the_hostile_set(shared_data: Path, tmp_path: Path) -> None:
    """Every row of the manifest, within 3 GiB of memory; `tests/test_decode.py` is the child."""
    make = shared_data / "hostile" / "make_hostile.py"
    if not make.exists():
        pytest.skip(f"no {make}")
    made = tmp_path / "set"
    subprocess.run([sys.executable, make, made], check=True, timeout=120, capture_output=True)
    child = subprocess.run(
        [sys.executable, "-W", "error", __file__, made],
        timeout=300,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.splitlines() == ["166 rows"]


def check_hostile(folder: Path) -> None:
    """Print a line for each row that is not as the manifest says, then the number of rows."""
    import csv
    import resource
    from urllib.parse import unquote_to_bytes

    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        path = os.fsdecode(os.path.join(os.fsencode(folder), unquote_to_bytes(row["file"])))
        for rule in (None, PictureRule(16, 24)):
            problem = hostile_problem(path, row, rule)
            if problem:
                print(row["file"], rule, problem)
    print(len(rows), "rows")


CORNERS = np.array([[200, 40, 40], [40, 180, 60], [40, 60, 200], [220, 200, 60]])


def hostile_problem(path: str, row: dict[str, str], rule: PictureRule | None) -> str:
    try:
        pixels = decode(path, rule)
    except InvalidDataError as error:
        return f"refused: {error}" if row["expected"] == "pixels" else ""
    if row["expected"] == "error":
        return "not refused"
    size = (pixels.shape[1], pixels.shape[0])
    if rule is None and row["width"] and size != (int(row["width"]), int(row["height"])):
        return f"size {size}"
    if row["mean_r"]:
        expected = [float(row[f"mean_{channel}"]) for channel in "rgb"]
        mean = pixels.reshape(-1, 3).mean(0)
        if np.abs(mean - expected).max() > 3:
            return f"mean {mean}"
    if row["kind"] == "orientation" and row["mean_r"]:
        down, across = size[1] // 8, size[0] // 8
        corners = pixels[[down, down, -down, -down], [across, -across, across, -across]]
        if np.abs(corners.astype(int) - CORNERS).max() > 40:
            return f"corners {corners.tolist()}"
    return ""


@pytest.fixture(scope="module")
def whole_files() -> list[bytes]:
    y, x = np.mgrid[0:40, 0:56]
    picture = np.stack([x * 4, y * 6, (x * y) % 256], axis=-1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [
        encoded(picture, kind, exif=exif, icc_profile=swapped_profile(), quality=80)
        for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")
    ]
    files.append(encoded(picture, "JPEG", progressive=True))
    files.append(encoded(Image.fromarray(picture).convert("P"), "GIF", transparency=3))
    files.append(encoded(picture, "BMP"))
    files.append(encoded(picture, "TIFF", compression="tiff_lzw"))
    return files


def is_pixels_or_refused(data: bytes) -> None:
    """Anything else that is raised, a warning too, fails the test."""
    for rule in (None, PictureRule(8, 8)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                pixels = decode(data, rule)
            except InvalidDataError as error:
                assert len(error.reason) < 60  # noqa: PT017
            else:
                assert pixels.dtype == np.uint8
                assert pixels.ndim == 3
                assert pixels.shape[2] == 3


MAGIC = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*"]
MAGIC += [b"RIFF\0\0\0\0WEBP", b"\0\0\0\x18ftypavif", b"\0\0\0\x18ftypheic", b"II+\0"]


@given(st.sampled_from(MAGIC), st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_refused(magic: bytes, data: bytes) -> None:
    is_pixels_or_refused(magic + data)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_files_are_read_or_refused(whole_files: list[bytes], data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from(whole_files)))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))
    is_pixels_or_refused(bytes(damaged[:end]))


def test_pictures_cut_anywhere_are_truncated() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encoded(noise, kind)
        for share in (0.3, 0.5, 0.7, 0.9):
            assert reason(data[: int(len(data) * share)]) == "truncated", kind


def test_pillow_is_quiet_even_where_it_would_warn() -> None:
    """A JPEG with a damaged tag, and pictures so large that Pillow suspects an attack."""
    exif = Image.Exif()
    exif[270] = "x" * 90
    jpeg = bytearray(encoded(Image.new("L", (8, 8)), "JPEG", exif=exif))
    entry = jpeg.index(b"\x01\x0e\x00\x02")  # tag 270, ASCII; then the count
    jpeg[entry + 4 : entry + 8] = (60_000).to_bytes(4, "big")
    large = encoded(Image.new("1", (9600, 9600)), "TIFF", compression="group4")
    gif = b"GIF89a" + (9600).to_bytes(2, "little") * 2 + encoded(Image.new("L", (8, 8)), "GIF")[10:]
    with pytest.warns(UserWarning, match="Tag data larger than file|Truncated File Read"):
        Image.open(io.BytesIO(jpeg)).getexif()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(bytes(jpeg)).shape == (8, 8, 3)
        assert decode(large).shape == (9600, 9600, 3)
        assert decode(gif).shape == (9600, 9600, 3)


def test_threads_decode_the_same(whole_files: list[bytes]) -> None:
    alone = [decode(data) for data in whole_files]
    wrong: list[int] = []

    def work() -> None:
        for _ in range(10):
            for number, data in enumerate(whole_files):
                if not np.array_equal(decode(data), alone[number]):
                    wrong.append(number)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


if __name__ == "__main__":
    check_hostile(Path(sys.argv[1]))
