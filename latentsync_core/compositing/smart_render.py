"""Smart rendering: frames that an earlier film holds are copied from it as encoded, and only the others are rendered.

Editing programs do the same under that name. It needs a clip that was sampled by lines, a work folder, and a codec that
encodes each frame by itself (`Codec.is_intra`): then each range of frames has a key, and where that is unchanged the
earlier film's packets are those that rendering and encoding would come to again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..errors import VideoError
from ..files.output_checks import check_disk_space
from ..files.scratch import ScratchFolder
from ..messages import Note
from ..progress import Progress, WorkMeter
from ..runs import runs_where
from ..sampling.segments.segment_store import SegmentStore
from ..sampling.synced_faces import SyncedFaces
from ..video.writing.sequence_writer import SequenceWriter
from ..video.writing.splicing import EncodedFrames
from ..video.writing.writer import FrameWriter
from .composite_options import CompositeOptions
from .earlier_films import FilmRange, find_ranges, record_film
from .rendering import as_matching_batch
from .write import Sink, write_rendered

RENDERING_VERSION = 2
"""Part of every key. Raise it whenever the same patches come to other samples in compositing."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class CompositedFilm:
    """What became of a film's frames."""

    occluded: np.ndarray  # (F,) bool: whether an object in front of a mouth was left unchanged
    ranges: tuple[FilmRange, ...] = ()  # what `record` keeps
    notes: tuple[Note, ...] = ()

    def record(self, film: Path, folder: Path | None) -> None:
        """Notes in the work folder what the finished `film` holds, for its next take."""
        if self.ranges and folder is not None:
            record_film(folder, film, self.ranges)


def composite_film(
    synced: SyncedFaces | Sequence[SyncedFaces],
    writer: FrameWriter | SequenceWriter,
    options: CompositeOptions | None,
    folder: Path | None,
    opened: ExitStack,
    on_progress: Progress | None = None,
    foreground: torch.Tensor | None = None,
    sinks: Sequence[Sink] = (),
    meter: WorkMeter | None = None,
) -> CompositedFilm:
    """Renders the new faces into `writer`'s film, which is complete once `opened` is closed without an exception.

    Args:
        folder: the work folder, whose records tell what earlier films hold; None: everything is rendered.
        opened: takes the writer.
        on_progress: is given output frames.
        foreground: see `render`. With one, everything is rendered.
        sinks: what else takes each frame. With any, everything is rendered.
        meter: see `write_rendered`; frames that are copied aren't counted.

    Raises what `write_rendered` and the writer raise.
    """
    batch = as_matching_batch(synced)
    options = (options or CompositeOptions()).resolve_region(one.region for one in batch)
    ranges = _ranges(batch, writer, options) if folder is not None and foreground is None and not sinks else ()
    found = find_ranges(folder, {one.key for one in ranges}) if folder is not None and ranges else {}
    if found and isinstance(writer, FrameWriter):
        try:
            return _composite_changed(batch, writer, options, ranges, found, opened, on_progress, meter)
        except VideoError as problem:  # of an earlier film; the clip's own would be met again
            log.warning("everything is rendered: %s", problem)
    opened.enter_context(writer)
    all_sinks = [lambda _, rendered: writer.write(rendered.frame), *sinks]
    occluded = write_rendered(batch, all_sinks, options, foreground, on_progress, meter=meter)
    return CompositedFilm(occluded, _with_occlusions(ranges, occluded))


def _composite_changed(
    synced: tuple[SyncedFaces, ...],
    writer: FrameWriter,
    options: CompositeOptions,
    ranges: Sequence[FilmRange],
    found: dict[str, tuple[Path, FilmRange]],
    opened: ExitStack,
    on_progress: Progress | None,
    meter: WorkMeter | None,
) -> CompositedFilm:
    """`composite_film` where earlier films hold some of the ranges."""
    frames, suffix = len(synced[0].pts), writer.path.suffix
    largest = max(film.stat().st_size for film, _ in found.values())
    check_disk_space(writer.path.parent, 2 * largest, writer.path.name)
    scratch = opened.enter_context(ScratchFolder(writer.path.parent))
    is_kept = np.repeat([one.key in found for one in ranges], [one.stop - one.start for one in ranges])
    occluded, pieces, done = np.zeros(frames, bool), list[EncodedFrames](), 0
    for one in ranges:
        if one.key in found:
            film, earlier = found[one.key]
            occluded[list(earlier.occluded)] = True
            pieces.append(EncodedFrames(film, one.start, one.stop))
    for start, stop in runs_where(~is_kept):
        part = scratch / f"frames-{start}{suffix}"
        with writer.part(part, start, stop) as encoder:
            sinks = [lambda _, rendered, encoder=encoder: encoder.write(rendered.frame)]
            report, changed = on_progress and partial(_report, on_progress, done, frames), range(start, stop)
            occluded |= write_rendered(synced, sinks, options, on_progress=report, frames=changed, meter=meter)
        pieces.append(EncodedFrames(part, start, stop))
        done += stop - start
    copied = frames - done
    # Packets are copied fast, but a film has many: they count as the frames that weren't rendered.
    report = on_progress and (lambda packets, _all: on_progress(done + packets * copied // frames, frames))
    opened.enter_context(writer.with_picture(_joined(pieces), scratch / f"picture{suffix}", report))
    note = Note(f"{copied} of {frames} frames were copied from an earlier result, as they were encoded.")
    return CompositedFilm(occluded, _with_occlusions(ranges, occluded), (note,))


def _joined(pieces: Sequence[EncodedFrames]) -> list[EncodedFrames]:
    """Pieces in order; those of one film that follow each other are one, so that it is opened once for them."""
    joined: list[EncodedFrames] = []
    for piece in sorted(pieces, key=lambda piece: piece.start):
        if joined and joined[-1].film == piece.film:
            joined[-1] = replace(joined[-1], stop=piece.stop)
        else:
            joined.append(piece)
    return joined


def _report(on_progress: Progress, before: int, frames: int, done: int, _of: int) -> None:
    on_progress(before + done, frames)


def _ranges(
    synced: tuple[SyncedFaces, ...], writer: FrameWriter | SequenceWriter, options: CompositeOptions
) -> tuple[FilmRange, ...]:
    """The ranges that other takes may change by themselves; none without lines, or where frames can't be copied."""
    stores = [one.patches for one in synced if isinstance(one.patches, SegmentStore)]
    first = synced[0].segments
    if first is None or len(stores) < len(synced) or not writer.copies_packets:
        return ()
    if any(one.segments is None or one.segments.starts != first.starts for one in synced):
        return ()
    ranges = []
    for number, one in enumerate(first.segments):
        digest = hashlib.sha256(f"{RENDERING_VERSION} {one.start} {one.stop} {options} {writer.encoding_key}".encode())
        for faces, store in zip(synced, stores, strict=True):
            digest.update(store.keys[number].encode())
            for values in (faces.blend, faces.transforms):
                digest.update(np.ascontiguousarray(values[one.start : one.stop]).tobytes())
        ranges.append(FilmRange(one.start, one.stop, digest.hexdigest()[:32]))
    return tuple(ranges)


def _with_occlusions(ranges: Sequence[FilmRange], occluded: np.ndarray) -> tuple[FilmRange, ...]:
    frames = np.flatnonzero(occluded)
    return tuple(
        replace(one, occluded=tuple(frames[(frames >= one.start) & (frames < one.stop)].tolist())) for one in ranges
    )
