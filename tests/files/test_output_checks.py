"""Results never replace an input, and what can't be written is known before a face is looked for."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from latentsync_core.audio.mix import mixed_track
from latentsync_core.audio.source import load_audio
from latentsync_core.cli.commands import EXIT_ERROR, main
from latentsync_core.compositing.png_layers import PngLayerWriter
from latentsync_core.compositing.prores_layers import LayerWriter, MatteWriter
from latentsync_core.errors import LatentSyncError, OptionError, OutputError
from latentsync_core.files.output_checks import check_disk_space, check_no_overwrite, check_target
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.pipeline import sync
from latentsync_core.sample_scene import PORTRAIT, SCENE, VOICE
from latentsync_core.sampling.patch_store import PatchStore
from latentsync_core.sampling.sampler import check_disk_space_for_patches
from latentsync_core.sync_options import SyncOptions
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.audio_plan import plan_audio
from latentsync_core.video.writing.encoding import output_path
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.clips import CODECS, make_clip, make_sound, raw_planes
from tests.slow_parameters import others_slow

INPUTS = {
    "video": "the video",
    "audio": "the voice of speaker 1",
    "mux-audio": "the audio to mux",
    "marks": "the file of marks",
    "speaker": "the voice of speaker 2",
    "picture": "the picture of speaker 2",
}


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """A file of each kind that a job reads; all of them are called .mp4, as a result is."""
    made = {name: tmp_path / f"{name}.mp4" for name in INPUTS}
    shutil.copy(SCENE, made["video"])
    for name in ("audio", "mux-audio", "speaker"):
        shutil.copy(VOICE, made[name])
    shutil.copy(PORTRAIT, made["picture"])
    made["marks"].write_text('[{"frame": 0, "box": [50, 50, 90, 100]}]')
    return made


def job(files: dict[str, Path], out: object, *extra: str) -> list[str]:
    inputs = [f"--{name}={files[name]}" for name in ("video", "audio", "mux-audio", "marks")]
    speaker = f"--speaker=picture:{files['picture']}={files['speaker']}"
    return ["sync", *inputs, speaker, f"--out={out}", "--model=untrained", "--steps=1", "--end=0.2", *extra]


def same(path: Path) -> Path:
    return path


def hard_link(path: Path) -> Path:
    link = path.with_name("hard.mp4")
    os.link(path, link)
    return link


def symbolic_link(path: Path) -> Path:
    link = path.with_name("symbolic.mp4")
    link.symlink_to(path.name)
    return link


def detour(path: Path) -> Path:
    (path.parent / "sub").mkdir()
    return path.parent / "sub" / ".." / path.name


@pytest.mark.parametrize("way", [same, hard_link, symbolic_link, detour])
@pytest.mark.parametrize("name", INPUTS)
def test_a_result_over_an_input_is_refused_before_anything(files, capsys, name, way):
    before = {path: path.read_bytes() for path in files.values()}
    assert main(job(files, way(files[name]))) == EXIT_ERROR
    assert f"is {INPUTS[name]}, which the result would overwrite" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in files.values()} == before


def test_a_name_without_its_suffix_counts_with_it(files, capsys):
    assert main(job(files, files["video"].with_suffix(""))) == EXIT_ERROR
    assert "is the video" in capsys.readouterr().err


def test_names_that_differ_in_case_alone_are_one_where_the_file_system_says_so(files):
    """Such a file system answers for either name; on others the name in capitals is another file's."""
    upper = files["video"].with_name(files["video"].name.upper())
    if not upper.exists():
        upper.symlink_to(files["video"])
    with pytest.raises(OptionError, match="overwrite"):
        check_no_overwrite([upper], [("the video", files["video"])])


def test_a_work_folder_that_is_the_result_or_an_input_is_refused(files, capsys):
    out = files["video"].with_name("out.mp4")
    assert main(job(files, out, f"--work-folder={out}")) == EXIT_ERROR
    assert "Two results" in capsys.readouterr().err
    assert main(job(files, out, f"--work-folder={files['audio']}")) == EXIT_ERROR
    assert "is the voice" in capsys.readouterr().err


