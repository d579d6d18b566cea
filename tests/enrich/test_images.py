"""Pictures: every mode comes out RGB and upright, and every bad file has one named reason."""

import asyncio
import json
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from io import BytesIO

import fsspec
import hostile_pictures
import numpy as np
import pytest
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry
from hostile_pictures import HOSTILE, encoded, grey_tiff, icns, ico, png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFile

from enrich import images
from enrich.errors import BadInput
from enrich.image_hashes import content_hash
from enrich.image_modes import to_rgb
from enrich.image_uris import read_image
from enrich.images import BadImage, ImageReason, load_image
from enrich.jpeg_scans import read_scans, without_details

TRUNCATABLE = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM")


def first_pixel(data: bytes) -> tuple[int, ...]:
    image = load_image(data)
    assert image.mode == "RGB"
    return image.getpixel((0, 0))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGBA", (4, 4), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (0, 0, 0, 128)), (127, 127, 127)),
        (Image.new("LA", (4, 4), (0, 0)), (255, 255, 255)),
        (Image.new("L", (4, 4), 77), (77, 77, 77)),
        (Image.new("1", (4, 4), 1), (255, 255, 255)),
        (Image.new("P", (4, 4), 0), (0, 0, 0)),
        (Image.fromarray(np.full((4, 4), 65535, np.uint16)), (255, 255, 255)),
        (Image.fromarray(np.full((4, 4), 32896, np.uint16)), (128, 128, 128)),
        (Image.fromarray(np.full((4, 4), 255, np.uint16)), (1, 1, 1)),
    ],
)
def test_every_png_mode_becomes_rgb_with_transparency_over_white(image, expected):
    assert first_pixel(encoded(image)) == expected


@pytest.mark.parametrize(
    "mode", ["La", "RGBa", "PA", "LA", "RGBA", "RGBX", "HSV", "YCbCr", "CMYK", "LAB", "P", "1", "L"]
)
def test_every_mode_of_pillow_becomes_what_it_shows(mode):
    """Half transparent black where the mode knows of transparency, else black."""
    rgba = Image.new("RGBA", (5, 3), (0, 0, 0, 128))
    image = {
        "La": lambda: rgba.convert("LA").convert("La"),
        "PA": lambda: Image.merge("LA", (Image.new("L", (5, 3)), Image.new("L", (5, 3), 128))).convert("PA"),
        "LAB": lambda: Image.new("LAB", (5, 3), (0, 128, 128)),
    }.get(mode, lambda: rgba.convert(mode))()
    assert image.mode == mode
    rgb = to_rgb(image)
    assert (rgb.mode, rgb.size) == ("RGB", (5, 3))
    expected = 127 if mode in ("La", "RGBa", "P", "LA", "RGBA") else 0  # Pillow's PA is opaque when converted so
    assert max(abs(level - expected) for level in rgb.getpixel((4, 2))) <= 1


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I"])
def test_deep_grey_of_either_byte_order_is_scaled(mode):
    raw = {"I;16B": ">u2", "I": "<i4"}.get(mode, "<u2")
    values = np.array([[0, 32_896, 65_535]], raw)
    image = Image.frombytes(mode, (3, 1), values.tobytes())
    assert [level for level, _, _ in to_rgb(image).get_flattened_data()] == [0, 128, 255]


def test_a_transparent_colour_of_a_palette_or_of_deep_grey_is_white():
    palette = Image.new("P", (2, 1), 1)
    palette.putpalette([9, 9, 9, 0, 0, 255])
    palette.putpixel((0, 0), 0)
    assert first_pixel(encoded(palette, transparency=0)) == (255, 255, 255)
    assert load_image(encoded(palette, transparency=0)).getpixel((1, 0)) == (0, 0, 255)
    deep = png(2, 1, hostile_pictures.chunk(b"tRNS", b"\x12\x34"), depth=16, colour=0, rows=b"\0\x12\x34\x80\x80")
    assert [level for level, _, _ in load_image(deep).get_flattened_data()] == [255, 128]


def test_white_is_zero_where_the_file_says_so_and_twelve_bits_are_scaled_as_twelve():
    inverted = grey_tiff(1, 1, (258, 3, 1, 16), (262, 3, 1, 0), (279, 4, 1, 2), (273, 4, 1, 150), after=bytes(99))
    assert first_pixel(inverted) == (255, 255, 255)
    packed = grey_tiff(2, 1, (258, 3, 1, 12), (279, 4, 1, 3), (273, 4, 1, 110), after=b"\xff\xf8\x00" + bytes(99))
    assert [level for level, _, _ in load_image(packed).get_flattened_data()] == [255, 128]


