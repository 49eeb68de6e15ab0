"""Streams frames into a new file: planes, PTS and tags to an encoder, audio muxed beside them."""

from __future__ import annotations

import copy
import logging
import os
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fractions import Fraction
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from ...errors import AudioError, OutputError
from ...files.output_checks import check_disk_space, check_target
from ...files.scratch import ScratchFolder
from ...media.ffmpeg import QUIET, ffmpeg_executable, first_error_line
from ...media.opening import PIPED_FRAMES_INPUT, ffmpeg_input, ffmpeg_output, ffmpeg_own_metadata, open_frame_pipe
from ...messages import Note, Remedy
from ..clip import Clip
from ..frame import Frame
from ..pixel_format import Layout
from .audio_plan import container_start_time, plan_audio
from .encoding import VideoPlan, check_pts, min_frame_bytes, output_path, plan_video
from .metadata import ffmetadata
from .writer_options import Codec, WriterOptions

if TYPE_CHECKING:
    from av.container import OutputContainer
    from typing_extensions import Self

__all__ = ["Codec", "FrameWriter", "WriterOptions", "check_target", "output_path"]

DEFAULTS = WriterOptions()
MAX_START_SECONDS = 1  # seconds; a first frame later than that is an offset of the recording, not a pause
MIN_MP4_TIMESCALE = 10_000  # ticks a second at the least, so that sound and edit lists round to little

log = logging.getLogger(__name__)