def test_a_face_listing_never_replaces_what_it_read(tmp_path, capsys):
    marks = tmp_path / "faces.json"
    marks.write_text('[{"frame": 0, "box": [50, 50, 90, 100]}]')
    picture = Path(shutil.copy(PORTRAIT, tmp_path / "people.png"))
    before = marks.read_bytes(), picture.read_bytes()
    assert main(["faces", str(SCENE), f"--out={tmp_path}", f"--marks={marks}"]) == EXIT_ERROR
    assert "faces.json is the file of marks" in capsys.readouterr().err
    assert main(["faces", str(picture), f"--out={tmp_path}"]) == EXIT_ERROR
    assert "people.png is the video" in capsys.readouterr().err
    assert (marks.read_bytes(), picture.read_bytes()) == before


@pytest.mark.parametrize("name", ["portrait.mp4", "scene.mp4"])
def test_the_demo_does_not_write_over_the_carried_sample(name, capsys):
    before = {path: path.read_bytes() for path in PORTRAIT.parent.iterdir()}
    assert main(["demo", f"--out={PORTRAIT.with_name(name)}"]) == EXIT_ERROR
    assert "part of the carried sample" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in PORTRAIT.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("out", "sentence"),
    [
        ("-", "standard output"),
        ("folder/", "folder/ is a folder: name a file in it"),
        ("folder", "folder is a folder: name a file in it"),
        ("not_there/", "not_there/ is a folder: name a file in it"),
        ("not_there/out.mp4", "There is no folder not_there"),
        ("out.avi", "name it out.mp4"),
        ("out.TS", "name it out.mp4"),
        ("out.wav", "name it out.mp4"),
        ("out.png", "name it out.mp4"),
        ("y" * 300, "too long"),
        ("a\0b.mp4", "null"),
        ("", "names no file"),
        (".", "is a folder"),
    ],
)
def test_what_is_no_place_for_a_result_is_a_clear_word(tmp_path, monkeypatch, capsys, out, sentence):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    code = main(["sync", f"--video={SCENE}", f"--audio={VOICE}", f"--out={out}", "--model=untrained"])
    assert code == EXIT_ERROR
    assert sentence in capsys.readouterr().err
    assert os.listdir() == ["folder"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_a_device_is_no_place_for_a_result(tmp_path):
    os.mkfifo(tmp_path / "fifo.mp4")
    with pytest.raises(OutputError, match="not a file"):
        check_target(tmp_path / "fifo.mp4")
    for device in ("/dev/null", tmp_path / "fifo.mp4"):
        with pytest.raises(OptionError, match="is a device"):
            output_path(device, Codec.H264)


def test_a_name_without_a_suffix_gets_the_codec_s_and_the_report_says_so(tmp_path, capsys):
    for name, written in (("take", "take.mkv"), ("take.v2", "take.v2.mkv")):
        arguments = [f"--video={SCENE}", f"--audio={VOICE}", f"--out={tmp_path / name}", "--codec=ffv1"]
        assert main(["sync", *arguments, "--model=untrained", "--steps=1", "--end=0.04", "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["output"] == str(tmp_path / written)
        assert any(f"The result is named {written}" in note for note in report["notes"])


class Reached(Exception):
    """The job came as far as the phase that is not to be reached."""


def phases_until_refused(video: Path, voice: Path, out: Path, options: WriterOptions) -> tuple[list[str], str]:
    """The phases that a job entered before it was refused, and the sentence."""
    entered: list[str] = []

    def note(phase: str, _done: int, _total: int) -> None:
        entered.append(phase)
        if phase == "faces":
            raise Reached

    with pytest.raises((LatentSyncError, Reached)) as caught:
        sync(video, voice, out, SyncOptions(model="untrained", end=0.2, writer=options), note)
    return entered, str(caught.value)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small file system: Linux, root")
@pytest.mark.parametrize("codec", CODECS)
def test_a_full_disk_is_known_before_anything_is_loaded(tmp_path, codec):
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(disk)], check=True)
    (disk / "full").write_bytes(bytes(4096))
    try:
        entered, sentence = phases_until_refused(SCENE, VOICE, disk / f"o{codec.suffix}", WriterOptions(codec))
        assert entered == []
        assert "room" in sentence
        assert os.listdir(disk) == ["full"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_picture_too_large_for_its_codec_is_known_before_anything_is_loaded(tmp_path):
    wide = make_clip(tmp_path / "wide.mkv", size=(16500, 16), frames=2, encoder=("-c:v", "ffv1"))
    entered, sentence = phases_until_refused(wide, VOICE, tmp_path / "out.mp4", WriterOptions())
    assert entered == []
    assert "out.mp4" in sentence
    assert not (tmp_path / "out.mp4").exists()


def test_nothing_that_lies_at_the_target_is_touched_by_trying_out(tmp_path):
    clip = probe(make_clip(tmp_path / "in.mp4", frames=3))
    target = tmp_path / "out.mp4"
    target.write_bytes(b"the last good take")
    FrameWriter(target, clip, pts=clip.pts, audio=load_audio(VOICE).track).preflight()
    assert target.read_bytes() == b"the last good take"
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "out.mp4"]


@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_every_kind_of_writer_can_be_tried_out(tmp_path, size):
    clip = probe(make_clip(tmp_path / "in.mkv", size=size, frames=3, encoder=("-c:v", "ffv1")))
    memory = clip_from_images(torch.rand(2, size[1], size[0], 3), clip.fps)
    for codec in CODECS:
        for source in (clip, memory):
            FrameWriter(tmp_path / "o", source, options=WriterOptions(codec), pts=source.pts).preflight()
    for writer in (
        MatteWriter(tmp_path / "m", clip, pts=clip.pts),
        LayerWriter(tmp_path / "l", clip, pts=clip.pts),
    ):
        writer.preflight()
    PngLayerWriter(tmp_path / "p", clip, frames=3).preflight()
    assert os.listdir(tmp_path) == ["in.mkv"]


def test_room_is_asked_of_the_folder_or_the_one_that_it_will_lie_in(tmp_path):
    check_disk_space(tmp_path / "new" / "folder", 1, "it")
    with pytest.raises(OutputError, match=r"needs 1000000\.0 GB or more"):
        check_disk_space(tmp_path / "new" / "folder", 1e15, "it")
    for folder in (tmp_path, tmp_path / "new", None):
        check_disk_space_for_patches(512, 100, 2, folder)
        with pytest.raises(OutputError, match="no room for the finished faces"):
            check_disk_space_for_patches(512, 10**10, 2, folder)
    with pytest.raises(OutputError, match="no room for the finished faces"):
        PatchStore("key", frames=10**9, shape=(4, 512, 512), folder=tmp_path)


# ---- sounds


LAYOUTS = ["5.1.2", "cube", "7.1(wide)", "octagonal", "hexagonal", "6.1(front)", "2.1", "downmix"]
SOUNDS = {  # file: ffmpeg's filters and encoder arguments
    "low11025.mp3": ("aresample=11025", "-b:a", "32k"),
    "low8000.mp3": ("aresample=8000", "-b:a", "16k"),
    "f32.aiff": ("anull", "-c:a", "pcm_f32be"),
    "s8.aiff": ("anull", "-c:a", "pcm_s8"),
    "s32.aiff": ("anull", "-c:a", "pcm_s32be"),
    "r192k.wav": ("aresample=192000",),
    "opus.ogg": ("anull", "-c:a", "libopus"),
    "alaw.wav": ("aresample=8000", "-c:a", "pcm_alaw"),
    "wma.wma": ("anull", "-c:a", "wmav2"),
} | {f"{layout}.wav": (f"aformat=channel_layouts={layout}",) for layout in LAYOUTS}


def probe_audio_codec(path):
    with av.open(str(path)) as file:
        return file.streams.audio[0].codec_context.name


QUICK_SOUNDS = {  # for each container those that it copies, encodes, resamples or mixes down in ways of their own
    Codec.H264: [
        "low11025.mp3", "low8000.mp3", "f32.aiff", "r192k.wav", "opus.ogg", "alaw.wav", "5.1.2.wav", "cube.wav",
        "7.1(wide).wav", "6.1(front).wav", "2.1.wav", "downmix.wav",
    ],
    Codec.PRORES: ["s8.aiff", "r192k.wav", "octagonal.wav"],
    Codec.FFV1: ["s32.aiff", "wma.wma", "hexagonal.wav"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "codec"),
    others_slow(
        itertools.product(SOUNDS, CODECS), [(name, codec) for codec, names in QUICK_SOUNDS.items() for name in names]
    ),
)
def test_every_sound_goes_into_every_container_copied_or_encoded(tmp_path, codec, name):
    """Peaks of a loud tone are still there, and what was changed is reported.

    Quick: test_every_sound_goes_into_every_container_copied_or_encoded, every sound into one container.
    """
    clip = probe(make_clip(tmp_path / "in.mp4", frames=12))
    filters, *encoder = SOUNDS[name]
    sound = make_sound(tmp_path / name, "-af", f"volume=18dB,{filters}", *encoder, seconds=0.5)
    writer = FrameWriter(
        tmp_path / "out", clip, options=WriterOptions(codec), pts=clip.pts, audio=load_audio(sound).track
    )
    with FrameReader(clip) as frames, writer:
        for frame in frames:
            writer.write(frame)
    before, after = load_audio(sound), load_audio(writer.path)
    plan = plan_audio(load_audio(sound).track, codec)
    is_copy = plan.rate is None
    is_pcm_still = codec is not Codec.H264 and probe_audio_codec(sound).startswith("pcm_")
    assert any("re-encoded" in note.fact for note in writer.notes) == (not is_copy and not is_pcm_still)
    assert (after.channels == before.channels) == (not any("mixed down" in note.fact for note in writer.notes))
    if codec is Codec.H264:
        assert after.duration == pytest.approx(0.48, abs=0.2 if is_copy else 0.06), "AAC decodes to whole packets"
    else:
        assert after.samples == round(0.48 * after.sample_rate)
    peak = float(before.mono16k()[:6000].abs().max())
    assert peak > 0.05
    assert float(after.mono16k()[:6000].abs().max()) > 0.3 * peak


@pytest.mark.parametrize("layout", ["5.1", "cube", "5.1.2", "downmix"])
def test_voices_of_any_layout_are_mixed(tmp_path, layout):
    many = load_audio(make_sound(tmp_path / "many.wav", "-af", f"aformat=channel_layouts={layout}", seconds=0.3))
    mono = load_audio(make_sound(tmp_path / "mono.wav", seconds=0.2))
    mixed = load_audio(mixed_track([many, mono], tmp_path).path)
    assert (mixed.channels, mixed.samples) == (2, many.samples)
    assert torch.isfinite(mixed.whole()).all()
    assert float(mixed.whole()[:, :4000].abs().max()) > 0.1


# ---- FFV1


SIZES = [(853, 480), (853, 481), (640, 481), (1919, 1081), (17, 13), (3, 3), (2, 2), (1, 1)]


@pytest.mark.parametrize(
    ("pixel_format", "size"),
    others_slow(
        itertools.product(["yuv420p", "yuv422p10le", "yuv444p", "gbrp"], SIZES),
        quick=[
            *(("yuv420p", size) for size in SIZES),
            *itertools.product(["yuv422p10le", "yuv444p", "gbrp"], [(17, 13), (1, 1)]),
            ("yuv422p10le", (853, 481)),
        ],
    ),
)
def test_ffv1_is_lossless_at_every_size(tmp_path, size, pixel_format):
    """Quick: test_ffv1_is_lossless_at_every_size, every size with 4:2:0, every other format at two of them."""
    noise = ("-f", "lavfi", "-i", "testsrc2=s=64x64:d=0.08,noise=alls=60:allf=t")
    form = ("-vf", f"scale={size[0]}:{size[1]},format={pixel_format}", "-c:v", "rawvideo")
    run_ffmpeg([*noise, *form, str(tmp_path / "in.nut")], error=OutputError, what="noise")
    clip = probe(tmp_path / "in.nut")
    writer = FrameWriter(tmp_path / "out", clip, options=WriterOptions(Codec.FFV1), pts=clip.pts)
    writer.preflight()
    with FrameReader(clip) as frames, writer:
        for frame in frames:
            writer.write(frame)
    for before, after in zip(
        *(raw_planes(path, pixel_format, *size) for path in (tmp_path / "in.nut", writer.path)), strict=True
    ):
        assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
