"""A clip is parted by its lines: where ranges begin and end, what drives each, and how faces fade between them."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from latentsync_core.audio.features import embed_audio
from latentsync_core.audio.pause_options import PauseBehaviour, PauseOptions
from latentsync_core.audio.source import AudioSource, load_audio
from latentsync_core.dubbing.lines.dialogue import DialogueLine, LineSettings
from latentsync_core.errors import OptionError
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.whisper.encoder import WhisperEncoder
from latentsync_core.pipeline import sample
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.sampler_options import SamplerOptions, WindowOptions
from latentsync_core.sampling.segments.segment_blend import segment_blend
from latentsync_core.sampling.segments.segment_store import MAX_OPEN, SegmentStore
from latentsync_core.sampling.segments.segment_voice import MARGIN_ROWS, SegmentVoice
from latentsync_core.sampling.segments.segments import MAX_SEGMENT_SECONDS, Segments, plan_segments
from latentsync_core.video.reading.probing import probe
from tests.made_faces import SCENE_BOX, made_faces, make_track
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")

FRAME = 1 / 25  # seconds
SHORT = SamplerOptions(windows=WindowOptions(frames=4))  # pauses of fewer than 4 frames are shared


def line(first: float, stop: float, **settings) -> DialogueLine:
    """A line that is shown in frames first to stop - 1 at 25 fps."""
    start, end = Fraction(first) / 25, Fraction(stop) / 25
    return DialogueLine(start, end, settings=LineSettings(**settings))


def planned(lines: list[DialogueLine], frames: int, options: SamplerOptions = SHORT, **more) -> Segments:
    return plan_segments(lines, np.arange(frames) * FRAME, FRAME, options, **more)


def ranges(segments: Segments) -> list[tuple[int, int, int | None]]:
    return [(one.start, one.stop, one.line) for one in segments.segments]


# --- ranges -----------------------------------------------------------------------------------------------------------


def test_lines_and_long_pauses_are_ranges_and_short_pauses_are_shared():
    segments = planned([line(4, 8), line(11, 15), line(20, 25)], 27)
    assert ranges(segments) == [(0, 4, None), (4, 10, 1), (10, 15, 2), (15, 20, None), (20, 27, 3)]
    assert segments.numbers.tolist() == [0] * 4 + [1] * 6 + [2] * 5 + [3] * 5 + [4] * 7


def test_a_line_begins_with_the_first_frame_that_is_shown_within_it():
    """Of 24000/1001 fps with a dropped frame, and a time that a subtitle rounded up to the next millisecond."""
    times = np.delete(np.arange(40), 20) * 1001 / 24000
    start = Fraction(math.ceil(times[10] * 1000), 1000)
    assert float(start) > times[10]
    found = plan_segments([DialogueLine(start, Fraction(2001, 2400))], times, 1001 / 24000, SHORT)
    assert ranges(found) == [(0, 10, None), (10, 20, 1), (20, 39, None)]


def test_ranges_depend_on_times_alone_and_settings_go_to_their_line():
    plain = [line(0, 8), line(8, 16), line(16, 24)]
    set_up = [
        line(0, 8, seed=7, pauses=PauseBehaviour.CLOSED),
        line(8, 16, expression=1.5),
        line(16, 24, enabled=False),
    ]
    one, other = planned(plain, 24), planned(set_up, 24)
    assert ranges(one) == ranges(other)
    assert [(part.options.seed, part.options.expression) for part in other.segments] == [(7, 1), (1247, 1.5), (1247, 1)]
    assert [(part.pauses.value, part.enabled) for part in other.segments] == [
        ("closed", True), ("model", True), ("model", False)
    ]  # fmt: skip


def test_of_two_lines_that_overlap_the_later_one_has_its_frames():
    assert ranges(planned([line(0, 12), line(8, 20)], 20)) == [(0, 8, 1), (8, 20, 2)]


def test_lines_before_and_after_the_clips_part_leave_no_range():
    assert ranges(planned([line(-20, -10), line(-5, 6), line(30, 40)], 20)) == [(0, 6, 2), (6, 20, None)]


def test_long_ranges_are_parted_so_that_whisper_takes_each_at_once():
    segments = planned([line(0, 25 * 70)], 25 * 100)
    seconds = [(one.stop - one.start) * FRAME for one in segments.segments]
    assert [one.line for one in segments.segments] == [1, 1, 1, None, None]
    assert max(seconds) <= MAX_SEGMENT_SECONDS
    assert sum(seconds) == pytest.approx(100)


def test_a_setting_out_of_its_range_names_the_line():
    with pytest.raises(OptionError, match="line 2: expression is 3"):
        planned([line(0, 8), line(8, 16, expression=3.0)], 16)


def test_upstreams_own_sampling_is_refused():
    with pytest.raises(OptionError, match="can't sample by lines"):
        planned([line(0, 8)], 8, SamplerOptions.reference_preset())


# --- what drives a range ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder() -> WhisperEncoder:
    return untrained_model(resolution=64).whisper


@pytest.fixture(scope="module")
def recorded() -> torch.Tensor:
    return load_audio(VOICE).mono16k()


LINES = [line(0, 50), line(50, 100), line(100, 150)]  # two seconds each


def voice_of(samples: torch.Tensor, encoder: WhisperEncoder, lines=LINES, frames=200) -> tuple[SegmentVoice, Segments]:
    source = AudioSource(None, samples[None], 16000, 1, len(samples), "")
    segments, times = planned(lines, frames), np.arange(frames) * FRAME
    return SegmentVoice(source, encoder, segments, times, FRAME, PauseOptions()), segments


def test_another_sound_within_a_line_changes_what_drives_that_line_alone(encoder, recorded):
    margin = MARGIN_ROWS * 320
    changed = recorded.clone()
    changed[2 * 16000 + margin : 4 * 16000 - margin] *= 0.5
    (one, segments), (other, _) = voice_of(recorded, encoder), voice_of(changed, encoder)
    equal = [one.digest_of(number) == other.digest_of(number) for number in range(4)]
    assert equal == [True, False, True, True]
    for number, part in enumerate(segments.segments):
        times = np.arange(part.start, part.stop) * FRAME
        assert torch.equal(one.window(number, times), other.window(number, times)) == equal[number]


def test_a_sound_beside_a_lines_edge_changes_its_neighbour_too(encoder, recorded):
    changed = recorded.clone()
    changed[2 * 16000 : 2 * 16000 + 800] *= 0.5
    one, other = voice_of(recorded, encoder)[0], voice_of(changed, encoder)[0]
    assert [one.digest_of(number) == other.digest_of(number) for number in range(4)] == [False, False, True, True]


def test_the_features_of_a_range_are_close_to_those_of_the_whole_voice(recorded):
    from latentsync_core.models.loading.weights import load_model

    encoder = load_model("nano").whisper
    (alone, segments), whole = voice_of(recorded, encoder), embed_audio(load_audio(VOICE), encoder)
    for number, part in enumerate(segments.segments):
        times = np.arange(part.start, part.stop) * FRAME
        similar = torch.nn.functional.cosine_similarity(alone.window(number, times), whole.window(times), dim=-1)
        print(f"range {number}: cosine similarity {similar.mean():.3f}")
        assert similar.mean() > 0.97


def test_a_range_across_whispers_thirtieth_second_is_encoded_at_once(encoder, recorded):
    voice, _ = voice_of(recorded.repeat(12)[: 40 * 16000], encoder, [line(700, 850)], 1000)  # 28 s to 34 s
    assert voice.window(1, np.arange(700, 850) * FRAME).isfinite().all()
    assert len(voice._embedding.features) == encoder.context


def test_frames_after_the_voices_end_are_driven_by_silence(encoder, recorded):
    short, silent = recorded[: 3 * 16000], torch.zeros(1000)
    late = [voice_of(sound, encoder)[0].digest_of(3) for sound in (short, silent)]
    assert late[0] == late[1] != voice_of(recorded, encoder)[0].digest_of(3)


def test_closed_pauses_are_silenced_and_filmed_ones_leave_what_drives_the_line(encoder, recorded):
    settings = [dataclasses.replace(LINES[0], settings=LineSettings(pauses=pauses)) for pauses in PauseBehaviour]
    voices = {one.settings.pauses: voice_of(recorded, encoder, [one, *LINES[1:]])[0] for one in settings}
    digests = {pauses: voice.digest_of(0) for pauses, voice in voices.items()}
    assert digests[PauseBehaviour.MODEL] == digests[PauseBehaviour.ORIGINAL] != digests[PauseBehaviour.CLOSED]
    speech = voices[PauseBehaviour.ORIGINAL].speech
    assert speech[0] == 0, "the voice begins later"
    assert speech[10:50].max() == 1
    assert (speech[50:] == 1).all(), "other lines don't look for pauses"
    first, spoken = np.array([0.0]), np.arange(20, 24) * FRAME
    model, closed = voices[PauseBehaviour.MODEL], voices[PauseBehaviour.CLOSED]
    assert not torch.equal(model.window(0, first), closed.window(0, first))
    assert torch.equal(model.window(0, spoken), closed.window(0, spoken))


# --- fades ------------------------------------------------------------------------------------------------------------


def blended(lines: list[DialogueLine], speech: np.ndarray | None = None, frames: int = 12) -> list[float]:
    shown = np.ones(frames, np.float32)
    segments = planned(lines, frames)
    return segment_blend(shown, segments, shown if speech is None else speech, 1, np.zeros(frames)).tolist()


def test_faces_fade_beside_a_line_that_is_switched_off_and_not_within_it():
    assert blended([line(0, 4), line(4, 8, enabled=False), line(8, 12)]) == [1, 1, 1, 0.5, 0, 0, 0, 0, 0.5, 1, 1, 1]


def test_the_new_face_comes_back_at_the_ends_of_a_line_whose_pauses_are_filmed():
    speech = np.zeros(12, np.float32)
    original = {"pauses": PauseBehaviour.ORIGINAL}
    assert blended([line(0, 4), line(4, 8, **original), line(8, 12)], speech) == [1] * 4 + [0.5, 0, 0, 0.5] + [1] * 4
    beside_off = [line(0, 4, enabled=False), line(4, 8, **original), line(8, 12, **original)]
    assert blended(beside_off, speech) == [0] * 12


def test_nothing_fades_across_a_cut():
    segments = planned([line(0, 4), line(4, 8, enabled=False)], 8)
    shown = np.ones(8, np.float32)
    assert segment_blend(shown, segments, shown, 3, np.repeat([0, 1], 4)).tolist() == [1] * 4 + [0] * 4


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_patches_of_many_ranges_are_kept_with_few_files_open(tmp_path):
    count = 3 * MAX_OPEN
    segments = planned([line(4 * number, 4 * number + 4) for number in range(count)], 4 * count)
    keys = [f"{number:032x}" for number in range(count)]
    with SegmentStore(keys, segments, (1, 2, 2), tmp_path) as store:
        assert not store.finished.any()
        for frame in range(0, 4 * count, 2):
            store.put(frame, torch.full((1, 2, 2), float(frame)))
        assert len(store._open) == MAX_OPEN
        assert store.get([2, 4 * count - 2, 0]).amax((1, 2, 3)).tolist() == [2, 4 * count - 2, 0]
    with SegmentStore([*keys[:-1], "another"], segments, (1, 2, 2), tmp_path) as again:
        assert np.flatnonzero(~again.finished[::2]).tolist() == [2 * count - 2, 2 * count - 1]


def test_without_a_folder_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with SegmentStore(["one"], planned([line(0, 4)], 4), (1, 2, 2), None) as store:
        store.put(0, torch.zeros(1, 2, 2))
        assert list(tmp_path.rglob("*.patches"))
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def job():
    model = untrained_model(resolution=64)
    faces = made_faces(probe(SCENE).subclip(0, 12), [make_track(0, 0, 12, box=SCENE_BOX)])
    return model, faces, embed_audio(load_audio(VOICE), model.whisper)


def sampled(job, folder, *settings: dict, **options) -> tuple[torch.Tensor, int]:
    """Patches of the frames that are synced, and how many windows were sampled, of three frames; a line has four."""
    options = SamplerOptions(**{"steps": 1, "cfg": 1.0, "windows": WindowOptions(frames=3), **options})
    lines, previews = [line(4 * number, 4 * number + 4, **one) for number, one in enumerate(settings)], []
    synced = sample(*job, options, folder=folder, on_preview=previews.append, lines=lines)
    with synced.patches:
        return synced.patches.get(np.flatnonzero(np.isfinite(synced.transforms[:, 0, 0])).tolist()), len(previews)


def test_a_line_that_is_changed_is_sampled_alone_and_a_former_take_comes_back(job, tmp_path):
    plain = ({}, {}, {})
    first, windows = sampled(job, tmp_path, *plain)
    assert windows == 6
    for change in ({"seed": 5}, {"expression": 0.5}):
        changed, windows = sampled(job, tmp_path, {}, change, {})
        assert windows == 2
        same = (changed == first).all(1).all(1).all(1).tolist()
        assert same == [True] * 4 + [False] * 4 + [True] * 4
        assert torch.equal(changed, sampled(job, None, {}, change, {})[0]), "as in a job that starts over"
    again, windows = sampled(job, tmp_path, *plain)
    assert windows == 0
    assert torch.equal(again, first)


def test_a_line_that_is_switched_off_is_not_sampled_and_no_setting_of_it_counts(job, tmp_path):
    without, windows = sampled(job, tmp_path, {}, {"enabled": False}, {})
    assert (len(without), windows) == (8, 4)
    again, windows = sampled(job, tmp_path, {}, {"enabled": False, "seed": 9, "expression": 2.0}, {})
    assert windows == 0
    assert torch.equal(again, without)
    assert sampled(job, tmp_path, {}, {}, {})[1] == 2


class _StopError(Exception):
    """What a user's cancel looks like to the sampler."""


def test_a_job_that_was_interrupted_within_a_line_goes_on_there(job, tmp_path):
    def stop_in_the_fourth_window(done: int, _total: int) -> None:
        if done == 4:
            raise _StopError

    options, lines = SamplerOptions(steps=1, cfg=1.0, windows=WindowOptions(frames=3)), [line(0, 4), line(4, 12)]
    with pytest.raises(_StopError):
        sample(*job, options, folder=tmp_path, on_progress=stop_in_the_fourth_window, lines=lines)
    previews = []
    resumed = sample(*job, options, folder=tmp_path, on_preview=previews.append, lines=lines)
    undisturbed = sample(*job, options, lines=lines)
    with resumed.patches, undisturbed.patches:
        assert torch.equal(*(one.patches.get(range(12)) for one in (resumed, undisturbed)))
    assert len(previews) == 2, "three of five windows were finished"
