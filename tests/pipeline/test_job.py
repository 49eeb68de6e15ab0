"""A job gives every stage what is meant for it: each speaker their voice, the file its sound, each flag its effect."""

from __future__ import annotations

import base64
import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from latentsync_core.audio.pause_options import PauseBehaviour, PauseOptions
from latentsync_core.audio.source import load_audio
from latentsync_core.audio.track_choice import TrackChoice
from latentsync_core.cli.commands import _parser
from latentsync_core.cli.console import print_report
from latentsync_core.cli.options import sync_options
from latentsync_core.errors import OutputError, VideoError
from latentsync_core.faces.selection import ChooseBy, FaceChoice
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.media.opening import open_container
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.pipeline import SyncReport, sync
from latentsync_core.provenance.film_credits import FilmCredits
from latentsync_core.sample_scene import HER_VOICE, HIS_VOICE, TWO_PEOPLE
from latentsync_core.sampling.sampler_options import SamplerOptions, WindowOptions
from latentsync_core.sampling.timeline import LengthRule
from latentsync_core.sync_options import Speaker, SyncOptions
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.writer_options import Codec, KeepAudio, WriterOptions
from tests.clips import make_sound
from tests.one_thread import one_thread  # noqa: F401
from tests.slow_parameters import others_slow

pytestmark = pytest.mark.usefixtures("one_thread")

LEFT, RIGHT = np.s_[:, :, :400], np.s_[:, :, 400:]  # she sits on the left half of the picture, he on the right
HER, HIM = FaceChoice(ChooseBy.LEFT), FaceChoice(ChooseBy.POINT, point=(590, 200))
FIRST, FRAMES, VOICE_FRAMES = 25, 3, 6  # the voice is the longer one
START, END = FIRST / 25, (FIRST + FRAMES) / 25  # seconds


