"""The carried sample and the demonstration: whole, small; a sheet and a clip that show what changed."""

from __future__ import annotations

import re

import av
import numpy as np
import pytest
import torch
from PIL import Image

from latentsync_core.audio.source import load_audio
from latentsync_core.cli.before_after import (
    CELL_SIZE,
    COLUMNS,
    CORNER,
    MARGIN,
    SpokenLine,
    cell_place,
    loudest_moments,
    write_before_after,
)
from latentsync_core.cli.commands import main
from latentsync_core.cli.compare import Caption, write_compare
from latentsync_core.cli.demo import _mix_audio, comparison_path
from latentsync_core.cli.lettering import ACCENT
from latentsync_core.errors import OutputError
from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.sample_scene import (
    HER_VOICE,
    HIS_VOICE,
    LINES,
    MUSIC_AND_EFFECTS,
    PORTRAIT,
    SAMPLE,
    SCENE,
    TWO_PEOPLE,
    VOICE,
)
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from tests.clips import LOSSLESS
from training.synthetic.speech.espeak import is_available

HER, HIM = 0, 1  # the scene's people
LARGEST_SAMPLE = 2_500_000  # bytes


def test_the_sample_is_small_and_its_parts_last_equally_long():
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) <= LARGEST_SAMPLE
    clip = probe(SCENE)
    assert (clip.pixel_format, clip.audio_codec, clip.duration) == ("yuv420p", "aac", 8.0)
    for part in (VOICE, MUSIC_AND_EFFECTS):
        assert load_audio(part).duration == 8.0
    assert load_audio(MUSIC_AND_EFFECTS).channels == 2


def test_around_its_cuts_the_scene_shows_her_then_him_then_both_and_knows_them_apart(tmp_path):
    """Of his own shot the first and the last frames."""
    around = "select=between(n\\,100\\,111)+between(n\\,138\\,148),setpts=N/25/TB"
    args = ["-i", str(SCENE), "-vf", around, "-an", *LOSSLESS, str(tmp_path / "around.mp4")]
    run_ffmpeg(args, error=OutputError, what="Can't cut a clip")
    faces = track_faces(probe(tmp_path / "around.mp4"))
    assert faces.shots == ((0, 6), (6, 17), (17, 23))
    found = [(track.person, track.start, track.stop) for track in faces.tracks]
    him = next(person for person, start, _ in found if start == 6)
    her = 1 - him
    assert sorted(found) == sorted([(her, 0, 6), (him, 6, 17), (her, 17, 23), (him, 17, 23)])


@pytest.mark.slow
def test_the_scene_shows_her_then_him_then_both_and_knows_them_apart():
    """Quick: test_around_its_cuts_the_scene_shows_her_then_him_then_both_and_knows_them_apart."""
    clip = probe(SCENE)
    assert (clip.width, clip.height, clip.fps, clip.frame_count) == (1280, 720, 25, 200)
    faces = track_faces(clip)
    assert faces.shots == ((0, 106), (106, 143), (143, 200))
    assert sorted((track.person, track.start, track.stop) for track in faces.tracks) == [
        (HER, 0, 106),
        (HER, 143, 200),
        (HIM, 106, 143),
        (HIM, 143, 200),
    ]
    hers = np.r_[0:106, 143:200]
    assert (faces.path.blend[hers] == 1).all(), "she is chosen without a word, and her mouth is drawn in all of hers"
    assert (faces.path.blend[106:143] == 0).all()
    heights = faces.path.boxes[hers, 3] - faces.path.boxes[hers, 1]
    assert 200 < heights.min() < heights.max() < 430  # pixels


def test_the_portrait_shows_a_face():
    assert track_faces(probe(PORTRAIT)).path.visible.all()


def test_the_lines_lie_within_the_scene_one_after_another_in_letters_that_pillows_font_has():
    times = [time for line in LINES for time in (line.start, line.end)]
    assert times == sorted(times)
    assert times[-1] < probe(SCENE).duration
    assert all((line.french + line.english).isascii() for line in LINES)
    voice = load_audio(VOICE).mono16k().numpy()
    spoken = [np.abs(voice[round(line.start * 16000) : round(line.end * 16000)]).max() for line in LINES]
    between = [voice[round(a * 16000) : round(b * 16000)] for a, b in zip(times[1::2], times[2::2], strict=False)]
    assert min(spoken) > 0.1
    assert max(np.abs(pause).max() for pause in between) < 0.02


