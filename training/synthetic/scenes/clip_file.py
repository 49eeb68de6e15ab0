"""Rendered scenes and frames as video files, voices as WAV."""

from __future__ import annotations

import subprocess
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from latentsync_core.errors import OptionError, OutputError
from latentsync_core.media.ffmpeg import QUIET, ffmpeg_executable, first_error_line

from ..speech.performance import SAMPLE_RATE
from .scene import FrameTruth, Scene, render

T = TypeVar("T")


def write_clip(scene: Scene, path: Path, *, crf: int = 14, sound: bool = True) -> list[FrameTruth]:
    """Renders a scene into an H.264 file (4:2:0, bt709) with AAC sound; returns the frames' truths.

    Raises:
        OptionError: the width or height is odd.
        OutputError: ffmpeg can't write the file.
    """
    return write_frames(scene, render(scene), path, crf=crf, sound=sound)


def write_frames(
    scene,
    drawn: Iterator[tuple[np.ndarray, T]],
    path: Path,
    *,
    crf: int = 14,
    preset: str = "medium",
    sound: bool = True,
) -> list[T]:
    """The same of frames (H, W, 3) uint8, each with its truth; `scene` has width, height, fps and waveform."""
    if scene.width % 2 or scene.height % 2:
        raise OptionError(f"a 4:2:0 clip needs even sides, not {scene.width}×{scene.height}")
    with tempfile.TemporaryDirectory() as folder:
        audio = Path(folder) / "sound.wav"
        write_wave(audio, scene.waveform)
        command = [
            ffmpeg_executable(), *QUIET, "-y", "-f", "rawvideo", "-pix_fmt", "rgb24",
            "-s", f"{scene.width}x{scene.height}", "-r", str(scene.fps), "-i", "pipe:0",
            *(["-i", str(audio)] if sound else []), "-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p",
            "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv",
            "-c:v", "libx264", "-threads", "1", "-preset", preset, "-crf", str(crf),
            *(["-c:a", "aac", "-b:a", "96k"] if sound else []), "-movflags", "+faststart", str(path),
        ]  # fmt: skip
        command.remove("-nostdin")
        truths: list[T] = []
        with tempfile.TemporaryFile() as messages:
            with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=messages) as encoder:
                try:
                    for frame, truth in drawn:
                        encoder.stdin.write(frame.tobytes())
                        truths.append(truth)
                    encoder.stdin.close()
                except BrokenPipeError:
                    pass  # the exit code and message below say why
            if encoder.returncode:
                messages.seek(0)
                raise OutputError(f"Can't write {path}: {first_error_line(messages.read(), encoder.returncode)}.")
    return truths


def write_wave(path: Path, waveform: np.ndarray) -> None:
    """A waveform (T,) in [-1, 1] at 16 kHz as 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(waveform, -1, 1) * 32767).round().astype("<i2").tobytes())