class VideoWriter(ABC):
    """Writes a video to `path`, which appears, whole, when the `with` block ends without an exception.

    Times are `pts` exactly where the container can hold them (see `notes`). The sound begins with the first frame and
    ends with the last one: it is cut, or padded with silence, to the sample; an MP4 that gets a copy of it is cut to a
    packet and never padded. A trimmed clip, or one whose first stamp is negative or beyond a second, is moved to begin
    at 0.

    Args:
        path: gets the codec's suffix where it has none.
        clip: gives size, pixel format, rotation, sample aspect, colour tags and rate.
        pts: (F,) int64 ticks of the clip's time base, strictly rising: one for each frame to come.
        audio: a file whose first sound stream goes beside the picture.
        metadata: texts by name, for the container: tags that ComfyUI's page and ffprobe read.
        plan: how frames reach the encoder, where that is not for `plan_video` to say.

    Attributes:
        path: where the result will be.
        notes: for the user: what had to be converted, what players may not take.

    Raises, while opening, writing or leaving:
        OutputError: the folder is missing, nothing can be written there, or there is no room.
        OptionError: the suffix is that of another codec's container.
        AudioError: `audio` can't be read.
    """

    def __init__(
        self,
        path: str | Path,
        clip: Clip,
        *,
        options: WriterOptions = DEFAULTS,
        pts: np.ndarray,
        audio: Path | None = None,
        metadata: Mapping[str, str] | None = None,
        plan: VideoPlan | None = None,
    ) -> None:
        self.path = output_path(path, options.codec)
        self._clip, self._layout = clip, Layout.of(clip)
        self._pts = check_pts(pts)
        self._plan = plan or plan_video(clip, options)
        self.notes: list[Note] = list(self._plan.notes)
        self._codec = options.codec
        self._audio = None if audio is None else Path(audio)
        self._audio_plan = None if audio is None else plan_audio(Path(audio), options.codec)
        self._metadata = dict(metadata or {})
        if self._audio_plan is not None:
            self.notes += self._audio_plan.notes
        first = int(self._pts[0]) * clip.time_base
        if clip.first_frame > 0 or not 0 <= first < MAX_START_SECONDS:
            self._pts, first = self._pts - self._pts[0], Fraction(0)
        self._first = first
        self._written = 0
        self._pipe: OutputContainer | None = None  # the container that frames go into

    def preflight(self) -> None:
        """Writes one blank frame with the beginning of the sound, as the whole will be, and removes it again.

        For asking before long work begins. Raises what opening, writing or leaving the writer would.
        """
        check_target(self.path)
        check_disk_space(self.path.parent, min_frame_bytes(self._layout, self._codec) * len(self._pts), self.path.name)
        try:
            with ScratchFolder(self.path.parent) as folder:
                trial = copy.copy(self)
                trial.path = folder / self.path.name  # the name is tried out too
                trial._pts = self._pts[:1]
                with trial:
                    trial._write_blank()
        except OSError as problem:
            raise OutputError(f"Can't write into {self.path.parent}: {problem.strerror or problem}.") from None

    def __enter__(self) -> Self:
        check_target(self.path)
        folder = self.path.parent
        try:
            self._scratch = ScratchFolder(folder)
        except OSError as problem:
            raise OutputError(f"Can't write into {folder}: {problem.strerror or problem}.") from None
        self._temporary = self._scratch.path / f"part{self.path.suffix}"
        self._messages = tempfile.TemporaryFile()  # a pipe that nobody reads could block ffmpeg
        try:
            self._process = subprocess.Popen(
                [
                    ffmpeg_executable(),
                    *(option for option in QUIET if option != "-nostdin"),
                    *self._ffmpeg_args(),
                    ffmpeg_output(self._temporary),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._messages,
                bufsize=0,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            self._stdin = cast(IO[bytes], self._process.stdin)  # there, since it was asked for with PIPE
            try:
                self._open_pipe()
            except BaseException:
                self._end_process()
                raise
        except BaseException:
            self._messages.close()
            self._scratch.close()
            raise
        return self

    @abstractmethod
    def _write_blank(self) -> None:
        """Appends a frame that shows nothing."""

    def _append(self, frame: Frame) -> None:
        """Appends a frame; it is shown at the next of the writer's timestamps, whatever its own."""
        import av

        if self._pipe is None:
            raise OutputError(f"{self.path.name} is not open: write inside the writer's with block.")
        if self._written == len(self._pts):
            raise OutputError(f"{self.path.name} was opened for {len(self._pts)} frames; one more came.")
        if frame.layout != self._layout:
            raise OutputError(
                f"Frame {self._written} is {frame.width}×{frame.height} {frame.layout.pixel_format.name}, not as "
                f"{self._clip.name} has them."
            )
        planes = self._plan.convert(frame)
        samples = np.concatenate([np.ascontiguousarray(plane).reshape(-1).view(np.uint8) for plane in planes])
        packet = av.Packet(samples)  # pyright: ignore[reportArgumentType]  # any buffer will do; the stub names bytes
        packet.pts = packet.dts = int(self._pts[self._written])
        packet.time_base, packet.stream, packet.is_keyframe = self._clip.time_base, self._stream, True
        with self._translating_errors():
            self._pipe.mux(packet)
        self._written += 1

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._end_process()
            self._messages.close()
            self._scratch.close()

    def _finish(self) -> None:
        if self._written < len(self._pts):
            raise OutputError(
                f"Only {self._written} of {len(self._pts)} frames were written; {self.path.name} was not made."
            )
        with self._translating_errors():
            self._close_pipe()
            self._stdin.close()
        if self._process.wait():
            raise self._failure()
        try:
            os.replace(self._temporary, self.path)
        except OSError as problem:
            raise OutputError(f"Can't put {self.path} in place: {problem.strerror or problem}.") from None
        for note in self.notes:
            log.info("%s: %s", self.path.name, note)

    def _ffmpeg_args(self) -> list[str]:
        display_rotation = self._clip.rotation and 360 - self._clip.rotation  # ffmpeg's is counterclockwise
        args = [
            "-y",
            "-copyts",
            "-noautorotate",
            *(["-display_rotation", str(display_rotation)] if display_rotation else []),
            *(["-display_hflip"] if self._clip.mirrored else []),  # after the rotation, as a Clip says
        ]
        args += PIPED_FRAMES_INPUT
        outputs = ["-map_metadata", "-1"]
        if self._audio is not None and self._audio_plan is not None:
            args += ["-itsoffset", f"{float(self._first - container_start_time(self._audio)):.6f}"]
            args += ffmpeg_input(self._audio, AudioError)
            outputs += ["-map", "0:v:0", "-map", f"1:{self._audio_plan.stream}"]
            outputs += self._audio_plan.timed_args(self._first, self._duration())
        if self._metadata:  # in a file: a workflow is longer than a command line may be
            texts = self._scratch.path / "metadata.txt"
            texts.write_text(ffmetadata(self._metadata), "utf-8", newline="\n")
            args += ffmpeg_own_metadata(texts)
            outputs += ["-map_metadata:g", "2:g" if self._audio_plan else "1:g"]
        args += [*outputs, "-fps_mode", "passthrough", "-enc_time_base:v", "demux"]
        args += ["-vf", ",".join(self._plan.filters), *self._plan.args]
        if self._codec is Codec.FFV1:
            # Sound that begins early (AAC's lead-in) must not move the picture.
            args += ["-avoid_negative_ts", "disabled"]
            # Else Matroska's ids would be drawn at random. MP4 and MOV, the same every time, would lose their metadata.
            args += ["-fflags", "+bitexact"]
        else:
            ticks = self._clip.time_base.denominator
            ticks *= ceil(MIN_MP4_TIMESCALE / ticks)
            args += ["-video_track_timescale", str(ticks), "-movie_timescale", str(ticks)]
            # Without that flag MP4 and MOV keep tags of a fixed list of names alone.
            args += ["-movflags", "+faststart" + ("+use_metadata_tags" if self._metadata else "")]
        return args

    def _duration(self) -> Fraction:
        """Seconds from the first frame's begin to the last one's end."""
        return int(self._pts[-1] - self._pts[0]) * self._clip.time_base + 1 / self._clip.fps

    def _open_pipe(self) -> None:
        rate = self._clip.fps
        self._pipe = open_frame_pipe(self._stdin)
        self._stream = self._pipe.add_stream(
            "rawvideo",
            rate=rate,
            width=self._layout.width,
            height=self._layout.height,
            pix_fmt=self._plan.pixel_format,
            time_base=self._clip.time_base,
        )
        self._stream.time_base = self._clip.time_base
        self._stream.metadata["r_frame_rate"] = f"{rate.numerator}/{rate.denominator}"  # NUT's own name for it

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        """Turns a pipe broken by ffmpeg's end into what ffmpeg said."""
        from av.error import FFmpegError

        try:
            yield
        except (OSError, FFmpegError):
            raise self._failure() from None

    def _failure(self) -> OutputError:
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            code = -1
        self._messages.seek(0)
        messages = self._messages.read()
        log.warning("ffmpeg said: %s", messages.decode("utf-8", "replace"))
        if b"No space left" in messages or b"File too large" in messages:
            return OutputError(f"There is no room left in {self.path.parent}.", "free some", Remedy.MOVE_RESULT)
        return OutputError(f"Can't write {self.path}: {first_error_line(messages, code)}.")

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            self._pipe.close()

    def _end_process(self) -> None:
        from av.error import FFmpegError

        self._process.kill()
        self._process.wait()
        # PyAV 17 and older write the trailer of a container that was left open when it is collected; its file is closed
        # by then, and the whole program ends. Here the pipe is merely broken.
        with suppress(OSError, ValueError, FFmpegError):
            self._close_pipe()
        self._stdin.close()


class FrameWriter(VideoWriter):
    """Writes a clip's frames, in its own size and, where the codec can hold it, in its own pixel format."""

    def write(self, frame: Frame) -> None:
        """Appends a frame; it is shown at the next of the writer's timestamps, whatever its own."""
        self._append(frame)

    def _write_blank(self) -> None:
        self.write(Frame.blank(self._layout))