def test_around_its_cut_the_scene_of_two_people_shows_both_and_then_her():
    clip = probe(TWO_PEOPLE)
    assert (clip.pixel_format, clip.audio_codec, clip.duration) == ("yuv420p", "aac", 7.0)
    assert all(load_audio(voice).duration == 7.0 for voice in (HER_VOICE, HIS_VOICE))
    faces = track_faces(clip.subclip(117, 129))
    assert faces.shots == ((0, 6), (6, 12))
    tracks = sorted((track.start, track.stop, track.person) for track in faces.tracks)
    assert [track[:2] for track in tracks] == [(0, 6), (0, 6), (6, 12)]
    left = min((track for track in faces.tracks if track.start == 0), key=lambda track: track.boxes[0, 0])
    assert left.person == tracks[2][2], "she sits on the left"
    assert {person for *_, person in tracks} == {0, 1}
    assert (faces.path.blend[:6] == 1).all()


@pytest.mark.slow
def test_the_scene_of_two_people_shows_both_and_then_her_in_every_frame():
    """Quick: test_around_its_cut_the_scene_of_two_people_shows_both_and_then_her."""
    faces = track_faces(probe(TWO_PEOPLE))
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
    from training.synthetic.scenes.staged import render_staged

    scene, _ = film_scene()
    drawn, truth = next(render_staged(scene))
    with FrameReader(probe(SCENE), stop=1) as frames:
        carried = next(iter(frames)).rgb()
    error = (carried - torch.from_numpy(drawn).permute(2, 0, 1) / 255).square().mean()
    assert -10 * torch.log10(error) > 36  # dB
    assert truth.faces[0].opening == 0
    opening = [shape.opening for shape in scene.shots[0].actors[0].performance.mouth(np.arange(200) / 25)]
    assert max(opening) > 0.2
    assert opening[0] == opening[-1] == 0


def test_the_loudest_moment_of_each_part_of_the_frames_is_shown():
    clip, voice = probe(SCENE), load_audio(VOICE)
    moments = loudest_moments(voice, clip, range(200))
    assert [moment // 50 for moment in moments] == [0, 1, 2, 3]
    levels = np.abs(voice.mono16k().numpy())
    loudness = [levels[round((k / 25 - 0.04) * 16000) : round((k / 25 + 0.04) * 16000)].std() for k in range(1, 199)]
    assert all(loudness[k - 1] > np.mean(loudness) for k in moments)
    allowed = [*range(106), *range(143, 200)]
    assert set(loudest_moments(voice, clip, allowed)) <= set(allowed)
    assert loudest_moments(voice, clip, [3, 4]) == [3, 4, 4, 4]


def test_a_sheet_shows_the_same_faces_before_and_after_above_the_voice(tmp_path):
    scene, voice = probe(SCENE).subclip(0, 100), load_audio(VOICE)
    write_before_after(scene, scene, voice, tmp_path / "same.png")
    same = np.asarray(Image.open(tmp_path / "same.png")).astype(int)
    size = CELL_SIZE, CELL_SIZE
    for column in range(COLUMNS):
        (x, y), (_, below) = cell_place(size, 0, column), cell_place(size, 1, column)
        inner = slice(60, CELL_SIZE - CORNER), slice(x + CORNER, x + CELL_SIZE - CORNER)  # beneath the labels
        before, after = same[y : y + CELL_SIZE][inner], same[below : below + CELL_SIZE][inner]
        assert (before == after).all()
        assert before.std() > 20, "a lit face"
    strip = same[cell_place(size, 1, 0)[1] + CELL_SIZE :, MARGIN:-MARGIN]
    inked = (strip == ACCENT).all(2).sum(0)  # of four seconds: a line, a pause, half a line
    spoken, paused = (inked[int(a / 4 * len(inked)) : int(b / 4 * len(inked))] for a, b in ((0.6, 1.6), (2.45, 2.65)))
    assert spoken.mean() > 8
    assert paused.max() == 0

    other = probe(SCENE).subclip(50, 150)  # stands for a result
    write_before_after(scene, other, voice, tmp_path / "words.png", [SpokenLine(0.5, 2.0, "words")], range(20, 56))
    changed = np.asarray(Image.open(tmp_path / "words.png")).astype(int)
    assert changed.shape[1] == same.shape[1]
    assert changed.shape[0] > same.shape[0], "room for the words"
    (x, y), (_, below) = cell_place(size, 0, 1), cell_place(size, 1, 1)
    pair = (changed[top : top + CELL_SIZE, x : x + CELL_SIZE] for top in (y, below))
    assert np.abs(np.subtract(*pair)).mean() > 1


def test_a_sheet_of_clips_without_faces_shows_whole_frames(tmp_path):
    black = tmp_path / "black.mp4"
    make_clip(black, "color=c=black", "161x91", frames=4)
    clip = probe(black)
    write_before_after(clip, clip, load_audio(VOICE), tmp_path / "sheet.png", frames=[0, 1])
    width, _ = Image.open(tmp_path / "sheet.png").size
    assert width == 2 * MARGIN + cell_place((CELL_SIZE, 0), 0, COLUMNS - 1)[0] - MARGIN + CELL_SIZE


def make_clip(path, source, size, frames=8):
    """A clip of odd sides with a tone, from ffmpeg's test sources."""
    run_ffmpeg(
        [
            "-f", "lavfi", "-i", f"{source}:s={size}:r=25", "-f", "lavfi", "-i", "sine=r=48000",
            "-frames:v", str(frames), "-t", str(frames / 25), "-c:v", "libx264", "-pix_fmt", "yuv444p", "-c:a", "aac",
            str(path),
        ],
        error=OutputError, what="Can't make a clip",
    )  # fmt: skip


def decoded(path):
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]).astype(int)


