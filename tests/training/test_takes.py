"""Talking clips kept on disk: drawing that goes on where it stopped, the same bits every time."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("espeakng_loader", reason="speech needs espeak-ng: pip install -r training/requirements.txt")

from latentsync_core.errors import OptionError
from training import stages
from training import takes as sequences
from training.meter.network import measure_openings
from training.performances import read_performance, write_performances
from training.synthetic.head.randomization import random_costume
from training.synthetic.scenes.scene import render, talking_head
from training.synthetic.speech.performance import silent_performance
from training.takes import FIRST_SEED, load_takes, other_take, perform_take, render_take, render_takes


def test_drawing_goes_on_where_it_stopped_and_may_be_made_longer(tmp_path, monkeypatch):
    drawn = []

    def quick(number, performances=None):
        drawn.append(number)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return np.full((75, 3, 128, 128), number, np.uint8), np.full(48000, number, np.int16), np.full(75, number)

    monkeypatch.setattr(sequences, "render_take", quick)
    with pytest.raises(KeyboardInterrupt):
        render_takes(3, tmp_path)
    assert len(load_takes(9, tmp_path)) == 2
    render_takes(5, tmp_path)
    assert drawn == [0, 1, 2, 2, 3, 4]
    found = load_takes(9, tmp_path)
    assert found.crops[:, 7, 1, 5, 5].tolist() == found.openings[:, 3].tolist() == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def take():
    return render_take(3)


def test_only_the_mouth_moves_in_another_way_in_the_other_take(take):
    crops, waveform, openings = take
    other = render_take(other_take(3))
    assert np.abs(waveform - other[1].astype(int)).max() > 1000
    eyes, mouth = np.s_[:, :, 30:50], np.s_[:, :, 85:110, 40:88]
    off = np.abs(other[0].astype(int) - crops)
    assert off[eyes].max() <= 3
    assert off[mouth].mean() > 5
    said, before = (measure_openings(torch.from_numpy(of) / 255) for of in (crops, other[0]))
    assert abs(np.corrcoef(said, before)[0, 1]) < 0.6
    assert np.corrcoef(said, openings)[0, 1] > 0.95  # the meter never saw a skin with a pattern
    assert np.corrcoef(before, other[2])[0, 1] > 0.95
    assert crops.shape == (75, 3, 128, 128)
    assert openings.min() == 0
    assert openings.max() > 0.1
    assert np.abs(waveform).max() > 1000


@pytest.fixture(scope="module")
def dressed():
    """One scene in the person's own clothes, in a costume, and the same costume without its pattern: frames, truth."""
    costume = replace(random_costume(2), scarf=(0.9, 0.1, 0.1))
    assert costume.pattern
    worn = (None, costume, replace(costume, pattern=None))
    scenes = [
        talking_head(5, seconds=0.2, performance=silent_performance(0.2), style="real", costume=one) for one in worn
    ]
    return [next(render(scene)) for scene in scenes]


def test_a_costume_changes_the_clothes_alone(dressed):
    (own, truth), (worn, _), (plain, _) = dressed
    left, top, right, chin = truth.faces[0].box.round().astype(int)
    assert np.array_equal(own[top : chin - 8, left + 12 : right - 12], worn[top : chin - 8, left + 12 : right - 12])
    below = np.s_[chin + 8 :, left:right]
    assert np.abs(own[below].astype(int) - worn[below]).max(-1).mean() > 20
    assert np.abs(plain[below].astype(int) - worn[below]).max(-1).mean() > 5


def test_about_half_of_the_people_wear_a_costume_in_both_takes(monkeypatch):
    monkeypatch.setattr(sequences, "perform_take", lambda number: silent_performance(3.0))

    def costume(number):
        return sequences._scene(number, np.random.default_rng(number // 2), 168, None).shots[0].actors[0].costume

    worn = [costume(number) for number in range(0, 160, 2)]
    assert worn == [costume(number) for number in range(1, 160, 2)]
    assert 0.35 < np.mean([one is not None for one in worn]) < 0.65
    with_scarf = [one.scarf is not None for one in worn if one]
    assert 0.4 < np.mean(with_scarf) < 0.8


def test_an_empty_folder_says_what_draws(tmp_path):
    with pytest.raises(OptionError, match=r"training\.takes"):
        load_takes(1, tmp_path)


@pytest.fixture
def modules(monkeypatch, tmp_path):
    """What the stages run, recorded; the VAE's correlation is the first value, SyncNet's accuracy the second."""
    ran, shown = [], {"correlation": 0.969, "accuracy": 0.8}

    def module(name, arguments, read=False):
        ran.append((name.removeprefix("training."), "--from" in arguments))
        vae = {"opening, decoded": {"pooled": shown["correlation"]}}
        return json.dumps(vae | {"own before shifted by 5 to 15 frames": [shown["accuracy"]]}) if read else ""

    monkeypatch.setattr(stages, "_run_module", module)
    monkeypatch.setattr(stages, "FIGURES_FOLDER", tmp_path / "figures")
    monkeypatch.setattr(stages, "WEIGHTS", tmp_path)
    return ran, shown


def test_a_stage_that_fails_its_criteria_stops_what_follows(modules, tmp_path):
    ran, _ = modules
    assert stages.run_stages("cpu") == ["vae: decoded openings correlate 0.97"]
    assert ran == [("takes", False), ("vae.train", False), ("vae.measure", False)]
    assert (tmp_path / "figures" / "vae.json").exists()


def test_weights_that_pass_are_not_trained_again_and_others_are_gone_on_from(modules, tmp_path):
    ran, shown = modules
    shown["correlation"] = 0.98
    for name in ("vae", "syncnet"):
        (tmp_path / f"{name}.safetensors").touch()
    assert stages.run_stages("cpu", until="syncnet") == ["syncnet: own sound before a shifted one 0.9"]
    assert [name for name, _ in ran] == [
        "takes",
        "vae.measure",
        "syncnet.measure",
        "syncnet.train",
        "syncnet.measure",
    ]
    assert ran[3] == ("syncnet.train", True)


def test_a_gpu_trains_for_a_fixed_time_from_the_present_weights_and_measures_nothing(modules, tmp_path):
    ran, _ = modules
    for name in ("vae", "unet"):
        (tmp_path / f"{name}.safetensors").touch()
    stages.run_for_fixed_time("gpu", tmp_path / "performances.zip")
    assert ran == [
        ("takes", False),
        ("vae.train", True),
        ("unet.features", False),
        ("unet.train", True),
        ("stage2.train", False),
    ]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "performances.zip"
    write_performances({3: perform_take(3)}, path)
    return path


def test_a_performance_read_from_an_archive_moves_the_mouth_to_the_same_bits(archive, take):
    _, waveform, openings = take
    performed, read = perform_take(3), read_performance(archive, 3, FIRST_SEED + 1)
    assert np.array_equal((read.waveform * 32767).round().astype(np.int16), waveform)
    times = np.arange(len(openings)) / 25
    assert read.mouth(times) == performed.mouth(times)
    assert archive.stat().st_size < 75_000  # on average 60 KB: 900 of them are 54 MB
    with pytest.raises(OptionError, match="no clip 6"):
        read_performance(archive, 6, 0)


@pytest.mark.slow
def test_a_clip_performed_and_rendered_again_from_an_archive_has_the_same_bits(archive, take):
    """Quick: test_a_performance_read_from_an_archive_moves_the_mouth_to_the_same_bits."""
    assert all(np.array_equal(*parts) for parts in zip(take, render_take(3, archive), strict=True))
