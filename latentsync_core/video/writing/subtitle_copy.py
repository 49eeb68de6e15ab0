"""Copies a clip's subtitles into a small file of their own, cut to the clip and on the result's clock."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from ...errors import VideoError
from ...media.opening import open_container, open_scratch_output
from ...media.streams import time_base
from ..reading.source_facts import Track


def copy_subtitles(
    path: Path, tracks: Sequence[Track], folder: Path, begin: Fraction, end: Fraction, shift: Fraction
) -> tuple[Path, tuple[Track, ...]]:
    """Writes `tracks` as they show between `begin` and `end`; returns the file, and the tracks that show then.

    What begins earlier or ends later is cut there. The file's streams are `tracks`, in their order.

    Args:
        begin, end: seconds on the clock of the file at `path`.
        shift: seconds that are added to every stamp.

    Raises:
        VideoError: the file can't be read.
        av.error.FFmpegError, ValueError: a track can't be copied.
    """
    target = folder / f"subtitles{'.mp4' if any(track.codec == 'mov_text' for track in tracks) else '.mkv'}"
    found = set()
    with open_container(path, VideoError) as source, open_scratch_output(target) as output:
        copies = {track.stream: output.add_stream_from_template(source.streams[track.stream]) for track in tracks}
        for packet in source.demux([source.streams[track.stream] for track in tracks]):
            if packet.pts is None or not packet.size:
                continue
            tick, index = time_base(packet.stream), packet.stream.index
            starts, length = packet.pts * tick, (packet.duration or 0) * tick
            ends = min(starts + length, end)
            if starts >= end or (ends <= begin if length else starts < begin):
                continue
            starts = max(starts, begin)
            packet.pts = packet.dts = round((starts + shift) / tick)
            if length:
                packet.duration = max(1, round((ends - starts) / tick))
            packet.stream = copies[index]
            output.mux(packet)
            found.add(index)
    return target, tuple(track for track in tracks if track.stream in found)