def test_sixteen_bits_a_channel_and_jpegs_of_four_inks_come_out_in_colour():
    sixteen = png(1, 1, depth=16, rows=b"\0\xff\xff\x80\x00\x00\x00")
    assert first_pixel(sixteen) == (255, 128, 0)
    red = first_pixel(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
    assert (red[0] > 240, red[1] < 15, red[2] < 15) == (True, True, True)


def test_lights_of_a_high_dynamic_range_leave_the_rest_visible():
    values = np.full((100, 100), 0.5, np.float32)
    values[0, :5] = 10_000  # a lamp
    assert load_image(encoded(Image.fromarray(values), "TIFF")).getpixel((50, 50)) == (128, 128, 128)
    radiance = np.linspace(0, 20, 10_000, dtype=np.float32).reshape(100, 100)
    radiance[0, :3] = (np.inf, -np.inf, np.nan)
    levels = np.asarray(load_image(encoded(Image.fromarray(radiance), "TIFF")))[1:, :, 0]
    assert (levels.min() < 5, levels.max() > 250) == (True, True)


@pytest.mark.parametrize(
    "format", ["SGI", "DDS", "XBM", "ICNS", "MSP", "TGA", "PCX", "ICO", "PPM", "BMP", "AVIF", "QOI"]
)
def test_what_pillow_writes_is_read(format):
    mode = {"XBM": "1", "MSP": "1"}.get(format, "RGB")
    shown = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(shown).rectangle((0, 0, 31, 63), fill="black")
    loaded = load_image(encoded(shown.convert(mode), format))
    assert [loaded.resize((64, 64)).getpixel((x, 30))[0] // 128 for x in (8, 56)] == [0, 1]


def test_floating_grey_is_read_in_its_own_range():
    ramp = np.array([[0.0, 0.5, 1.0]], np.float32)
    for scale in (1, 255):
        values = np.asarray(load_image(encoded(Image.fromarray(ramp * scale), "TIFF")))[0, :, 0]
        assert values.tolist() == [0, 128, 255]


def test_cmyk_becomes_rgb():
    red, green, blue = first_pixel(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert red > 240
    assert max(green, blue) < 15


def test_exif_orientation_is_applied():
    image = Image.new("RGB", (20, 10), "white")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the stored top is the picture's right
    assert load_image(encoded(image, "JPEG", exif=exif)).size == (10, 20)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "MPO"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("at_least", [None, (12, 6)])
def test_every_orientation_of_every_format_is_turned_upright(format, orientation, at_least):
    """A red corner at the upright picture's top left, stored as a camera of that orientation would."""
    upright = Image.new("RGB", (96, 48), "white")
    upright.paste("red", (0, 0, 32, 16))
    back = {6: 90, 8: 270, 3: 180}  # counter-clockwise, as Pillow rotates
    mirrored = {2: "FLIP_LEFT_RIGHT", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 7: "TRANSVERSE"}
    stored = upright.rotate(back[orientation], expand=True) if orientation in back else upright
    stored = stored.transpose(Image.Transpose[mirrored[orientation]]) if orientation in mirrored else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load_image(encoded(stored, format, exif=exif), at_least=at_least)
    assert loaded.width == 2 * loaded.height
    small = loaded.resize((12, 6))
    assert [small.getpixel(at)[1] < 128 for at in ((1, 0), (10, 0), (1, 5), (10, 5))] == [True, False, False, False]


def test_broken_exif_leaves_the_picture():
    data = encoded(Image.new("RGB", (20, 10), "red"), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert load_image(data).size == (20, 10)


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    assert first_pixel(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])) == (255, 0, 0)


@pytest.mark.parametrize("format", TRUNCATABLE)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_file_cut_short_is_called_truncated(format, share):
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(noise), format)
    assert load_image(whole).size == (40, 40)
    with pytest.raises(BadImage) as refused:
        load_image(whole[: int(len(whole) * share)])
    assert refused.value.reason == "truncated"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not-an-image"),
        (b"<!doctype html><title>404</title>", "not-an-image"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 40 + b"\xff\xd9", "corrupt"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported"),
        (b"<?xml version='1.0'?>\n<svg/>", "unsupported"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "unsupported"),
    ],
)
def test_what_is_no_picture_says_what_it_is(data, reason):
    with pytest.raises(BadImage) as refused:
        load_image(data)
    assert refused.value.reason == reason
    assert isinstance(refused.value, BadInput)