class Job:
    """Runs jobs over one short clip; all share a work folder, so that its faces are detected only once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model: LatentSyncModel = untrained_model(resolution=64)
        self.hers, self.his = (
            speech_from(voice, seconds, folder / voice.name) for voice, seconds in ((HER_VOICE, 0.3), (HIS_VOICE, 1.9))
        )
        self.options = SyncOptions(
            model=self.model,
            choice=HER,
            sampler=SamplerOptions(steps=1, cfg=1.0),
            writer=WriterOptions(Codec.FFV1),
            start=START,
            end=END,
            work_folder=folder / "work",
        )
        self._count = 0

    def run(self, voice: Path, options: SyncOptions | None = None, on_progress=None, **changes) -> SyncReport:
        self._count += 1
        options = dataclasses.replace(options or self.options, **changes)
        out = self.folder / f"{self._count}{options.writer.codec.suffix}"
        return sync(TWO_PEOPLE, voice, out, options, on_progress)

    def run_flags(self, *flags: str) -> SyncReport:
        """A job as the command line asks for it, with the small model."""
        needed = ["--video", str(TWO_PEOPLE), "--audio", str(self.hers), "--out", "out.mkv", "--face", "left"]
        small = ["--steps", "1", "--cfg", "1", "--codec", "ffv1", "--start", str(START), "--end", str(END)]
        options = sync_options(_parser().parse_args(["sync", *needed, *small, *flags]))
        return self.run(self.hers, options, model=self.model, work_folder=self.options.work_folder)


def speech_from(voice: Path, seconds: float, target: Path) -> Path:
    """The part of a recording from where somebody speaks, of `VOICE_FRAMES`."""
    part = ["-y", "-ss", str(seconds), "-i", str(voice), "-t", str(VOICE_FRAMES / 25), str(target.with_suffix(".wav"))]
    run_ffmpeg(part, error=AssertionError, what="cutting a voice")
    return target.with_suffix(".wav")


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Job:
    return Job(tmp_path_factory.mktemp("job"))


@pytest.fixture(scope="module")
def with_her_voice(job) -> SyncReport:
    """The plainest job: her voice, and no changes."""
    return job.run(job.hers)


def luma(path: Path) -> np.ndarray:
    """(frames, height, width) levels."""
    with FrameReader(probe(path)) as frames:
        return np.stack([frame.planes[0] for frame in frames]).astype(int)


@pytest.fixture(scope="module")
def source() -> np.ndarray:
    with FrameReader(probe(TWO_PEOPLE).trim(START, END)) as frames:
        return np.stack([frame.planes[0] for frame in frames]).astype(int)


# --- two speakers ----------------------------------------------------------------------------------------------------


def test_each_of_two_speakers_moves_as_alone_with_the_same_voice(job, with_her_voice):
    hers = luma(with_her_voice.output)
    his = luma(job.run(job.his, choice=HIM).output)
    both = luma(job.run(job.hers, other_speakers=(Speaker(job.his, HIM),)).output)
    assert (both[LEFT] == hers[LEFT]).all()
    assert (both[RIGHT] == his[RIGHT]).all()
    exchanged = luma(job.run(job.his, other_speakers=(Speaker(job.hers, HIM),)).output)
    assert (exchanged[LEFT] != hers[LEFT]).any(), "another voice gives another mouth"
    assert (exchanged[RIGHT] != his[RIGHT]).any()


# --- checks before the slow phases -----------------------------------------------------------------------------------


def test_a_job_without_room_for_its_faces_is_refused_before_any_are_found(job, tmp_path, monkeypatch):
    phases = []
    monkeypatch.setattr(shutil, "disk_usage", lambda at: SimpleNamespace(free=1000 if Path(at) == tmp_path else 10**12))
    with pytest.raises(OutputError, match="no room for the finished faces"):
        job.run(job.hers, on_progress=lambda phase, *_: phases.append(phase), work_folder=tmp_path)
    assert "faces" not in phases


# --- pauses -----------------------------------------------------------------------------------------------------------


def test_in_pauses_the_filmed_mouth_stays_where_the_job_says_so(job, source, tmp_path):
    silence = tmp_path / "silence.wav"
    part = ["-y", "-f", "lavfi", "-i", f"anullsrc=r=16000:d={VOICE_FRAMES / 25}", str(silence)]
    run_ffmpeg(part, error=AssertionError, what="making a silent voice")
    drawn, filmed = (
        luma(job.run(silence, pauses=PauseOptions(behaviour)).output)
        for behaviour in (PauseBehaviour.MODEL, PauseBehaviour.ORIGINAL)
    )
    assert (drawn != source).any()
    assert (filmed == source).all()


# --- what the file says of its making ---------------------------------------------------------------------------------


def test_the_file_names_the_model(job, with_her_voice):
    with open_container(with_her_voice.output, VideoError) as container:
        assert FilmCredits.of(container.metadata) == FilmCredits(job.model.name)


def test_a_signed_result_is_the_last_phases_and_holds_nothing_of_the_key(job, tmp_path, capsys):
    pytest.importorskip("c2pa", reason="signing needs c2pa-python: pip install c2pa-python")
    from tests.provenance.certificates import SIGNER, issue, secret_lines
    from tests.provenance.manifests import checked, manifest

    issued, phases = issue(tmp_path), []
    report = job.run(
        job.hers,
        on_progress=lambda phase, *_: phases.append(phase),
        writer=WriterOptions(Codec.H264),
        signing=issued.files,
    )
    assert list(dict.fromkeys(phases))[-2:] == ["compositing", "signing"]
    assert report.seconds.keys() >= {"compositing", "signing"}
    assert f"{report.output.name} has Content Credentials, signed by {SIGNER}." in [str(note) for note in report.notes]
    assert checked(report.output, issued.authority)["validation_state"] == "Trusted"
    assert manifest(report.output)["title"] == report.output.name
    assert manifest(report.output)["ingredients"][0]["title"] == TWO_PEOPLE.name
    print_report(report, as_json=True)
    content, key = report.output.read_bytes(), base64.b64decode("".join(secret_lines(tmp_path)))
    assert key not in content
    places = (content.decode("latin-1"), capsys.readouterr().out, repr(report))
    assert not [line for line in secret_lines(tmp_path) if any(line in place for place in places)]


# --- the sound -------------------------------------------------------------------------------------------------------


def test_the_file_holds_the_voice(job, with_her_voice):
    assert_same_sound(with_her_voice.output, job.hers)


def test_the_file_holds_the_sound_that_was_given_for_it_in_the_voices_place(job, with_her_voice, tmp_path):
    music = make_sound(tmp_path / "music.wav")
    report = job.run(job.hers, mux_audio=music)
    assert_same_sound(report.output, music)
    assert (luma(report.output) == luma(with_her_voice.output)).all(), "the voice still drives the mouth"


def test_all_tracks_of_that_sounds_file_are_averaged_where_all_tracks_are_the_voice(job, tmp_path):
    tones = [make_sound(tmp_path / f"{rate}.wav", rate=rate) for rate in (44100, 22050)]  # of two pitches
    inputs = [word for tone in tones for word in ("-i", str(tone))]
    master, mean = tmp_path / "master.mov", tmp_path / "mean.wav"
    args = [*inputs, "-map", "0", "-map", "1", "-ar", "48000", "-c:a", "pcm_s24le", str(master)]
    run_ffmpeg(args, error=AssertionError, what="making a master")
    mixed = ["-i", str(master), "-filter_complex", "[0:0][0:1]amix=normalize=1", "-c:a", "pcm_f32le", str(mean)]
    run_ffmpeg(mixed, error=AssertionError, what="mixing")
    report = job.run(job.hers, mux_audio=master, voice_tracks=TrackChoice.ALL)
    assert_same_sound(report.output, mean)
    assert not any("is left out" in note.fact for note in report.notes)


def assert_same_sound(film: Path, sound: Path) -> None:
    found, expected = load_audio(film).mono16k().numpy(), load_audio(sound).mono16k().numpy()
    frames = round(FRAMES / 25 * 16000)
    assert len(found) == frames, "cut where the picture ends, to the sample"
    assert np.abs(expected[:frames]).max() > 0.05
    inner = (
        frames - 16
    )  # the filter that brings both to 16 kHz sees nothing beyond the end of one, and more of the other
    np.testing.assert_allclose(found[:inner], expected[:inner], atol=2e-3)


# --- resuming --------------------------------------------------------------------------------------------------------


class _StopError(Exception):
    """What a user's cancel looks like to the engine."""


