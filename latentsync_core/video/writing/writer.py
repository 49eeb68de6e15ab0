"""Streams frames into a new file: planes, PTS and tags to an encoder, audio muxed beside them."""

from __future__ import annotations

import copy
import logging
import os
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from ...errors import AudioError, LatentSyncError, OutputError, VideoError
from ...files.output_checks import check_disk_space, check_target
from ...files.scratch import ScratchFolder
from ...media.ffmpeg import QUIET, ffmpeg_executable, first_error_line
from ...media.opening import PIPED_FRAMES_INPUT, ffmpeg_input, ffmpeg_output, ffmpeg_own_metadata, open_frame_pipe
from ...media.sound_reader import SoundTrack
from ...messages import Note, NoteLevel, Remedy
from ...progress import Progress
from ...provenance.film_credits import COMMENT, FilmCredits
from ..clip import Clip
from ..frame import Frame
from ..pixel_format import Layout
from ..reading.source_facts import Track
from .audio_pipe import AudioPipe
from .audio_plan import AudioPlan, plan_audio
from .carry_over import kept_audio_args, plan_carry_over, plan_timecode, subtitle_args
from .encoding import VideoPlan, check_pts, min_frame_bytes, output_path, plan_video, stored_aspect
from .match_source import match_source
from .metadata import ffmetadata
from .splicing import EncodedFrames, splice
from .subtitle_copy import copy_subtitles
from .writer_options import Codec, WriterOptions

if TYPE_CHECKING:
    from av.container import OutputContainer
    from typing_extensions import Self

__all__ = ["Codec", "FrameWriter", "WriterOptions", "check_target", "output_path"]

DEFAULTS = WriterOptions()
MAX_START_SECONDS = 1  # seconds; a first frame later than that is an offset of the recording, not a pause
MIN_MP4_TIMESCALE = 10_000  # ticks a second at the least, so that sound and edit lists round to little
MAX_ASPECT_TERM = 255  # of the ratio that ffmpeg's option -aspect takes as it is
NO_CREDITS = FilmCredits()