def sound_packets(path):
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(audio=0)]


def test_compare_shows_both_clips_side_by_side_with_the_results_sound(tmp_path):
    before, after, out = (tmp_path / f"{name}.mp4" for name in ("before", "after", "compare"))
    make_clip(before, "color=c=red", "241x135")
    make_clip(after, "color=c=blue", "241x135")
    write_compare(before, after, out, [Caption(0.15, 0.24, "Bonsoir.", "Good evening.")])
    clip = probe(out)
    assert (clip.frame_count, clip.width, clip.height, clip.fps) == (8, 480, 136, 25)
    assert (clip.pixel_format, clip.audio_codec) == ("yuv420p", "aac")
    assert sound_packets(out) == sound_packets(after)
    frames = decoded(out)
    left, right = frames[:, 50:90, 20:220].mean((0, 1, 2)), frames[:, 50:90, 260:460].mean((0, 1, 2))
    assert left.argmax() == 0
    assert right.argmax() == 2
    for half in (slice(0, 240), slice(240, 480)):
        captions = frames[:, 112:132, half]
        assert np.abs(captions[5] - captions[0]).max() > 100, "shown while it is spoken"
        assert np.abs(captions[2] - captions[0]).max() < 20
        assert np.abs(frames[0, 2:24, half] - frames[0, 60, half].mean(0)).max() > 60, "a label"

    first = out.read_bytes()
    write_compare(before, after, out, [Caption(0.15, 0.24, "Bonsoir.", "Good evening.")])
    assert out.read_bytes() == first


def test_compare_holds_the_last_frame_of_a_clip_that_is_shorter_than_the_result(tmp_path):
    before, after, out = (tmp_path / f"{name}.mp4" for name in ("before", "after", "compare"))
    make_clip(before, "color=c=red", "64x48", frames=3)
    make_clip(after, "color=c=blue", "64x48")
    write_compare(before, after, out)
    frames = decoded(out)
    assert len(frames) == 8
    assert (frames[:, 24:, 10:50].mean((1, 2)).argmax(1) == 0).all()


def test_the_demonstrations_sound_is_the_voice_over_the_music(tmp_path):
    mixed = load_audio(_mix_audio(VOICE, MUSIC_AND_EFFECTS, tmp_path / "mix.wav"))
    assert (mixed.channels, mixed.duration) == (2, 8.0)
    voice, music, both = (one.mono16k().numpy() for one in (load_audio(VOICE), load_audio(MUSIC_AND_EFFECTS), mixed))
    assert np.abs(music[int(2.6 * 16000) : int(2.8 * 16000)]).max() > 0.02, "the music goes on where nobody speaks"
    np.testing.assert_allclose(both, voice + music, atol=2e-3)


@pytest.mark.parametrize("name", ["compare.mp4", "Compare.MP4"])
def test_the_comparison_never_takes_the_results_name(name, tmp_path):
    assert comparison_path(tmp_path / name).name == "before-after.mp4"
    assert comparison_path(tmp_path / "out.mp4").name == "compare.mp4"


@pytest.mark.slow
def test_the_demonstration_leaves_a_clip_with_the_mixed_sound_a_sheet_and_a_report(tmp_path, capsys):
    """Quick: test_the_demonstrations_sound_is_the_voice_over_the_music,
    Quick: test_compare_shows_both_clips_side_by_side_with_the_results_sound,
    Quick: test_a_sheet_shows_the_same_faces_before_and_after_above_the_voice.
    """
    out = tmp_path / "demo" / "out.mp4"
    assert main(["demo", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"out\.mp4: 200 frames at 25 fps, 163 synced", said)
    assert str(out.with_suffix(".png")) in said
    assert str(out.with_name("compare.mp4")) in said
    assert probe(out).frame_count == 200
    compared = probe(out.with_name("compare.mp4"))
    assert (compared.frame_count, compared.width, compared.height) == (200, 1920, 540)
    assert sound_packets(out.with_name("compare.mp4")) == sound_packets(out)
    with av.open(str(out)) as file:
        blocks = [frame.to_ndarray() for frame in file.decode(audio=0)]
    sound = np.concatenate(blocks, axis=1)
    rate = sound.shape[1] / 8
    assert len(sound) == 2
    assert np.abs(sound[:, int(2.6 * rate) : int(2.8 * rate)]).max() > 0.02, "the music goes on where nobody speaks"