def test_a_resumed_job_samples_only_what_is_missing(job, tmp_path):
    steps = 2
    sampler = SamplerOptions(steps=steps, cfg=1.0, windows=WindowOptions(frames=1))  # as many windows as frames
    options = dataclasses.replace(job.options, sampler=sampler, work_folder=tmp_path)
    done: list[int] = []

    def stop_in_the_third_window(phase: str, count: int, total: int) -> None:
        if phase == "sampling":
            done.append(count)
            if count == 2 * steps + 1:
                raise _StopError

    before = set(job.folder.iterdir())
    with pytest.raises(_StopError):
        job.run(job.hers, options, stop_in_the_third_window)
    assert set(job.folder.iterdir()) == before, "nothing is left beside the results"
    assert done == [1, 2, 3, 4, 5]
    done.clear()
    resumed = job.run(job.hers, options, lambda phase, count, _: done.append(count) if phase == "sampling" else None)
    assert done == [2, 4, 5, 6], "two windows are skipped at once, one is sampled step by step"
    whole = job.run(job.hers, options, work_folder=tmp_path / "other")
    assert (luma(resumed.output) == luma(whole.output)).all()


# --- flags -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(job) -> SyncReport:
    """The job without further flags: only her mouth moves."""
    report = job.run_flags()
    assert (report.frames, report.synced_frames) == (FRAMES, FRAMES)
    return report


@pytest.mark.parametrize(
    "flags",
    [
        ("--max-yaw", "0"),
        ("--max-pitch", "0"),
        ("--smallest-face", "400"),
        ("--min-sharpness", "1"),
        ("--tracks-off", "0-1"),
    ],
    ids=lambda flags: flags[0],
)
def test_a_face_beyond_a_limit_or_switched_off_is_left_unchanged(job, source, flags):
    report = job.run_flags(*flags)
    assert report.passed_through == ((0, FRAMES),)
    assert (luma(report.output) == source).all()


@pytest.mark.parametrize(
    "flags",
    [("--max-yaw", "90", "--max-pitch", "90", "--smallest-face", "1"), ("--no-occlusion",)],
    ids=lambda flags: flags[0],
)
def test_flags_that_concern_no_frame_of_this_clip_change_nothing(job, plain, flags):
    assert (luma(job.run_flags(*flags).output) == luma(plain.output)).all()


def test_tracks_are_switched_on_and_off_one_by_one(job, source, plain):
    hers, his = ("0", "1") if plain.faces[0]["tracks"][0]["chosen"] else ("1", "0")
    changed = luma(job.run_flags("--tracks-on", his, "--tracks-off", hers).output) != source
    assert not changed[LEFT].any()
    assert changed[RIGHT].any((1, 2)).all()