@pytest.mark.parametrize("size", [(60_000, 60_000), (12_000, 12_000), (8_193, 8_192)])
def test_a_picture_of_too_many_pixels_is_refused_before_one_is_decoded(size):
    claim = bytearray(encoded(Image.new("L", (1, 1))))
    claim[16:24] = size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big")  # IHDR's width and height
    claim[29:33] = zlib.crc32(bytes(claim[12:29])).to_bytes(4, "big")
    with pytest.raises(BadImage) as refused:
        load_image(bytes(claim))
    assert refused.value.reason == "too-many-pixels"


def test_too_many_bytes_are_not_even_opened():
    with pytest.raises(BadImage) as refused:
        load_image(bytes(images.MAX_BYTES + 1))
    assert refused.value.reason == "too-many-bytes"


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from((b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff", b"BM", b"RIFF"))
)
def test_arbitrary_bytes_load_or_are_refused_with_a_reason(data, head):
    try:
        assert load_image(head + data).mode == "RGB"
    except BadImage as refused:
        assert refused.reason in list(ImageReason)[:6]


def test_real_odd_files_load_where_pillow_can_and_are_refused_by_reason_elsewhere(shared_data):
    folder = shared_data / "images"
    for line in (folder / "images.jsonl").read_text().splitlines():
        record = json.loads(line)
        try:
            image = load_image((folder / record["file"]).read_bytes())
            assert record["note"].startswith("loads"), record
            assert image.mode == "RGB"
        except BadImage as refused:
            assert not record["note"].startswith("loads"), (record, str(refused))
            expected = {"bomb": {"too-many-pixels"}, "truncated": {"truncated"}}.get(
                record["kind"], {"truncated", "corrupt", "unsupported", "not-an-image"}
            )
            assert refused.reason in expected, record


# ---- smaller than it is


def photograph(width: int, height: int) -> Image.Image:
    """Soft shapes, sharp edges, thin lines and grain."""
    rng = np.random.default_rng(width)
    image = Image.fromarray(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8)).resize((width, height), 3)
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, size = rng.integers(0, width), rng.integers(0, height), int(rng.integers(9, width // 4))
        colour = tuple(rng.integers(0, 255, 3).tolist())
        draw.ellipse((x, y, x + size, y + size), fill=colour)
        draw.line((y, x, x + size, y), fill=colour, width=max(2, width // 300))
    grain = rng.normal(0, 6, (height, width, 1))
    return Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))


def psnr(one: Image.Image, other: Image.Image) -> float:
    error = np.square(np.asarray(one, float) - np.asarray(other, float)).mean()
    return 10 * np.log10(255**2 / max(error, 1e-9))


_PHOTOGRAPH = photograph(1_200, 900)
_KINDS = {
    "jpeg": lambda image: encoded(image, "JPEG", quality=90),
    "progressive": lambda image: encoded(image, "JPEG", quality=90, progressive=True),
    "cmyk": lambda image: encoded(image.convert("CMYK"), "JPEG", quality=90),
    "grey": lambda image: encoded(image.convert("L"), "JPEG", quality=90),
    "mpo": lambda image: encoded(image, "MPO", quality=90, save_all=True, append_images=[image]),
    "png": lambda image: encoded(image, "PNG", compress_level=1),
    "see-through": lambda image: encoded(image.convert("RGBA"), "PNG", compress_level=1),
    "palette": lambda image: encoded(image.quantize(200), "GIF"),
    "jpeg2000": lambda image: encoded(image, "JPEG2000", irreversible=True),
    "webp": lambda image: encoded(image, "WEBP", quality=80, method=0),
}


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("size", [(224, 224), (96, 96), (300, 400)])
def test_a_picture_loaded_small_looks_the_same_once_shrunk(kind, size):
    data = _stored(kind)
    whole, small = load_image(data), load_image(data, at_least=size)
    assert whole.size == (1_200, 900)
    assert (small.width >= size[0], small.height >= size[1]) == (True, True)
    assert small.width * small.height < 20 * size[0] * size[1]
    bicubic = Image.Resampling.BICUBIC
    assert psnr(small.resize(size, bicubic), whole.resize(size, bicubic)) > 36


_ENCODED: dict[str, bytes] = {}


def _stored(kind: str) -> bytes:
    if kind not in _ENCODED:
        _ENCODED[kind] = _KINDS[kind](_PHOTOGRAPH)
    return _ENCODED[kind]


@settings(max_examples=60)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 100), st.integers(1, 100), st.booleans())
def test_no_side_is_ever_smaller_than_asked_where_it_was_not_before(width, height, least_width, least_height, jpeg):
    data = encoded(Image.new("RGB", (width, height)), "JPEG" if jpeg else "PNG")
    small = load_image(data, at_least=(least_width, least_height))
    assert small.width >= min(width, least_width)
    assert small.height >= min(height, least_height)


