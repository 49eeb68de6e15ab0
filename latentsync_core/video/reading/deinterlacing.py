"""Turns interlaced frames into progressive ones, one of each, so that frame numbers, faces and sound stay."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from ...messages import Note
from ..clip import Clip
from .source_facts import FieldOrder, source_facts

if TYPE_CHECKING:
    from av.filter import Graph
    from av.video.frame import VideoFrame

# One frame out for each one in; frames that aren't flagged as interlaced pass through as they are.
FILTER, FILTER_OPTIONS = "bwdif", "mode=send_frame:parity=auto:deint=interlaced"


def with_deinterlacing(clip: Clip, wanted: bool = True) -> Clip:
    """The clip, whose interlaced frames are read as progressive ones where that is wanted.

    A clip in memory, or of a file without interlaced frames, is returned unchanged, with a note.
    """
    if not wanted or clip.deinterlace:
        return clip
    if clip.container is None:
        note = Note("There was nothing to deinterlace: a clip of images doesn't say which frames are interlaced.")
        return dataclasses.replace(clip, notes=(*clip.notes, note))
    if source_facts(clip.container).field_order is FieldOrder.PROGRESSIVE:
        note = Note("There was nothing to deinterlace: the file says that its frames are progressive.")
        return dataclasses.replace(clip, notes=(*clip.notes, note))
    return dataclasses.replace(clip, deinterlace=True)


def deinterlaced(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """The frames, each made of its own fields and the neighbouring frames', with its own stamp.

    A frame depends on the one before and the one after it, so that all but the first are the same wherever decoding
    began. A frame of another size or format ends it: it comes as it is, and so do all that follow.
    """
    from av.error import BlockingIOError as NotYet
    from av.error import EOFError as AtEnd

    graph: Graph | None = None
    kind: tuple[int, int, str] | None = None
    stamps: deque[int | None] = deque()

    def finished() -> Iterator[VideoFrame]:
        while graph is not None:
            try:
                frame = cast("VideoFrame", graph.pull())
            except (NotYet, AtEnd):
                return
            frame.pts = stamps.popleft()
            yield frame

    for frame in frames:
        found = (frame.width, frame.height, frame.format.name)
        if graph is None:
            graph, kind = _graph(frame), found
        if found != kind:
            graph.push(None)
            yield from finished()
            yield frame
            yield from frames
            return
        stamps.append(frame.pts)
        graph.push(frame)
        yield from finished()
    if graph is not None:
        graph.push(None)
        yield from finished()


def _graph(frame: VideoFrame) -> Graph:
    """A filter graph for frames such as `frame`; raises FFmpegError where their format would have to be converted."""
    from av.filter import Graph

    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, name="in", time_base=frame.time_base
    )
    steps = [source, graph.add(FILTER, FILTER_OPTIONS), graph.add("format", frame.format.name), graph.add("buffersink")]
    for one, other in pairwise(steps):
        one.link_to(other)
    graph.configure()
    return graph
