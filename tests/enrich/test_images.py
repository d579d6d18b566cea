"""Pictures: every mode comes out RGB and upright, and every bad file has one named reason."""

import json
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from enrich import images
from enrich.errors import BadInput
from enrich.image_hashes import content_hash
from enrich.image_uris import read_image
from enrich.images import BadImage, ImageReason, load_image

TRUNCATABLE = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM")


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    stored = BytesIO()
    image.save(stored, format, **options)
    return stored.getvalue()


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