def test_a_progressive_jpeg_loaded_small_leaves_out_the_scans_of_details():
    data = _stored("progressive")
    scans = read_scans(data)
    assert (scans.progressive, scans.whole, len(scans.found), scans.one_pass) == (True, True, 10, False)
    means = without_details(data, scans, 8)
    assert len(means) < len(data) / 3
    assert [scan.first for scan in read_scans(means).found] == [0, 1, 1, 1, 0]
    assert without_details(data, scans, 1) == data
    assert read_scans(_stored("jpeg")).one_pass


@pytest.mark.parametrize("kind", ["jpeg", "progressive"])
def test_a_jpeg_cut_short_is_truncated_loaded_small_too(kind):
    data = _stored(kind)
    with pytest.raises(BadImage, match="truncated"):
        load_image(data[: len(data) // 2], at_least=(96, 96))


def test_a_jpeg_of_more_pixels_than_are_decoded_whole_can_be_loaded_small():
    large = hostile_pictures.claiming(*_claim(11_000, 11_000))
    with pytest.raises(BadImage, match="too-many-pixels"):
        load_image(large)
    with pytest.raises(BadImage, match=r"truncated|corrupt"):
        load_image(large, at_least=(384, 384))  # it holds no more than it did
    with pytest.raises(BadImage, match="too-many-pixels"):
        load_image(hostile_pictures.claiming(*_claim(15_000, 15_000)), at_least=(384, 384))


def test_a_jpeg_of_the_largest_camera_is_loaded_small_though_pillow_would_not_open_it():
    of_200_megapixels = hostile_pictures.claiming(*_claim(16_320, 12_240))
    with pytest.raises(Image.DecompressionBombError):
        Image.open(BytesIO(of_200_megapixels))
    with pytest.raises(BadImage, match=r"truncated|corrupt"):
        load_image(of_200_megapixels, at_least=(384, 384))


@pytest.mark.parametrize(("kind", "width", "height"), [("PNG", 9_504, 6_336), ("JPEG", 12_369, 8_246)])
def test_a_picture_loaded_small_may_have_the_pixels_of_a_camera(kind, width, height):
    image = Image.new("L", (width, height), 200)
    data = encoded(image, kind, **({"compress_level": 1} if kind == "PNG" else {"quality": 60}))
    small = load_image(data, at_least=(384, 384))
    assert 384 <= min(small.size) < 1_100
    assert small.getpixel((9, 9)) == (200, 200, 200)
    with pytest.raises(BadImage, match="too-many-pixels"):
        load_image(data)


def test_a_picture_too_narrow_to_be_shrunk_may_have_no_more_pixels_than_a_whole_one():
    narrow = png(60_000, 900, rows=b"")
    with pytest.raises(BadImage, match="too-many-pixels"):
        load_image(narrow, at_least=(1_000, 1_000))


@pytest.mark.parametrize(
    ("mode", "subsampling", "most", "most_small"),
    [
        ("RGB", 0, 41_000_000, 67_600_000),  # 6 bytes of coefficients a pixel
        ("RGB", 2, 50_000_000, 133_800_000),  # 4:2:0: 3 bytes
        ("CMYK", 0, 34_100_000, 50_800_000),
        ("L", 0, 50_000_000, 198_700_000),
    ],
)
def test_a_jpeg_whose_coefficients_are_held_until_its_last_scan_may_have_fewer_pixels(
    mode, subsampling, most, most_small
):
    whole = encoded(Image.new(mode, (16, 16)), "JPEG", progressive=True, subsampling=subsampling)
    at = whole.index(b"\xff\xc2") + 5
    for bound, at_least in ((most, None), (most_small, (384, 384))):
        for rows in (int(bound * 1.01) // 5_000, int(bound * 0.99) // 5_000):
            with pytest.raises(BadImage) as refused:
                load_image(hostile_pictures.claiming(whole, at, ">HH", rows, 5_000)[:-2], at_least=at_least)
            assert (refused.value.reason == "too-many-pixels") == (rows * 5_000 > bound)


def _claim(width: int, height: int) -> tuple[bytes, int, str, int, int]:
    whole = encoded(Image.new("L", (8, 8)), "JPEG")
    return whole[:-2], whole.index(b"\xff\xc0") + 5, ">HH", height, width


# ---- hostile files


@pytest.mark.timeout(600)  # a second a file at most, unless a bound is gone
def test_hostile_files_and_real_odd_ones_end_and_cost_little_memory(tmp_path, shared_data):
    for name, make in HOSTILE.items():
        (tmp_path / name).write_bytes(make())
    command = [sys.executable, hostile_pictures.__file__, str(tmp_path), str(shared_data / "images")]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True)
    *lines, megabytes = (json.loads(line) for line in done.stdout.splitlines())
    assert len(lines) == 2 * (len(HOSTILE) + len(list((shared_data / "images").iterdir())))
    assert megabytes < 500
    loaded = {name for name, outcome, _ in lines if outcome.startswith("RGB") and name in HOSTILE}
    assert {"frames.gif", "large.png", "pages.tif", "entries.ico", "frames.webp", "runs.qoi", "rows.tif"} <= loaded
    assert not loaded & {name for name in HOSTILE if name.startswith(("bomb", "claims", "inside", "tiles", "chunks"))}


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@settings(max_examples=150)
@given(st.data())
def test_real_files_with_bytes_changed_load_or_are_refused(data):
    kinds = ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "JPEG2000", "BMP", "TIFF", "ICO", "TGA", "PCX", "SGI", "DDS", "ICNS"]
    whole = bytearray(_small(data.draw(st.sampled_from(kinds))))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for at_least in (None, (8, 8)):
        for changed in (bytes(whole), bytes(whole[:cut])):
            try:
                assert load_image(changed, at_least=at_least).mode == "RGB"
            except BadImage as refused:
                assert refused.reason in list(ImageReason)[:6]


def _small(format: str) -> bytes:
    if format not in _ENCODED:
        _ENCODED[format] = encoded(_PHOTOGRAPH.resize((32, 32)), format)
    return _ENCODED[format]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_big_tiff_of_more_strips_than_any_has_is_refused_by_its_head(order):
    mark = (b"II+\0" if order == "<" else b"MM\0+") + struct.pack(order + "HHQ", 8, 0, 16)
    entries = [(256, 3, 1, 8), (257, 3, 1, 8), (273, 16, 3_000_000, 8)]
    claim = mark + struct.pack(order + "Q", len(entries)) + b"".join(struct.pack(order + "HHQQ", *e) for e in entries)
    with pytest.raises(BadImage, match="a TIFF of 3000000 strips"):
        load_image(claim)


def test_a_jpeg_of_many_segments_and_fillers_as_cameras_write_them_is_read():
    profile = b"".join(b"\xff\xff\xff\xe2\xff\xff" + bytes(65_533) for _ in range(200))
    assert load_image(hostile_pictures.jpeg_after(profile)).size == (8, 8)


def test_an_icon_of_usual_size_is_read_and_one_that_claims_more_is_not():
    assert load_image(ico(png(64, 64))).size == (64, 64)
    assert load_image(icns(b"ic07", png(128, 128))).size == (128, 128)
    for claim in (ico(png(3_000, 3_000)), icns(b"ic07", png(3_000, 3_000))):
        with pytest.raises(BadImage, match="too-many-pixels"):
            load_image(claim)


@pytest.mark.parametrize("head", [b"BLP2", b"SIMPLE  = ", b"\x76\x2f\x31\x01", b"#?RADIANCE\n", b"\xd7\xcd\xc6\x9a"])
def test_formats_that_are_not_read_are_unsupported(head):
    with pytest.raises(BadImage, match="unsupported"):
        load_image(head + bytes(1_000))


def test_floating_colour_that_pillow_has_no_mode_for_is_unsupported():
    tags = ((258, 3, 1, 32), (262, 3, 1, 2), (277, 3, 1, 3), (339, 3, 1, 3), (279, 4, 1, 12))
    with pytest.raises(BadImage, match="unsupported"):
        load_image(grey_tiff(1, 1, *tags, after=bytes(99)))


def test_pillows_own_settings_are_as_they_were_and_threads_do_not_lose_each_others_warnings():
    before = list(warnings.filters)
    odd = encoded(Image.new("P", (4, 4)), transparency=b"\0" * 9)
    threads = [threading.Thread(target=lambda: [load_image(odd) for _ in range(30)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
    assert Image.MAX_IMAGE_PIXELS == 89_478_485
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_refusal_travels_between_processes():
    import pickle

    refused = pickle.loads(pickle.dumps(BadImage(ImageReason.CORRUPT, "a hole (in it)")))
    assert (refused.reason, str(refused)) == ("corrupt", "expected a picture, found a hole (in it) (corrupt)")


# ---- image_uri


def test_paths_and_file_uris_name_the_same_file(tmp_path):
    (tmp_path / "a b.png").write_bytes(b"picture")
    for uri in (
        "a b.png",
        str(tmp_path / "a b.png"),
        f"file://{tmp_path}/a%20b.png",
        f"file://localhost{tmp_path}/a b.png",
    ):
        assert read_image(uri, tmp_path) == b"picture"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("missing.png", "not-found"),
        ("here/nested.png", "not-found"),
        (".", "unreadable"),
        ("/dev/zero", "unreadable"),
        ("nul\0.png", "unreadable"),
        ("file://elsewhere/a.png", "unsupported-uri"),
        ("data:image/png;base64,AAAA", "unsupported-uri"),
        ("http://[broken", "unsupported-uri"),
        ("gopher://host/a.png", "unsupported-uri"),
    ],
)
def test_what_cannot_be_read_has_a_reason(tmp_path, uri, reason):
    (tmp_path / "here").write_bytes(b"a file, not a folder")
    with pytest.raises(BadImage) as refused:
        read_image(uri, tmp_path)
    assert refused.value.reason == reason


def test_the_content_hash_follows_the_bytes_and_not_the_name(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    (tmp_path / "c").write_bytes(b"2")
    a, b, c = (content_hash(name, tmp_path) for name in "abc")
    assert a == b != c
    missing = content_hash("d", tmp_path)
    (tmp_path / "d").write_bytes(b"1")
    assert missing != content_hash("d", tmp_path) == a


# ---- object stores


class _Bucket(MemoryFileSystem):
    """A store that holds what a test puts there, and forbids one object."""

    protocol = "s3"

    def cat_file(self, path, start=None, end=None, **kwargs):
        if path.endswith("secret.png"):
            raise PermissionError("forbidden")
        return super().cat_file(path, start=start, end=end, **kwargs)


class _Silent(AsyncFileSystem):
    """A store that never answers."""

    protocol = "gs"

    async def _cat_file(self, path, start=None, end=None, **kwargs):
        await asyncio.Event().wait()


@pytest.fixture
def stores():
    before = dict(_registry)
    fsspec.register_implementation("s3", _Bucket, clobber=True)
    fsspec.register_implementation("gs", _Silent, clobber=True)
    yield
    _registry.clear()
    _registry.update(before)


def test_an_object_store_gives_the_bytes_that_are_allowed_and_no_more(stores, tmp_path):
    bucket = fsspec.filesystem("s3")
    bucket.pipe("s3://shop/a.png", b"picture")
    bucket.pipe("s3://shop/large.png", bytes(images.MAX_BYTES + 1_000))
    assert read_image("s3://shop/a.png", tmp_path) == b"picture"
    assert len(read_image("s3://shop/large.png", tmp_path)) == images.MAX_BYTES + 1


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("s3://shop/missing.png", "not-found"),
        ("s3://shop/secret.png", "unreadable"),
        ("gs://shop/never.png", "fetch-failed"),
        ("az://no-driver/a.png", "no-driver"),
    ],
)
def test_what_an_object_store_does_not_give_has_a_reason(stores, tmp_path, uri, reason):
    with pytest.raises(BadImage) as refused:
        read_image(uri, tmp_path, seconds=0.05)
    assert refused.value.reason == reason