Sign = Callable[[Path, Path], None]
"""Writes a signed copy of the film at the first path to the second one; raises a LatentSyncError where it can't."""

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
        audio: the sound that goes beside the picture; its start plays with the first frame.
        metadata: texts by name, for the container: tags that ComfyUI's page and ffprobe read.
        plan: how frames reach the encoder, where that is not for `plan_video` to say.
        is_own_sound: whether `audio` is the clip's own sound.
        timecode_only: takes nothing but timecode and reel name from the clip's file; else all that the container holds
            (see `carry_over`).
        credits: what the container says of the file's making. May be set until the `with` block begins.

    Attributes:
        path: where the result will be.
        sign: signs the film before it appears, where that is wanted. Set it before `preflight`, which tries it out.
        notes: for the user: what had to be converted, what players may not take.

    Raises, while opening, writing or leaving:
        OutputError: the folder is missing, nothing can be written there, or there is no room.
        OptionError: the suffix is that of another codec's container.
        AudioError: `audio` can't be read.
        LatentSyncError: `sign` failed; when leaving, the film is there nevertheless, without a signature.
    """

    def __init__(
        self,
        path: str | Path,
        clip: Clip,
        *,
        options: WriterOptions = DEFAULTS,
        pts: np.ndarray,
        audio: SoundTrack | None = None,
        metadata: Mapping[str, str] | None = None,
        plan: VideoPlan | None = None,
        is_own_sound: bool = False,
        timecode_only: bool = False,
        credits: FilmCredits = NO_CREDITS,
    ) -> None:
        options = match_source(clip, options)
        self.path = output_path(path, options.codec)
        self._clip, self._layout = clip, Layout.of(clip)
        self._pts = check_pts(pts)
        self._plan = plan or plan_video(clip, options)
        self.notes: list[Note] = list(self._plan.notes)
        self._codec = options.codec
        self._audio_plan = None if audio is None else plan_audio(audio, options.codec)
        self._metadata = dict(metadata or {})
        self.credits, self.sign = credits, cast("Sign | None", None)
        if self._audio_plan is not None:
            self.notes += self._audio_plan.notes
        first = int(self._pts[0]) * clip.time_base
        if clip.first_frame > 0 or not 0 <= first < MAX_START_SECONDS:
            self._pts, first = self._pts - self._pts[0], Fraction(0)
        self._first = first
        if timecode_only:
            self._carried = plan_timecode(clip, options.codec)
        else:
            is_own = is_own_sound or (audio is not None and clip.is_of_file(audio.path) and len(audio.streams) == 1)
            self._carried = plan_carry_over(
                clip,
                self._plan.encoded_format,
                options.codec,
                options.keep_audio,
                is_own_sound=is_own,
                may_copy=clip.first_frame == 0 and self._duration() <= clip.duration,
            )
        self.notes += self._carried.notes
        self._subtitles: tuple[Path, tuple[Track, ...]] | None = None
        self._written = 0
        self._copied_picture: Path | None = None  # a file with the encoded picture, where no frame is written
        self._encoder = ""  # the encoder of that picture
        self._pipe: OutputContainer | None = None  # the container that frames go into
        self._audio_pipes: list[AudioPipe] = []  # the sounds beside them, but for those that are copied

    def preflight(self) -> None:
        """Writes one blank frame with the beginning of the sound, as the whole will be, and removes it again.

        For asking before long work begins. Raises what opening, writing or leaving the writer would.
        """
        check_target(self.path)
        copies = 1 if self.sign is None else 2
        needed = copies * min_frame_bytes(self._layout, self._codec) * len(self._pts)
        check_disk_space(self.path.parent, needed, self.path.name)
        try:
            with ScratchFolder(self.path.parent) as folder:
                trial = copy.copy(self)
                trial.path = folder / self.path.name  # the name is tried out too
                trial._pts = self._pts[:1]
                # What only reading all of the source would try out is left to the end, where it can't fail the rest.
                trial._carried = replace(self._carried, audio=(), subtitles=())
                trial.sign = None  # a failure here is one before the work, not after it
                with trial:
                    trial._write_blank()
                if self.sign is not None:
                    film = trial.path.replace(folder / f"part{self.path.suffix}")  # no name is in the signed one's way
                    self.sign(film, folder / f"signed{self.path.suffix}")
        except OSError as problem:
            raise OutputError(f"Can't write into {self.path.parent}: {problem.strerror or problem}.") from None

    def part(self, path: Path, start: int, stop: int) -> Self:
        """A writer of frames start..stop-1 alone: the same picture, without the sound and the rest of the file.

        `path` has the codec's suffix, in a folder of this process's own.
        """
        part = copy.copy(self)
        part.path, part.sign, part.notes = path, None, []
        part._pts = self._pts[start:stop]
        part._first = int(part._pts[0]) * self._clip.time_base
        part._audio_plan = None
        part._carried = replace(
            self._carried, audio=(), subtitles=(), attachments=(), has_chapters=False, texts=(), notes=()
        )
        part._metadata = {}
        return part

    def with_picture(self, ranges: Sequence[EncodedFrames], path: Path, on_progress: Progress | None = None) -> Self:
        """A writer of the same film that copies its frames' packets and takes no more frames.

        `ranges` are all of the frames, in order. They are joined in `path`, which has the codec's suffix and is in a
        folder of this process's own; it has to be there until the writer's `with` block ends. `on_progress` is given
        packets.

        Raises:
            VideoError, OutputError: see `splice`.
        """
        encoder = splice(ranges, path, self._pts, self._clip.time_base, self._clip.fps, self._timescale(), on_progress)
        encoded = copy.copy(self)
        encoded._copied_picture, encoded._encoder, encoded._written = path, encoder, len(self._pts)
        return encoded

    @property
    def copies_packets(self) -> bool:
        """Whether `with_picture` can be used: each frame is encoded by itself, and the container can be told all."""
        is_exact = self._codec is not Codec.FFV1 or stored_aspect(self._clip) == 1 or self._exact_aspect() is not None
        return self._codec.is_intra and is_exact

    @property
    def encoding_key(self) -> str:
        """Says how frames are encoded: writers of the same key encode a frame alike."""
        plan, carried = self._plan, self._carried
        return f"{self._layout} {plan.pixel_format} {plan.filters} {plan.args} {carried.filters} {carried.video_args}"

    def __enter__(self) -> Self:
        check_target(self.path)
        folder = self.path.parent
        try:
            self._scratch = ScratchFolder(folder)
        except OSError as problem:
            raise OutputError(f"Can't write into {folder}: {problem.strerror or problem}.") from None
        self._temporary = self._make_temporary()
        self._messages = tempfile.TemporaryFile()  # a pipe that nobody reads could block ffmpeg
        try:
            self._subtitles = self._copied_subtitles()
            self._process = subprocess.Popen(
                [
                    ffmpeg_executable(),
                    *(option for option in QUIET if option != "-nostdin"),
                    *self._ffmpeg_args(),
                    *self._output(),
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
            for sound in self._audio_pipes:
                sound.write_until(self._seconds_written())
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
            for sound in self._audio_pipes:
                sound.close()
            self._messages.close()
            self._scratch.close()

    def _finish(self) -> None:
        if self._written < len(self._pts):
            raise OutputError(
                f"Only {self._written} of {len(self._pts)} frames were written; {self.path.name} was not made."
            )
        with self._translating_errors():
            for sound in self._audio_pipes:
                sound.write_until(self._duration())
            self._close_pipe()
            self._stdin.close()
        if self._process.wait():
            raise self._failure()
        unsigned = self._signing_problem()
        try:
            self._put_in_place()
        except OSError as problem:
            raise OutputError(f"Can't put {self.path} in place: {problem.strerror or problem}.") from None
        for note in self.notes:
            log.info("%s: %s", self.path.name, note)
        if unsigned is not None:
            fact = f"{self.path} is written, whole, but it isn't signed: {unsigned.fact}"
            raise OutputError(fact, Remedy.SIGN_LATER, about=str(self.path)) from unsigned

    def _signing_problem(self) -> LatentSyncError | None:
        """Puts a signed copy in the film's place; returns why it couldn't, since hours of work must not go with it."""
        if self.sign is None:
            return None
        signed = self._temporary.with_name(f"signed{self.path.suffix}")
        try:
            check_disk_space(self.path.parent, self._temporary.stat().st_size, f"the signed copy of {self.path.name}")
            self.sign(self._temporary, signed)
        except LatentSyncError as problem:
            return problem
        self._temporary.unlink()
        self._temporary = signed
        return None

    def _make_temporary(self) -> Path:
        """Where the result is written until it is whole."""
        return self._scratch.path / f"part{self.path.suffix}"

    def _output(self) -> list[str]:
        """ffmpeg's arguments that name what it writes."""
        return [ffmpeg_output(self._temporary)]

    def _put_in_place(self) -> None:
        """Moves the whole result to its place. Raises OSError where it can't be moved."""
        os.replace(self._temporary, self.path)

    def _ffmpeg_args(self) -> list[str]:
        display_rotation = self._clip.rotation and 360 - self._clip.rotation  # ffmpeg's is counterclockwise
        shown = [
            *(["-display_rotation", str(display_rotation)] if display_rotation else []),
            *(["-display_hflip"] if self._clip.mirrored else []),  # after the rotation, as a Clip says
        ]
        args, inputs, piped = (
            ["-y", "-copyts", "-noautorotate"],
            0,
            0,
        )  # piped: audio streams that come through the pipe
        picture = self._copied_picture
        if picture is None or any(True for _ in self._piped_sounds()):
            args += [*(shown if picture is None else []), *PIPED_FRAMES_INPUT]
            inputs += 1
        if picture is not None:
            args += [*shown, *ffmpeg_input(picture, OutputError)]
            inputs += 1
        carried, sound = self._carried, self._audio_plan
        # The chapters' own texts go with them; all others are named here.
        outputs = ["-map_metadata:g", "-1", "-map_metadata:s", "-1", "-map", f"{inputs - 1}:v:0"]
        ends_early = carried.has_chapters  # whether packets are copied, which ffmpeg cuts at the whole file's end only
        if sound is not None:
            if sound.is_copy:
                args += ["-itsoffset", f"{float(sound.copy_offset(self._first)):.6f}"]
                args += ffmpeg_input(sound.track.path, AudioError)
                outputs += ["-map", f"{inputs}:{sound.track.streams[0]}"]
                inputs += 1
                ends_early = True
            else:
                outputs += ["-map", f"0:a:{piped}"]
                piped += 1
            outputs += sound.output_args(self._first, self._duration())
        if (carried.audio or carried.attachments or carried.has_chapters) and self._clip.container is not None:
            args += ["-itsoffset", f"{float(self._shift()):.6f}", *ffmpeg_input(self._clip.container, OutputError)]
            for output, kept in enumerate(carried.audio, 0 if sound is None else 1):
                if kept.plan.is_copy:
                    source = f"{inputs}:{kept.track.stream}"
                    ends_early = True
                else:
                    source = f"0:a:{piped}"
                    piped += 1
                outputs += kept_audio_args(kept, source, output, self._first, self._kept_seconds())
            for place, track in enumerate(carried.attachments):
                outputs += ["-map", f"{inputs}:{track.stream}", f"-c:t:{place}", "copy"]
                outputs += [f"-map_metadata:s:t:{place}", f"{inputs}:s:{track.stream}"]
            outputs += ["-map_chapters", str(inputs) if carried.has_chapters else "-1"]
            inputs += 1
        else:
            outputs += ["-map_chapters", "-1"]
        if self._subtitles is not None:
            path, tracks = self._subtitles
            args += ffmpeg_input(path, OutputError)
            outputs += subtitle_args(carried.subtitles, tracks, inputs, self._codec)
            inputs += 1
        texts = self._texts()
        if texts:  # in a file: a workflow is longer than a command line may be
            listed = self._scratch.path / "metadata.txt"
            listed.write_text(ffmetadata(texts), "utf-8", newline="\n")
            args += ffmpeg_own_metadata(listed)
            outputs += ["-map_metadata:g", f"{inputs}:g"]
        if ends_early:
            outputs += ["-t", f"{float(self._first + self._duration()):.6f}"]
        if picture is None:
            outputs += ["-fps_mode", "passthrough", "-enc_time_base:v", "demux"]
            outputs += ["-vf", ",".join((*carried.filters, *self._plan.filters)), *self._plan.args]
        else:
            rate = self._clip.fps
            outputs += ["-c:v", "copy", "-r", f"{rate.numerator}/{rate.denominator}"]
            outputs += ["-metadata:s:v:0", f"encoder={self._encoder}"]
            if self._codec is Codec.FFV1 and (aspect := self._exact_aspect()):
                outputs += ["-aspect", f"{aspect.numerator}:{aspect.denominator}"]
        return [*args, *outputs, *carried.video_args, *self._container_args()]

    def _texts(self) -> dict[str, str]:
        """What the container says, by name."""
        return {**dict(self._carried.texts), COMMENT: self.credits.text, **self._metadata}

    def _container_args(self) -> list[str]:
        args: list[str] = []
        if self._codec is Codec.FFV1:
            # Sound that begins early (AAC's lead-in) must not move the picture.
            args += ["-avoid_negative_ts", "disabled"]
            # Else Matroska's ids would be drawn at random. MP4 and MOV, the same every time, would lose their metadata.
            args += ["-fflags", "+bitexact"]
        else:
            ticks = self._timescale()
            args += ["-video_track_timescale", str(ticks), "-movie_timescale", str(ticks)]
            # Without that flag MP4 and MOV keep tags of a fixed list of names alone.
            args += ["-movflags", "+faststart" + ("+use_metadata_tags" if self._metadata else "")]
        return args

    def _exact_aspect(self) -> Fraction | None:
        """The stored picture's width by its height, displayed; None where ffmpeg's option would round it."""
        aspect = stored_aspect(self._clip) * self._layout.width / self._layout.height
        return aspect if max(aspect.as_integer_ratio()) <= MAX_ASPECT_TERM else None

    def _timescale(self) -> int:
        """Ticks a second of an MP4's or a MOV's stamps."""
        ticks = self._clip.time_base.denominator
        return ticks * ceil(MIN_MP4_TIMESCALE / ticks)

    def _shift(self) -> Fraction:
        """Seconds from the clip's own clock to the result's."""
        return self._first - self._clip.start

    def _kept_seconds(self) -> Fraction:
        """How long a track of the clip's own file plays: until the picture ends, or the clip."""
        return min(self._duration(), Fraction(self._clip.duration).limit_denominator(10**9))

    def _piped_sounds(self) -> Iterator[tuple[AudioPlan, Fraction]]:
        """The sounds that go through the pipe to ffmpeg, in order, and how long they last."""
        if self._audio_plan is not None and not self._audio_plan.is_copy:
            yield self._audio_plan, self._duration()
        yield from ((kept.plan, self._kept_seconds()) for kept in self._carried.audio if not kept.plan.is_copy)

    def _copied_subtitles(self) -> tuple[Path, tuple[Track, ...]] | None:
        """The clip's subtitles in a file of their own, and which they are; None where there are none to be written."""
        from av.error import FFmpegError

        if self._clip.container is None or not self._carried.subtitles:
            return None
        begin, seconds = self._clip.start, self._kept_seconds()
        source, tracks = self._clip.container, self._carried.subtitles
        try:
            path, found = copy_subtitles(source, tracks, self._scratch.path, begin, begin + seconds, self._shift())
        except (FFmpegError, VideoError, ValueError) as problem:
            self.notes.append(Note(f"The source's subtitles can't be copied ({problem}): left out.", NoteLevel.WARNING))
            return None
        return (path, found) if found else None

    def _duration(self) -> Fraction:
        """Seconds from the first frame's begin to the last one's end."""
        return int(self._pts[-1] - self._pts[0]) * self._clip.time_base + 1 / self._clip.fps

    def _seconds_written(self) -> Fraction:
        """Seconds from the first frame's begin to that of the next one to write."""
        return int(self._pts[self._written] - self._pts[0]) * self._clip.time_base

    def _open_pipe(self) -> None:
        sounds = list(self._piped_sounds())
        if self._copied_picture is not None and not sounds:
            return
        self._pipe = open_frame_pipe(self._stdin)
        if self._copied_picture is None:
            self._add_picture_stream(self._pipe)
        self._audio_pipes = [AudioPipe(self._pipe, plan, self._first, seconds) for plan, seconds in sounds]

    def _add_picture_stream(self, pipe: OutputContainer) -> None:
        rate = self._clip.fps
        self._stream = pipe.add_stream(
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
