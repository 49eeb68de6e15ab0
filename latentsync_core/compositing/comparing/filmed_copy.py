"""The filmed picture as a video that every browser plays, frame by frame as the result shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...audio.clip_audio import clip_audio_track
from ...errors import AudioError, OutputError, VideoError
from ...files.scratch import ScratchFolder
from ...media.opening import open_container
from ...media.sound_reader import SoundTrack
from ...media.streams import audio_stream
from ...progress import Progress, span
from ...video.clip import Clip, Crop
from ...video.reading.frame_sequence import FrameSequence
from ...video.writing.encoding import plan_video
from ...video.writing.proxy import is_browser_playable, write_proxy
from ...video.writing.writer import FrameWriter
from ...video.writing.writer_options import WriterOptions

OPTIONS = WriterOptions(crf=16, preset="veryfast")
KEYFRAMES = ("-g", "25")  # so that a player finds any frame soon
COPY_SHARE = 0.7  # of the work, where the frames have to be encoded a second time


def shows_as_filmed(clip: Clip, output_clip: Clip, source_index: np.ndarray) -> bool:
    """Whether the clip's own file, played by a browser, shows the result's frames at the result's times.

    That is so for a whole H.264 file that runs from its first frame to its last one, at its own times.

    Raises:
        VideoError: the file can't be read.
    """
    return (
        clip.container is not None
        and output_clip is clip
        and clip.first_frame == 0
        and clip.file_pts is None
        and int(clip.pts[0]) == 0
        and (clip.rotation, clip.mirrored, clip.crop, clip.deinterlace) == (0, False, Crop(), False)
        and np.array_equal(source_index, np.arange(clip.frame_count))
        and is_browser_playable(clip.container)
    )


@torch.inference_mode()
def write_filmed_copy(
    clip: Clip,
    output_clip: Clip,
    source_index: np.ndarray,
    pts: np.ndarray,
    path: Path,
    max_height: int | None = None,
    on_progress: Progress | None = None,
) -> None:
    """Writes the frames of `clip` in the order and at the times of a result, and the clip's own sound beside them.

    It appears, whole, when it is done. There is no sound where the clip has none, and where the result's times are
    stretched.

    Args:
        output_clip: the clip with the result's time base and rate.
        source_index: (F,) the clip's frame that each frame shows.
        pts: (F,) ticks of `output_clip.time_base`.
        max_height: the picture is made no higher; None keeps the clip's own height.

    Raises:
        ClipChangedError: the clip's file is another one now.
        VideoError: a frame can't be decoded.
        OutputError: the copy can't be written.
    """
    try:
        with ScratchFolder(path.parent) as folder:
            whole = folder / "filmed.mp4"
            plan = plan_video(output_clip, OPTIONS)
            writer = FrameWriter(
                whole,
                output_clip,
                options=OPTIONS,
                pts=pts,
                audio=None if output_clip is not clip else _own_sound(clip),
                plan=replace(plan, args=(*plan.args, *KEYFRAMES)),
                is_own_sound=True,
                timecode_only=True,
            )
            copied = None if on_progress is None else span(on_progress, 0, COPY_SHARE)
            _copy_frames(clip, source_index.tolist(), writer, copied)
            if max_height is None and is_browser_playable(whole):
                whole.replace(path)
            else:
                reduced = None if on_progress is None else span(on_progress, COPY_SHARE, 1)
                write_proxy(whole, path, max_height or clip.height, reduced)
    except OSError as problem:
        raise OutputError(f"Can't write {path}: {problem.strerror or problem}.") from None
    if on_progress is not None:
        on_progress(1, 1)


def has_sound(path: Path) -> bool:
    """Whether a video has sound in it.

    Raises:
        VideoError: it can't be read.
    """
    with open_container(path, VideoError) as container:
        return audio_stream(container) is not None


def _own_sound(clip: Clip) -> SoundTrack | None:
    try:
        return None if clip.container is None else clip_audio_track(clip)
    except AudioError:  # none, or none that can be decoded: the picture is what counts
        return None


def _copy_frames(clip: Clip, source_index: Sequence[int], writer: FrameWriter, on_progress: Progress | None) -> None:
    with writer, FrameSequence(clip) as sequence:
        for done, frame in enumerate(sequence.frames(source_index), start=1):
            writer.write(frame)
            if on_progress:
                on_progress(done, len(source_index))
