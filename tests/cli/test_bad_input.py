"""Bad input: one sentence that names the value and the way out, exit code 2, and nothing left behind."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from latentsync_core.cli.commands import EXIT_ERROR, main
from latentsync_core.media.ffmpeg import ffmpeg_executable
from latentsync_core.sample_scene import SCENE, VOICE
from tests.clips import LOSSLESS


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some frames of the carried scene at half its size."""
    target = tmp_path_factory.mktemp("small") / "small.mp4"
    return made_by_ffmpeg(target, "-i", str(SCENE), "-vf", "scale=iw/2:ih/2", "-frames:v", "6", "-an", *LOSSLESS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where results go; whatever a failed job leaves there is a fault."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def refused(folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs `sync` with some arguments changed; returns the sentence it failed with."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)

    def run(out: Path | None = None, extra: tuple[str, ...] = (), **changed: object) -> str:
        values = {"video": SCENE, "audio": VOICE, "out": out or folder / "out.mp4", "model": "untrained", "steps": 1}
        values |= changed
        arguments = [part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        code = main(["sync", *arguments, "--end", "0.4", *extra])
        printed = capsys.readouterr()
        sentence = printed.err.strip().splitlines()[-1]
        assert code == EXIT_ERROR, printed.err
        assert sentence.startswith("error: ")
        assert "Traceback" not in printed.err
        assert not list(folder.iterdir())
        assert not list(temporary.glob("*latentsync*"))
        return sentence

    return run


def made_by_ffmpeg(path: Path, *arguments: str) -> Path:
    subprocess.run([ffmpeg_executable(), "-loglevel", "error", "-y", *arguments, str(path)], check=True)
    return path


def wav(path: Path, samples: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(2 * samples))
    return path


def test_a_missing_clip(refused):
    assert "no_such.mp4" in refused(video="no_such.mp4")


def test_a_missing_voice(refused):
    assert "no_such.wav" in refused(audio="no_such.wav")


def test_a_sound_as_the_clip(refused):
    assert VOICE.name in refused(video=VOICE)


def test_a_silent_clip_as_the_voice(refused, tmp_path):
    silent = made_by_ffmpeg(tmp_path / "silent.mp4", "-i", str(SCENE), "-an", "-c", "copy")
    assert "silent.mp4" in refused(audio=silent)


def test_a_clip_without_frames(refused, tmp_path):
    empty = made_by_ffmpeg(tmp_path / "empty.mp4", "-i", str(SCENE), "-an", "-frames:v", "0", "-c:v", "libx264")
    assert "empty.mp4" in refused(video=empty)


def test_a_clip_cut_short(refused, tmp_path):
    whole = made_by_ffmpeg(tmp_path / "whole.mp4", "-i", str(SCENE), "-c", "copy")  # its index comes last
    (tmp_path / "short.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "short.mp4" in refused(video=tmp_path / "short.mp4")


def test_a_clip_whose_end_is_missing(refused, tmp_path):
    data = SCENE.read_bytes()  # its index comes first, so that all looks well until the frames are read
    (tmp_path / "short.mp4").write_bytes(data[: len(data) // 2])
    assert "short.mp4" in refused(video=tmp_path / "short.mp4", end=5)


def test_a_clip_without_a_face(refused, tmp_path):
    noise = made_by_ffmpeg(tmp_path / "noise.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=1")
    sentence = refused(video=noise)
    assert "face" in sentence
    assert "noise.mp4" in sentence


def test_an_unsupported_pixel_format(refused, tmp_path):
    wide = made_by_ffmpeg(
        tmp_path / "wide.mkv", "-i", str(SCENE), "-frames:v", "5", "-c:v", "ffv1", "-pix_fmt", "yuv410p"
    )
    sentence = refused(video=wide)
    assert "yuv410p" in sentence
    assert "-pix_fmt yuv4" in sentence, "it says how to convert"


def test_a_voice_of_no_length(refused, tmp_path):
    assert "empty.wav" in refused(audio=wav(tmp_path / "empty.wav", samples=0))


def test_a_voice_that_is_not_a_number(refused, tmp_path):
    samples = np.zeros(16000, dtype="<f4")
    samples[8000] = np.nan
    (tmp_path / "raw").write_bytes(samples.tobytes())
    raw = ("-f", "f32le", "-ar", "16000", "-ac", "1", "-i", str(tmp_path / "raw"))
    nan = made_by_ffmpeg(tmp_path / "nan.wav", *raw, "-c:a", "pcm_f32le")
    sentence = refused(audio=nan)
    assert "nan.wav" in sentence
    assert "0.5" in sentence, "it says where"


def test_an_unknown_checkpoint(refused, tmp_path):
    save_file({"some.other.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    assert "other.safetensors" in refused(model=tmp_path / "other.safetensors", resolution=256)


def test_a_checkpoint_of_the_wrong_shape(refused, tmp_path):
    from tests.parity.reference_networks import tiny_unet

    state = tiny_unet().state_dict()
    state["conv_in.weight"] = torch.zeros(32, 9, 3, 3)
    torch.save({"state_dict": state}, tmp_path / "shape.pt")
    sentence = refused(model=tmp_path / "shape.pt", resolution=256)
    assert "shape.pt" in sentence
    assert "conv_in" in sentence


class _Bomb:
    def __reduce__(self):
        return os.mkdir, ("the_code_ran",)


def test_a_pickle_with_code_inside_is_not_run(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps({"state_dict": _Bomb()}))
    torch.save({"state_dict": _Bomb()}, tmp_path / "bomb_zip.pt")
    for name in ("bomb.pt", "bomb_zip.pt"):
        assert name in refused(model=tmp_path / name, resolution=256)
    assert not (tmp_path / "the_code_ran").exists()


def test_a_model_that_is_not_installed_explains_how_to_get_it(refused, tmp_path):
    sentence = refused(model="latentsync-1.6", extra=("--models-folder", str(tmp_path / "models")))
    assert "download latentsync-1.6" in sentence
    assert "nano" in sentence


def test_a_model_name_that_nobody_knows(refused):
    assert "latentsync-9" in refused(model="latentsync-9")


def test_no_output_folder(refused, folder):
    assert "nowhere" in refused(out=folder / "nowhere" / "out.mp4")


def test_a_suffix_that_the_codec_cannot_have(refused, folder):
    sentence = refused(out=folder / "out.avi")
    assert ".avi" in sentence
    assert ".mp4" in sentence


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("steps", 0),
        ("cfg", 0.9),
        ("cfg", "nan"),
        ("cfg", "inf"),
        ("overlap", 9),
        ("crf", 60),
        ("feather", -1.0),
        ("detector_score", 1.5),
        ("face_scale", 9.0),
    ],
)
def test_options_outside_their_range(refused, option, value):
    assert str(value) in refused(**{option: value})


@pytest.mark.parametrize("text", ["1e3000000", "1/3", "-1", "nan", "inf", "1:2:3:4", "9" * 5000, "", "1e3", "٣"])
def test_a_time_that_is_none(text, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["sync", "--video", "a.mp4", "--audio", "a.wav", "--out", "o.mp4", f"--start={text}"])
    assert ended.value.code == EXIT_ERROR
    assert "is no time; write seconds" in capsys.readouterr().err


def test_a_start_after_the_end(refused):
    assert "7" in refused(start=7)


def test_a_clip_that_changed_between_two_stages(small, tmp_path, folder):
    from latentsync_core.errors import ClipChangedError
    from latentsync_core.models.loading.untrained import untrained_model
    from latentsync_core.pipeline import sync
    from latentsync_core.sampling.sampler_options import SamplerOptions
    from latentsync_core.sync_options import SyncOptions

    clip = Path(shutil.copy(small, tmp_path / "clip.mp4"))

    def overwrite(phase: str, done: int, total: int) -> None:
        if phase == "sampling" and done == 1:
            made_by_ffmpeg(clip, "-i", str(small), "-vf", "hflip")

    options = SyncOptions(model=untrained_model(resolution=64), sampler=SamplerOptions(steps=1, cfg=1.0))
    with pytest.raises(ClipChangedError, match=r"clip\.mp4"):
        sync(clip, VOICE, folder / "out.mp4", options, overwrite)
    assert not list(folder.iterdir())


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="a full disk is made by mounting a small one: Linux, root"
)
@pytest.mark.parametrize(
    ("full", "size", "words"),
    [("output", "16k", "room"), ("work", "4k", "room"), ("work", "16k", "free disk space")],
    ids=["output", "mouths", "faces"],
)
def test_a_full_disk(refused, small, tmp_path, full, size, words):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)
    try:
        sentence = refused(out=disk / "out.mp4", video=small) if full == "output" else refused(work_folder=disk)
        assert "disk" in sentence
        assert words in sentence
        assert full == "work" or not list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_result_that_was_there_survives_a_failure(folder, capsys):
    target = folder / "out.mp4"
    target.write_bytes(b"the last good take")
    arguments = ["--video", "no_such.mp4", "--audio", str(VOICE), "--out", str(target), "--model", "untrained"]
    assert main(["sync", *arguments]) == EXIT_ERROR
    assert target.read_bytes() == b"the last good take"


def test_machines_get_the_error_as_json(capsys):
    import json

    assert main(["probe", "no_such.mp4", "--json"]) == EXIT_ERROR
    assert "no_such.mp4" in json.loads(capsys.readouterr().err)["error"]


def test_a_program_without_standard_output_can_run_a_command():
    """As pythonw does on Windows, or a service whose output is closed."""
    script = "import sys; sys.stdout = None; sys.argv = ['latentsync-dub', 'probe', 'nowhere.mp4']; "
    done = subprocess.run(
        [sys.executable, "-c", script + "from latentsync_core.cli.commands import run; run()"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == EXIT_ERROR
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
