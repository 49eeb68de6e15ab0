"""The filmed side of a comparison: the same frame at the same time as in the result, in a file that browsers play."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from latentsync_core.compositing.comparing.filmed_copy import has_sound, shows_as_filmed, write_filmed_copy
from latentsync_core.errors import ClipChangedError, LatentSyncError
from latentsync_core.sampling.timeline import LengthRule, plan_timeline
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.proxy import is_browser_playable
from tests.clips import make_clip, packet_times

AAC = ("-c:a", "aac")
PRORES = ("-c:v", "prores_ks", "-profile:v", "3")
# In testsrc2 every frame of these is unlike all others.
NEAR = 12.0  # levels of mean difference: a frame and its copy; other frames differ by more


def frames(clip) -> np.ndarray:
    with FrameReader(clip) as reader:
        return np.stack([frame.rgb(size=(64, 48)).numpy() for frame in reader]) * 255


def shown_frames(copy_path, clip) -> list[int]:
    """Which of the clip's frames each of the copy's frames is."""
    own = frames(clip)
    found = []
    for frame in frames(probe(copy_path)):
        distances = np.abs(own - frame).mean(axis=(1, 2, 3))
        assert distances.min() < NEAR
        found.append(int(distances.argmin()))
    return found


@pytest.mark.parametrize(
    ("rule", "seconds"),
    [
        (LengthRule.VIDEO, 0.4),
        (LengthRule.CUT, 0.2),
        (LengthRule.HOLD, 0.6),
        (LengthRule.PING_PONG, 1.0),
        (LengthRule.LOOP, 1.0),
        (LengthRule.REMAP, 0.48),
    ],
)
def test_the_copy_shows_the_results_frames_at_the_results_times(tmp_path, rule, seconds):
    clip = probe(make_clip(tmp_path / "clip.mp4", size=(320, 240), audio=AAC)).subclip(2, 9)
    timeline = plan_timeline(clip, seconds * 0.7, rule)
    path = tmp_path / "copy.mp4"
    write_filmed_copy(clip, timeline.clip, timeline.source_index, timeline.pts, path)
    assert is_browser_playable(path)
    assert shown_frames(path, clip) == timeline.source_index.tolist()
    times = [float(time) for time in packet_times(path)]
    assert np.allclose(sorted(times), timeline.times, atol=1e-6)
    assert has_sound(path) == (rule is not LengthRule.REMAP)


@pytest.mark.parametrize("height", [None, 120])
def test_what_browsers_cant_play_is_encoded_again(tmp_path, height):
    source = make_clip(tmp_path / "clip.mov", size=(320, 240), pixel_format="yuv422p10le", encoder=PRORES)
    clip = probe(source)
    path = tmp_path / "copy.mp4"
    write_filmed_copy(clip, clip, np.arange(clip.frame_count), clip.pts, path, height)
    assert is_browser_playable(path)
    assert probe(path).height == (height or clip.height)
    assert shown_frames(path, clip) == list(range(clip.frame_count))


def test_a_clip_of_variable_rate_keeps_its_times(tmp_path):
    clip = probe(make_clip(tmp_path / "clip.mp4", size=(320, 240), pts="N*N*100+N*512"))
    path = tmp_path / "copy.mp4"
    write_filmed_copy(clip, clip, np.arange(clip.frame_count), clip.pts, path)
    assert np.allclose(sorted(float(time) for time in packet_times(path)), clip.times, atol=1e-6)


def test_frames_in_memory_are_copied_too(tmp_path):
    import torch

    source = probe(make_clip(tmp_path / "clip.mp4", size=(320, 240)))
    clip = clip_from_images(torch.from_numpy(frames(source) / 255).movedim(1, -1).contiguous(), source.fps)
    path = tmp_path / "copy.mp4"
    write_filmed_copy(clip, clip, np.arange(clip.frame_count), clip.pts, path)
    assert is_browser_playable(path)
    assert shown_frames(path, clip) == list(range(clip.frame_count))


def test_a_whole_h264_file_needs_no_copy(tmp_path):
    clip = probe(make_clip(tmp_path / "clip.mp4", audio=AAC))
    every = np.arange(clip.frame_count)
    assert shows_as_filmed(clip, clip, every)
    assert not shows_as_filmed(clip, clip, every[::-1])
    assert not shows_as_filmed(clip, clip, every[:-1])
    assert not shows_as_filmed(clip.subclip(1, 5), clip.subclip(1, 5), every[:4])
    assert not shows_as_filmed(clip, plan_timeline(clip, 0.48, LengthRule.REMAP).clip, every)
    deinterlaced = dataclasses.replace(clip, deinterlace=True)
    assert not shows_as_filmed(deinterlaced, deinterlaced, every)


@pytest.mark.parametrize(
    "options",
    [
        {"name": "clip.mov", "encoder": PRORES, "pixel_format": "yuv422p10le"},
        {"name": "clip.mkv"},
        {"pixel_format": "yuv422p"},
        {"rotation": 90},
        {"pts": "N*512+6400"},
        {"audio": ("-c:a", "ac3")},
    ],
)
def test_any_other_file_needs_one(tmp_path, options):
    options = dict(options)
    clip = probe(make_clip(tmp_path / options.pop("name", "clip.mp4"), **options))
    assert not shows_as_filmed(clip, clip, np.arange(clip.frame_count))


def test_a_copy_that_is_given_up_leaves_nothing(tmp_path):
    clip = probe(make_clip(tmp_path / "clip.mp4"))
    folder = tmp_path / "copies"
    folder.mkdir()

    def give_up(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_filmed_copy(clip, clip, np.arange(10), clip.pts, folder / "copy.mp4", None, give_up)
    assert list(folder.iterdir()) == []


def test_progress_rises_to_its_total(tmp_path):
    clip = probe(make_clip(tmp_path / "clip.mp4", size=(320, 240)))
    told: list[tuple[int, int]] = []
    write_filmed_copy(
        clip, clip, np.arange(10), clip.pts, tmp_path / "copy.mp4", 120, lambda *report: told.append(report)
    )
    shares = [done / total for done, total in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_replaced_clip_is_not_shown(tmp_path):
    clip = probe(make_clip(tmp_path / "clip.mp4"))
    make_clip(tmp_path / "clip.mp4", frames=4)
    with pytest.raises(ClipChangedError):
        write_filmed_copy(clip, clip, np.arange(10), clip.pts, tmp_path / "copy.mp4")
    assert not (tmp_path / "copy.mp4").exists()


def test_a_file_that_is_no_video_has_no_sound_to_tell(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(LatentSyncError):
        has_sound(tmp_path / "text.mp4")
