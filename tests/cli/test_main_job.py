"""The main job on real pictures: right frames, right times, the voice in the file, and nothing else touched."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from latentsync_core.audio.source import load_audio
from latentsync_core.cli.commands import main
from latentsync_core.faces.alignment.align import crop_size
from latentsync_core.faces.crop_path import path_transforms
from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.media.ffmpeg import ffmpeg_executable
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.pipeline import sync
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.sampler_options import SamplerOptions, WindowOptions
from latentsync_core.sampling.timeline import LengthRule
from latentsync_core.sync_options import SyncOptions
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.clips import LOSSLESS as LOSSLESS_X264
from tests.clips import packet_times
from tests.shared_reference import SHARED, needs_shared
from tests.slow_parameters import others_slow

RESOLUTION = 64
FAST = SamplerOptions(steps=1, cfg=1.0)
LOSSLESS = WriterOptions(codec=Codec.FFV1)


@pytest.fixture(scope="module")
def model():
    return untrained_model(resolution=RESOLUTION)


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    """The beginning of the carried scene at half its size, losslessly: a quarter of the pixels to decode and encode."""
    target = tmp_path_factory.mktemp("scene") / "scene.mp4"
    return converted(SCENE, target, "-vf", "scale=640:360", *LOSSLESS_X264, frames=36)


def converted(source: Path, target: Path, *arguments: str, frames: int = 20) -> Path:
    """The first frames of a clip in another form, losslessly."""
    command = [ffmpeg_executable(), "-loglevel", "error", "-y", "-i", str(source), "-frames:v", str(frames), "-an"]
    subprocess.run([*command, *arguments, str(target)], check=True)
    return target


def at_rate(source: Path, target: Path, rate: str) -> Path:
    """The first ten frames of a clip at another rate."""
    return converted(source, target, "-vf", f"setpts=N/({rate})/TB", "-r", rate, *LOSSLESS_X264, frames=10)


def native_samples(path: Path, pixel_format: str) -> np.ndarray:
    """All samples of a clip as ffmpeg decodes them, (frames, samples of a frame)."""
    command = [ffmpeg_executable(), "-loglevel", "error", "-i", str(path), "-fps_mode", "passthrough"]
    raw = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", pixel_format, "-"], stdout=subprocess.PIPE, check=True
    ).stdout
    values = np.frombuffer(raw, np.uint16 if pixel_format.endswith("le") else np.uint8)
    return values.reshape(probe(path).frame_count, -1)


def outside_patch(path: Path) -> np.ndarray:
    """(N, H, W) True for pixels that lie more than two pixels outside the warped crop, per frame."""
    clip = probe(path)
    transforms = path_transforms(track_faces(clip), RESOLUTION)
    y, x = np.mgrid[: clip.height, : clip.width]
    width, height = crop_size(RESOLUTION)
    outside = np.ones((clip.frame_count, clip.height, clip.width), bool)
    for index, matrix in enumerate(transforms):
        if np.isfinite(matrix).all():
            u, v = (matrix @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])).reshape(2, *x.shape)
            margin = 2 * np.hypot(*matrix[0, :2])  # two frame pixels, in crop pixels
            outside[index] = (u < -margin) | (u > width + margin) | (v < -margin) | (v > height + margin)
    return outside


FORMATS = {
    "yuv420p": (1, 1),
    "yuv422p10le": (1, 0),
    "yuv444p": (0, 0),
}


@pytest.mark.parametrize("pixel_format", others_slow(FORMATS, quick=["yuv420p", "yuv422p10le"]))
def test_every_sample_outside_the_patch_is_the_source_s_own(model, scene, tmp_path, pixel_format):
    """Quick: test_every_sample_outside_the_patch_is_the_source_s_own, with 8 and with 10 bits."""
    source = converted(scene, tmp_path / "source.mkv", "-c:v", "ffv1", "-pix_fmt", pixel_format, frames=3)
    options = SyncOptions(model=model, sampler=FAST, writer=LOSSLESS)
    report = sync(source, VOICE, tmp_path / "out.mkv", options)
    assert probe(report.output).pixel_format == pixel_format
    before, after = (native_samples(path, pixel_format) for path in (source, report.output))
    assert before.shape == after.shape

    outside = outside_patch(source)
    shift_x, shift_y = FORMATS[pixel_format]
    frames, height, width = outside.shape
    chroma = outside.reshape(frames, height >> shift_y, 1 << shift_y, width >> shift_x, 1 << shift_x).all(axis=(2, 4))
    kept = np.concatenate([outside.reshape(frames, -1), *[chroma.reshape(frames, -1)] * 2], axis=1)
    assert 0.3 < kept.mean() < 1
    assert (before[kept] == after[kept]).all()
    assert all((before[index] != after[index]).any() for index in range(frames)), "every face was redrawn"


def test_a_variable_rate_clip_keeps_every_stamp(model, scene, tmp_path):
    uneven = r"select='not(eq(mod(n\,5)\,3))',settb=1/12800,setpts='PTS+mod(N\,3)*77'"
    as_is = ["-fps_mode", "passthrough", "-enc_time_base:v", "1/12800", "-video_track_timescale", "12800"]
    encoder = ["-c:v", "libx264", "-preset", "ultrafast"]
    source = converted(scene, tmp_path / "vfr.mp4", "-vf", uneven, *as_is, *encoder, frames=7)
    times = packet_times(source)
    assert len({later - earlier for earlier, later in pairwise(times)}) > 2, "the rate does vary"
    report = sync(source, VOICE, tmp_path / "out.mp4", SyncOptions(model=model, sampler=FAST))
    assert packet_times(report.output) == times


@pytest.mark.parametrize("rate", others_slow(["24000/1001", "30000/1001", "50"], quick=["24000/1001", "50"]))
def test_the_rate_stays_the_clip_s_own_rational(model, scene, tmp_path, rate):
    """Quick: test_the_rate_is_exact_and_every_packet_has_its_stamp, and this one with an uneven and an even rate."""
    source = at_rate(scene, tmp_path / "in.mp4", rate)
    report = sync(source, VOICE, tmp_path / "out.mp4", SyncOptions(model=model, sampler=FAST, end=0.1))
    assert probe(report.output).fps == Fraction(rate)
    assert packet_times(report.output) == [index / Fraction(rate) for index in range(report.frames)]


@pytest.mark.parametrize("codec", others_slow([Codec.PRORES, Codec.FFV1], quick=[Codec.FFV1]))
def test_the_sound_of_a_file_for_editing_ends_with_its_last_frame(model, scene, tmp_path, codec):
    """Quick: test_a_sound_is_as_long_as_the_picture_to_the_sample, and this one in one of both containers."""
    rate = Fraction(24000, 1001)
    source = at_rate(scene, tmp_path / "in.mp4", str(rate))
    options = SyncOptions(model=model, sampler=FAST, end=0.1, writer=WriterOptions(codec))
    report = sync(source, VOICE, tmp_path / "out", options)
    with av.open(str(report.output)) as file:
        sound = file.streams.audio[0]
        samples = sum(frame.samples for frame in file.decode(sound))
        assert (samples, sound.codec_context.name) == (round(report.frames / rate * sound.rate), "pcm_s24le")


def test_frames_without_a_face_pass_through(model, scene, tmp_path):
    blank = "drawbox=enable='between(n,3,6)':color=gray:t=fill:w=iw:h=ih"
    source = converted(scene, tmp_path / "gap.mkv", "-vf", blank, "-c:v", "ffv1", frames=11)
    report = sync(source, VOICE, tmp_path / "out.mkv", SyncOptions(model=model, sampler=FAST, writer=LOSSLESS))
    assert report.frames == 11
    assert report.passed_through == ((3, 7),)
    before, after = (native_samples(path, "yuv420p") for path in (source, report.output))
    changed = (before != after).any(axis=1)
    assert changed.tolist() == [not 3 <= index < 7 for index in range(11)]


def test_the_voice_is_in_the_file_and_the_report_says_what_was_cut(model, scene, tmp_path):
    voice = converted_voice(tmp_path, seconds=2.0, start=0.8)
    report = sync(scene, voice, tmp_path / "out.mp4", SyncOptions(model=model, sampler=FAST, start=1.0, end=1.2))
    assert report.frames == 5
    assert any("2.00 s" in note.fact and "0.20 s" in note.fact for note in report.notes)
    with av.open(str(report.output)) as file:
        sound = file.streams.audio[0]
        seconds = sum(frame.samples for frame in file.decode(sound)) / sound.rate
    assert seconds == pytest.approx(0.2, abs=0.05)
    written, spoken = (load_audio(path).mono16k()[: 2 * 1600] for path in (report.output, voice))
    assert spoken.square().mean() > 1e-4, "somebody speaks in these 0.2 seconds"
    assert (written - spoken).square().mean() < 0.01 * spoken.square().mean(), "AAC, but the voice's samples"


def test_a_picture_talks_as_long_as_the_voice(model, scene, tmp_path):
    from PIL import Image

    with FrameReader(probe(scene), stop=1) as frames:
        pixels = (next(iter(frames)).rgb().permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    Image.fromarray(pixels).save(tmp_path / "still.png")
    voice = converted_voice(tmp_path, seconds=0.16)
    options = SyncOptions(model=model, sampler=FAST, length=LengthRule.HOLD)
    report = sync(tmp_path / "still.png", voice, tmp_path / "out.mp4", options)
    assert report.frames == report.synced_frames == 4
    assert probe(report.output).frame_count == 4


def converted_voice(folder: Path, seconds: float, start: float = 0.0) -> Path:
    voice = folder / "voice.wav"
    command = [ffmpeg_executable(), "-loglevel", "error", "-ss", str(start), "-i", str(VOICE), "-t", str(seconds)]
    subprocess.run([*command, str(voice)], check=True)
    return voice


def test_the_same_seed_gives_the_same_file_and_another_seed_another_mouth(model, scene, tmp_path):
    def samples(name: str, seed: int) -> np.ndarray:
        options = SyncOptions(
            model=model, sampler=SamplerOptions(steps=1, cfg=1.0, seed=seed), writer=LOSSLESS, end=0.08
        )
        return native_samples(sync(scene, VOICE, tmp_path / name, options).output, "yuv420p")

    first = samples("a.mkv", 5)
    assert (samples("b.mkv", 5) == first).all()
    assert (samples("c.mkv", 6) != first).any()


class _StopError(Exception):
    """What a user's cancel looks like to the engine."""