def test_the_feather_widens_the_patch(job, source, plain):
    areas = [
        (luma(report.output) != source).sum()
        for report in (job.run_flags("--feather", "0"), plain, job.run_flags("--feather", "2"))
    ]
    assert areas == sorted(set(areas))


def test_the_whole_crop_is_pasted_where_that_is_asked_for(job, source, plain):
    mouth, face = (luma(report.output) != source for report in (plain, job.run_flags("--region", "face")))
    assert face.sum() > 1.3 * mouth.sum()


@pytest.mark.parametrize(
    ("rule", "frames"),
    others_slow(
        [
            ("video", FRAMES),
            ("hold", VOICE_FRAMES),
            ("ping-pong", VOICE_FRAMES),
            ("loop", VOICE_FRAMES),
            ("cut", FRAMES),
        ],
        quick=[("hold", VOICE_FRAMES), ("ping-pong", VOICE_FRAMES), ("cut", FRAMES)],
    ),
)
def test_the_length_rule_decides_how_many_frames_there_are(job, source, rule, frames):
    """Quick: test_the_voice_is_in_the_file_and_the_report_says_what_was_cut, for "video", the default rule;
    Quick: test_loop_begins_again_and_each_jump_begins_a_passage; and this one with the other rules."""
    report = job.run_flags("--length", rule)
    assert report.frames == probe(report.output).frame_count == frames
    if frames > FRAMES:
        surroundings = np.s_[:, :60]  # above both faces
        shown = luma(report.output)[surroundings]
        last = {"hold": FRAMES - 1, "ping-pong": 0, "loop": FRAMES - 1}[rule]  # of the source, in frame 2 * FRAMES - 1
        assert (shown[2 * FRAMES - 1] == source[surroundings][last]).all()
    kept = any("the voice was cut" in note.fact for note in report.notes)
    assert kept == (rule in ("video", "cut"))


def test_a_shorter_voice_cuts_the_clip_where_that_is_asked_for(job, tmp_path):
    short = make_sound(tmp_path / "short.wav", seconds=0.08)
    assert job.run(short, length=LengthRule.CUT).frames == 2
    assert job.run(short).frames == FRAMES


@pytest.mark.parametrize(
    ("ratio", "codec"),
    [
        (0.85, Codec.H264),
        (1.2, Codec.FFV1),
        *(
            pytest.param(ratio, codec, marks=pytest.mark.slow)
            for ratio, codec in ((1.2, Codec.H264), (1.2, Codec.PRORES), (0.85, Codec.PRORES), (0.85, Codec.FFV1))
        ),
    ],
)
def test_remapped_frames_are_those_of_the_clip_and_end_with_the_voice(job, tmp_path, ratio, codec):
    """Quick: test_remap_shows_every_frame_once_and_ends_with_the_voice, and this one with each ratio, in a file for
    playing and in one for editing."""
    frames = 5
    seconds = ratio * frames / 25
    voice = tmp_path / "voice.wav"
    part = ["-y", "-ss", "0.3", "-i", str(HER_VOICE), "-t", str(seconds), str(voice)]
    run_ffmpeg(part, error=VideoError, what="making voice.wav")
    end, writer = (FIRST + frames) / 25, WriterOptions(codec, keep_audio=KeepAudio.ALL)
    report = job.run(voice, end=end, length=LengthRule.REMAP, writer=writer)
    result = probe(report.output)
    assert result.frame_count == frames
    np.testing.assert_allclose(result.times, np.arange(frames) / 25 * ratio, atol=1e-3)  # Matroska has milliseconds
    with open_container(report.output, VideoError) as container:
        (sound,) = container.streams.audio
        written = sum(frame.samples for frame in container.decode(sound)) / sound.rate
    assert written == pytest.approx(seconds, abs=0.043)  # an AAC packet at 24 kHz
    assert any("times as long as filmed" in note.fact for note in report.notes)
    assert any("left out" in note.fact for note in report.notes)  # the source's own sound, which was asked for
    assert not any("was cut" in note.fact for note in report.notes)
    if codec is Codec.FFV1:  # above the faces every sample is the source's
        with FrameReader(probe(TWO_PEOPLE).trim(START, end)) as source, FrameReader(result) as film:
            for filmed, written in zip(source, film, strict=True):
                np.testing.assert_array_equal(filmed.planes[0][:40], written.planes[0][:40])
