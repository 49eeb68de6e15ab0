"""The carried sample and the demonstration: whole, small, a face in every picture; a sheet that shows what changed."""

from __future__ import annotations

import re

import av
import numpy as np
import pytest
import torch
from PIL import Image

from latentsync_core.audio.source import load_audio
from latentsync_core.cli.before_after import (
    COLUMNS,
    MARGIN,
    TILE_SIZE,
    WAVEFORM_COLOR,
    WAVEFORM_HEIGHT,
    write_before_after,
)
from latentsync_core.cli.commands import main
from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.sample_scene import (
    HER_VOICE,
    HIS_VOICE,
    MUSIC_AND_EFFECTS,
    PORTRAIT,
    SAMPLE,
    SCENE,
    TWO_PEOPLE,
    VOICE,
)
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from training.synthetic.speech.espeak import is_available

LARGEST_SAMPLE = 2_200_000  # bytes


def test_the_sample_is_small_and_its_parts_last_equally_long():
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) <= LARGEST_SAMPLE
    clip = probe(SCENE)
    assert (clip.pixel_format, clip.audio_codec, clip.duration) == ("yuv420p", "aac", 8.0)
    for part in (VOICE, MUSIC_AND_EFFECTS):
        assert load_audio(part).duration == 8.0
    assert load_audio(MUSIC_AND_EFFECTS).channels == 2


def test_the_scene_and_the_portrait_show_a_face_in_every_frame():
    path = track_faces(probe(SCENE)).path
    assert (path.blend == 1).all()
    heights = (path.boxes[:, 3] - path.boxes[:, 1]) / probe(SCENE).height
    assert 0.25 < heights.min() < heights.max() < 0.6  # brows to chin
    assert track_faces(probe(PORTRAIT)).path.visible.all()


def test_the_scene_of_two_people_shows_both_and_then_her_in_every_frame():
    clip = probe(TWO_PEOPLE)
    assert (clip.pixel_format, clip.audio_codec, clip.duration) == ("yuv420p", "aac", 7.0)
    assert all(load_audio(voice).duration == 7.0 for voice in (HER_VOICE, HIS_VOICE))
    faces = track_faces(clip)
    assert faces.shots == ((0, 123), (123, 175))
    assert sorted((track.person, track.start, track.stop) for track in faces.tracks) == [
        (0, 0, 123),
        (0, 123, 175),
        (1, 0, 123),
    ]
    assert (faces.path.blend == 1).all()


@pytest.mark.skipif(not is_available(), reason="espeak-ng is not installed: pip install -r training/requirements.txt")
def test_the_scene_is_what_the_renderer_draws_so_its_mouth_is_known():
    from dev.make_sample import film_scene
    from training.synthetic.scenes.scene import render

    scene, _ = film_scene()
    drawn, truth = next(render(scene))
    with FrameReader(probe(SCENE), stop=1) as frames:
        carried = next(iter(frames)).rgb()
    error = (carried - torch.from_numpy(drawn).permute(2, 0, 1) / 255).square().mean()
    assert -10 * torch.log10(error) > 36  # dB
    assert truth.faces[0].opening == 0
    opening = [shape.opening for shape in scene.shots[0].actors[0].performance.mouth(np.arange(200) / 25)]
    assert max(opening) > 0.2
    assert opening[0] == opening[-1] == 0


def test_a_sheet_shows_the_changed_mouths_above_the_voice(tmp_path):
    """The scene's first and second half stand for before and after."""
    scene = probe(SCENE)
    write_before_after(scene.subclip(0, 100), scene.subclip(100, 200), load_audio(VOICE), tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    face = (sheet.shape[0] - WAVEFORM_HEIGHT) // 2
    assert sheet.shape[1] == MARGIN + COLUMNS * TILE_SIZE
    columns = [slice(MARGIN + index * TILE_SIZE, MARGIN + (index + 1) * TILE_SIZE) for index in range(COLUMNS)]
    assert all(np.abs(sheet[:face, part] - sheet[face : 2 * face, part]).mean() > 1 for part in columns)

    write_before_after(scene.subclip(0, 100), scene.subclip(0, 100), load_audio(VOICE), tmp_path / "same.png")
    same = np.asarray(Image.open(tmp_path / "same.png")).astype(int)
    assert (same[:face, MARGIN:] == same[face : 2 * face, MARGIN:]).all()
    inked = (same[2 * face :, MARGIN:] == WAVEFORM_COLOR).all(2).sum(0)  # of four seconds: a line, a pause, half a line
    spoken, paused = (inked[int(a / 4 * len(inked)) : int(b / 4 * len(inked))] for a, b in ((0.6, 1.6), (2.35, 2.65)))
    assert spoken.mean() > 8
    assert paused.max() <= 2


@pytest.mark.slow
def test_the_demonstration_leaves_a_clip_with_the_mixed_sound_a_sheet_and_a_report(tmp_path, capsys):
    out = tmp_path / "demo" / "out.mp4"
    assert main(["demo", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"out\.mp4: 200 frames at 25 fps, 200 synced", said)
    assert str(out.with_suffix(".png")) in said
    assert probe(out).frame_count == 200
    with av.open(str(out)) as file:
        blocks = [frame.to_ndarray() for frame in file.decode(audio=0)]
    sound = np.concatenate(blocks, axis=1)
    rate = sound.shape[1] / 8
    assert len(sound) == 2
    assert np.abs(sound[:, int(2.6 * rate) : int(2.8 * rate)]).max() > 0.02, "the music goes on where nobody speaks"
