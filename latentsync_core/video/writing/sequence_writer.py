"""Writes a clip as a folder of pictures, 16 bits a channel, with the sound as a WAV beside them."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from ...errors import OutputError
from ...media.ffmpeg import run_ffmpeg
from ...media.opening import ffmpeg_output, ffmpeg_own_samples
from ...media.sound_reader import SoundReader, SoundTrack
from ...messages import Note, NoteLevel
from ..clip import Clip, ColorTags
from ..frame import Frame
from .audio_plan import SEQUENCE_SOUND, AudioPlan, plan_audio
from .encoders import encoder
from .encoding import plan_pictures
from .picture_names import picture_names
from .writer import FrameWriter, VideoWriter
from .writer_options import WriterOptions

LEVELS = 65535  # of 16 bits


def result_writer(
    path: str | Path, clip: Clip, *, options: WriterOptions, pts: np.ndarray, audio: SoundTrack | None = None
) -> FrameWriter | SequenceWriter:
    """The writer of a clip's frames as `options` ask: into a file, or into a folder of pictures."""
    kind = SequenceWriter if options.codec.is_sequence else FrameWriter
    return kind(path, clip, options=options, pts=pts, audio=audio)


class SequenceWriter(VideoWriter):
    """Writes frames to ``folder/name_000001.png`` and on; the folder appears, whole, as a `VideoWriter`'s file does.

    Pictures are upright and of the clip's displayed size. Whatever the clip is stored in is converted to RGB, every
    sample; the transfer function stays the clip's.

    Args:
        path: the folder, or the pictures' names in it with their number as "%04d". The folder must not be there yet.
        audio: the sound that is written beside the pictures, as a WAV of 24 bits.
    """

    def __init__(
        self, path: str | Path, clip: Clip, *, options: WriterOptions, pts: np.ndarray, audio: SoundTrack | None = None
    ) -> None:
        row = encoder(options.codec)
        upright = replace(
            clip,
            pixel_format=row.pixel_formats[0],
            images=None,
            rotation=0,
            color=ColorTags("gbr", "pc", clip.color.primaries, clip.color.transfer),
        )
        is_own = audio is not None and clip.is_of_file(audio.path) and len(audio.streams) == 1
        plan = plan_pictures(upright, options.codec)
        super().__init__(path, upright, options=options, pts=pts, plan=plan, is_own_sound=is_own)
        self._names = picture_names(Path(path), row.suffix)
        self._sound_plan = None if audio is None else plan_audio(audio, options.codec)
        if self._sound_plan is not None:
            self.notes += self._sound_plan.notes
        if len(set(np.diff(clip.times).round(3))) > 2:  # two: a rate whose stamps are rounded
            fact = "A sequence of pictures has no times, and this clip's frames aren't evenly spaced."
            self.notes.append(Note(fact, NoteLevel.WARNING))

    def write(self, frame: Frame) -> None:
        """Appends a frame."""
        levels = (frame.rgb() * LEVELS).round().numpy().astype(np.uint16)  # (3, h, w)
        alpha = None
        if self._clip.has_alpha:
            stored = torch.from_numpy(frame.alpha_levels(16).astype(np.int32))
            alpha = frame.layout.to_displayed(stored).numpy().astype(np.uint16)
        self._append(Frame((levels[1], levels[2], levels[0]), 0, 0, self._layout, alpha))

    def _write_blank(self) -> None:
        self._append(Frame.blank(self._layout))

    def _make_temporary(self) -> Path:
        folder = self._scratch.path / "pictures"
        folder.mkdir()
        return folder

    def _output(self) -> list[str]:
        folder = str(self._temporary).replace("%", "%%")
        return ["-f", "image2", "-start_number", "1", ffmpeg_output(Path(folder, self._names))]

    def _texts(self) -> dict[str, str]:
        return {}  # ffmpeg's encoders of pictures write none

    def _container_args(self) -> list[str]:
        return []

    def _put_in_place(self) -> None:
        if self._sound_plan is not None:
            self._write_sound(self._sound_plan, self._temporary / f"{self.path.name}{SEQUENCE_SOUND}")
        os.rename(self._temporary, self.path)

    def _write_sound(self, plan: AudioPlan, target: Path) -> None:
        track, samples = plan.track, self._scratch.path / "sound.f32"
        with SoundReader(track, plan.samples(self._duration())) as reader, samples.open("wb") as file:
            for block in reader:
                file.write(block.T.contiguous().numpy().tobytes())
        args = [*ffmpeg_own_samples(samples, track.rate, track.channels), "-map_metadata", "-1", "-fflags", "+bitexact"]
        args += plan.output_args(Fraction(0), self._duration())
        run_ffmpeg(["-y", *args, ffmpeg_output(target)], error=OutputError, what=f"Can't write {target.name}")