@pytest.mark.slow
def test_an_interrupted_job_leaves_nothing_and_goes_on_where_it_stopped(model, scene, tmp_path):
    """Quick: test_a_resumed_job_samples_only_what_is_missing."""
    sampler = SamplerOptions(steps=1, cfg=1.0, windows=WindowOptions(frames=2))  # three windows

    def options(work: str) -> SyncOptions:
        return SyncOptions(model=model, sampler=sampler, writer=LOSSLESS, end=0.24, work_folder=tmp_path / work)

    def stop_after_two_windows(phase: str, done: int, total: int) -> None:
        if phase == "sampling" and done == 3:
            raise _StopError

    (tmp_path / "out").mkdir()
    with pytest.raises(_StopError):
        sync(scene, VOICE, tmp_path / "out" / "a.mkv", options("work"), stop_after_two_windows)
    assert not list((tmp_path / "out").iterdir())

    resumed = sync(scene, VOICE, tmp_path / "out" / "a.mkv", options("work"))
    whole = sync(scene, VOICE, tmp_path / "out" / "b.mkv", options("other"))
    assert (native_samples(resumed.output, "yuv420p") == native_samples(whole.output, "yuv420p")).all()


def test_global_state_is_left_alone(model, scene, tmp_path):
    state = torch.get_rng_state(), np.random.get_state()[1].tolist(), Path.cwd()
    sync(scene, VOICE, tmp_path / "out.mp4", SyncOptions(model=model, sampler=FAST, end=0.1))
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1].tolist(), Path.cwd()) == state[1:]


def test_the_command_line_reports_as_json(scene, tmp_path, capsys):
    arguments = ["--video", str(scene), "--audio", str(VOICE), "--out", str(tmp_path / "out.mp4")]
    assert main(["sync", *arguments, "--model", "untrained", "--steps", "1", "--end", "0:0.08", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == report["synced_frames"] == 2
    assert report["demonstration"] is True
    recommended = {"cfg": 1.5, "scheduler": "ddim", "noise_sharing": 1.0, "overlap": 0}  # steps were given
    assert report["sampling"] == {"quality": "recommended", "steps": 1, **recommended}
    assert set(report["seconds"]) == {"model", "faces", "voice", "sampling", "compositing"}


@needs_shared
def test_a_real_clip_goes_through(model, tmp_path):
    """The beginning of a real 1080 × 1920 HEVC clip; the whole clip is `benchmarks.real_clip`'s."""
    video, audio = SHARED / "media" / "demo1_video.mp4", SHARED / "media" / "demo1_audio.wav"
    options = SyncOptions(model=model, sampler=FAST, end=0.08)
    report = sync(video, audio, tmp_path / "out.mp4", options)
    assert report.frames == report.synced_frames == 2
    assert report.fps == "25"
