"""The rendered scenes: one vocabulary, one picture a seed, captions that say what the scene is."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from data.pictures import scenes
from data.pictures.backgrounds import BACKGROUNDS
from data.pictures.drawings_away import AWAY
from data.pictures.drawings_home import HOME
from data.pictures.materials import TILES
from data.pictures.rendering import render
from data.pictures.scenes import (
    COLOURS,
    COUNTS,
    INTERESTS,
    OBJECTS,
    SETTINGS,
    Scene,
    draw_scene,
    reference_caption,
)
from data.pictures.shapes import Kind


def test_fourteen_interests_have_five_objects_each_and_every_object_a_drawing():
    assert Counter(thing.interest for thing in OBJECTS) == dict.fromkeys(INTERESTS, 5)
    assert len(INTERESTS) == 14
    assert {thing.name for thing in OBJECTS} == set(HOME) | set(AWAY)


def test_every_object_can_be_plain_and_every_material_can_be_painted():
    assert all("plain" in thing.materials for thing in OBJECTS)
    assert set(scenes.MATERIALS) == set(TILES)


def test_every_setting_has_a_background():
    assert {setting.name for setting in SETTINGS} == set(BACKGROUNDS)


def test_drawings_stay_on_their_square():
    for name, drawing in {**HOME, **AWAY}.items():
        for shape in drawing:
            assert shape.kind is Kind.ARC or all(0 <= value <= 100 for value in shape.points), name


@pytest.mark.parametrize(
    ("scene", "caption"),
    [
        (Scene("scarf", "blue", "knitted", "table", 2), "two blue knitted scarves on a wooden table"),
        (Scene("cat", "orange", "plain", "snow", 1), "an orange cat in the snow"),
        (Scene("high heel", "red", "glass", "brick wall", 1), "a red glass high heel by a brick wall"),
        (Scene("fish", "white", "striped", "night sky", 3), "three white striped fish under a night sky"),
    ],
)
def test_a_caption_says_count_colour_material_object_and_setting(scene, caption):
    assert reference_caption(scene) == caption


def test_no_two_scenes_share_a_caption_unless_their_object_has_one_form():
    captions = Counter(
        reference_caption(Scene(thing.name, colour.name, material, setting.name, count))
        for thing in OBJECTS
        for colour in COLOURS
        for material in thing.materials
        for setting in SETTINGS
        for count in COUNTS
    )
    assert set(captions.values()) == {1}


def test_the_same_seed_paints_the_same_picture_and_another_does_not():
    scene = Scene("teapot", "green", "dotted", "shelf", 2)
    picture = np.asarray(render(scene, 7))
    assert picture.shape == (96, 96, 3)
    assert (picture == np.asarray(render(scene, 7))).all()
    assert (picture != np.asarray(render(scene, 8))).any()


def test_every_object_and_setting_renders_in_every_count():
    for i, thing in enumerate(OBJECTS):
        setting = SETTINGS[i % len(SETTINGS)].name
        picture = render(Scene(thing.name, "red", thing.materials[-1], setting, COUNTS[i % 3]), i, size=48)
        assert picture.size == (48, 48)
        assert np.asarray(picture).std() > 5, thing.name


def test_a_tenth_of_the_descriptions_is_held_out_of_training():
    rng = np.random.default_rng(0)
    held = [scenes.held_out(draw_scene(rng)) for _ in range(4000)]
    assert 0.08 < np.mean(held) < 0.12


def test_the_seeds_of_sample_training_and_test_are_disjoint():
    ranges = (scenes.SAMPLE_SEEDS, scenes.TRAINING_SEEDS, scenes.TEST_SEEDS)
    assert all(a.stop <= b.start for a, b in pairwise(ranges))
