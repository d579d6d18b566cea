"""The pictures that the small captioner learns from: rendered scenes as one array, with their captions as tokens.

Used by `python -m data.train_captioner`; writes nothing.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import BertTokenizer

from data.pictures import rendering, scenes
from data.pictures.scenes import COLOURS, COUNTS, MATERIALS, OBJECTS, SETTINGS, Scene
from enrich.progress import progress

CHUNK = 500  # scenes rendered by one task
CLASSES = (len(OBJECTS), len(COLOURS), len(MATERIALS), len(SETTINGS), len(COUNTS))  # of a scene's five slots
Pixels = NDArray[np.uint8]  # [n, size, size, 4]: red, green, blue, and 255 where a thing of the scene covers the pixel


class Pool(NamedTuple):
    pixels: Pixels
    captions: Tensor  # [n, length] token ids, padded
    labels: Tensor  # [n, 5] class of object, colour, material, setting, count


def draw(count: int, seeds: range, held_out: bool, seed: int) -> list[tuple[Scene, int]]:
    """`count` scenes, all held out or none, each with the seed to render it by."""
    rng = np.random.default_rng([seed, seeds.start])
    found: list[tuple[Scene, int]] = []
    while len(found) < count:
        scene = scenes.draw_scene(rng)
        if scenes.held_out(scene) == held_out:
            found.append((scene, seeds[len(found)]))
    return found


def render_all(wanted: list[tuple[Scene, int]], size: int, workers: int, label: str) -> Pixels:
    """The scenes' pictures; every second one has been through JPEG, as pictures on the web have."""
    chunks = [wanted[i : i + CHUNK] for i in range(0, len(wanted), CHUNK)]
    pixels = np.empty((len(wanted), size, size, 4), np.uint8)
    with ProcessPoolExecutor(workers) as pool, progress(len(wanted), label, unit="scene") as bar:
        for i, rendered in enumerate(pool.map(_render_chunk, chunks, [size] * len(chunks))):
            pixels[i * CHUNK : i * CHUNK + len(rendered)] = rendered
            bar.update(len(rendered))
    return pixels


def _render_chunk(chunk: list[tuple[Scene, int]], size: int) -> Pixels:
    return np.stack([_render(scene, seed, size) for scene, seed in chunk])


def _render(scene: Scene, seed: int, size: int) -> Pixels:
    picture, cover = rendering.render_with_cover(scene, seed, size)
    if seed % 2:
        stored = BytesIO()
        picture.save(stored, "JPEG", quality=70 + seed % 27)
        picture = Image.open(stored)
    return np.dstack([np.asarray(picture, np.uint8), np.asarray(cover, np.uint8)])


def build_pool(count: int, seed: int, size: int, tokenizer: BertTokenizer, workers: int) -> Pool:
    """`count` training scenes of `size` × `size` pixels, rendered by `workers` processes."""
    wanted = draw(count, scenes.TRAINING_SEEDS, held_out=False, seed=seed)
    pixels = render_all(wanted, size, workers, "training scenes")
    drawn = [scene for scene, _ in wanted]
    captions = tokenizer([scenes.reference_caption(scene) for scene in drawn], padding=True, return_tensors="pt")
    return Pool(pixels, captions["input_ids"], torch.tensor([classes(scene) for scene in drawn]))


def classes(scene: Scene) -> tuple[int, ...]:
    """The places of the scene's five slots in the vocabulary."""
    return (
        [thing.name for thing in OBJECTS].index(scene.object),
        [colour.name for colour in COLOURS].index(scene.colour),
        MATERIALS.index(scene.material),
        [setting.name for setting in SETTINGS].index(scene.setting),
        COUNTS.index(scene.count),
    )


def augment(pixels: Pixels, shift: int, rng: np.random.Generator) -> Pixels:
    """Each picture mirrored or not, and moved by up to `shift` pixels; its caption stays true."""
    padded = np.pad(pixels, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="edge")
    moved = np.empty_like(pixels)
    size = pixels.shape[1]
    for i, (down, right, mirrored) in enumerate(rng.integers(0, (2 * shift + 1, 2 * shift + 1, 2), (len(pixels), 3))):
        picture = padded[i, down : down + size, right : right + size]
        moved[i] = picture[:, ::-1] if mirrored else picture
    return moved


def covered(pixels: Pixels, patch: int) -> NDArray[np.bool_]:
    """Which patches of `patch` × `patch` pixels, row by row, things cover at least by half: bool [n, patches]."""
    count, size = len(pixels), pixels.shape[1] // patch
    blocks = pixels[..., 3].reshape(count, size, patch, size, patch)
    return np.asarray(blocks.mean(axis=(2, 4)) > 127).reshape(count, size * size)
