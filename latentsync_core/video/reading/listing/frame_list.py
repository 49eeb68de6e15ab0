"""Lists a stream's frames as a decoder shows them: from its packets where they tell, else by decoding it once."""

from __future__ import annotations

import functools
import itertools
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from ....errors import VideoError
from ....media.opening import open_container
from ....media.streams import required_video_stream
from ....messages import Note, NoteLevel
from ....progress import Progress
from ...clip import FileIdentity
from ..advice import one_format_advice
from .decoding import check_format, frame_format, has_pts, shown_frames
from .field_pictures import FieldPairing, FieldPictures
from .stamps import MAX_PAUSE_SECONDS, NO_STAMP, mend_stamps

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

MAX_REORDERING = 16  # frames, of any codec
SAMPLE_FRAMES = 4  # decoded to see whether the packets tell the truth
FULL_RANGE = 2  # ffmpeg's number
RECORDING_FORMATS = {"mpegts", "mpeg"}  # whose clock restarts where recordings were joined; ffmpeg's names


@dataclass(frozen=True, eq=False)
class FrameList:
    """Every frame that a player shows."""

    pts: np.ndarray  # (N,) int64 ticks, rising strictly
    time_base: Fraction  # seconds per tick
    file_pts: np.ndarray | None  # (N,) int64, NO_STAMP where there is none; None: the file's stamps are `pts`
    notes: tuple[Note, ...]


def list_frames(
    identity: FileIdentity, rate: Fraction, time_base: Fraction, on_progress: Progress | None = None
) -> FrameList:
    """The frames of a file's video; a stream whose stamps or packets aren't those of its frames is decoded once.

    Args:
        rate: nominal frames a second, for frames without a time.
        time_base: seconds per tick of the stream.
        on_progress: called for each frame that is decoded, of about as many as there are packets.

    Raises:
        VideoError: a frame between two others is missing or can't be decoded.
        FFmpegError: the file can't be read.
    """
    with open_container(identity.path, VideoError) as container:
        with_pts = has_pts(container)
        stream = required_video_stream(container, identity.path)
        packets = _list_packets(container, stream)
        clock_may_restart = bool(RECORDING_FORMATS & set(container.format.name.split(",")))
    rising = _rising(packets.stamps)
    if packets.is_sound and not with_pts:
        if rising is not None:
            return FrameList(rising, time_base, None, ())
        mended = mend_stamps([None] * len(packets.stamps), time_base, rate)
        return FrameList(mended.pts, mended.time_base, None, mended.notes)
    is_told = packets.is_sound and rising is not None and not (clock_may_restart and _has_gap(rising, time_base))
    if is_told and rising is not None and rising[:SAMPLE_FRAMES].tolist() == _first_stamps(identity):
        return FrameList(rising, time_base, None, ())
    own = _decoded_stamps(identity, len(packets.stamps), on_progress)
    return _list_decoded(identity, own, packets if with_pts else None, rate, time_base, clock_may_restart)


@dataclass(frozen=True, eq=False)
class _PacketList:
    stamps: list[int | None]  # of every frame, in coding order; by decoding time where the format has no other
    is_sound: bool  # whether each field picture found its other one, and the stamps fit the coding order


def _list_packets(container: InputContainer, stream: VideoStream) -> _PacketList:
    """The frames that the packets hold, from the first complete picture on."""
    stamps: list[int | None] = []
    first_key: int | None = None
    with_pts, may_reorder = has_pts(container), stream.codec_context.has_b_frames
    codec = stream.codec_context.name
    is_vp8 = codec.startswith(("vp8", "libvpx")) and "vp9" not in codec
    fields = FieldPictures(bytes(stream.codec_context.extradata or b"")) if "h264" in codec else None
    pairing = FieldPairing()
    for packet in container.demux(stream):
        if packet.size == 0:  # the demuxer's last word
            continue
        if is_vp8 and not bytes(packet)[0] & 0x10:  # a reference picture that is never shown
            continue
        begun = _frames_begun(packet, fields, pairing)
        if first_key is None:
            if not packet.is_keyframe:
                continue  # nothing can be shown before the first complete picture
            first_key = packet.pts if packet.pts is not None else 0
        if not begun or getattr(packet, "is_discard", False):  # an edit list hides it: decoded, not shown
            continue
        # A picture that is shown before the first key frame leans on one that was cut away.
        may_lead = may_reorder and len(stamps) < MAX_REORDERING
        if not with_pts:  # frames are due in the order, and at the pace, in which they are decoded
            stamps.append(packet.dts or 0)
        elif packet.pts is None or packet.pts >= first_key or not may_lead:
            stamps.append(packet.pts)
    pairing.finish()
    return _PacketList(stamps, pairing.is_sound and _is_plausible_order(stamps, stream))


def _frames_begun(packet: Packet, fields: FieldPictures | None, pairing: FieldPairing) -> int:
    """How many frames begin in a packet: one, or none where it holds a frame's second field."""
    if fields is None or (fields.is_known and not fields.may_occur):
        return 1
    pictures = fields.of_packet(memoryview(packet))
    return sum([pairing.begins_frame(picture) for picture in pictures]) if pictures else 1


def _is_plausible_order(stamps: list[int | None], stream: VideoStream) -> bool:
    """Whether the stamps can be those of frames in this coding order, which a decoder may reorder within its limits."""
    if None in stamps:
        return False
    ranks = np.argsort(np.argsort(np.array(stamps, np.int64), kind="stable"), kind="stable")
    waits = np.arange(len(ranks)) - ranks  # frames that are coded before, but shown after it
    return bool((waits <= (MAX_REORDERING if stream.codec_context.has_b_frames else 0)).all())


def _rising(stamps: list[int | None]) -> np.ndarray | None:
    """(N,) int64 in the order of display; None where one is missing or two are equal."""
    if None in stamps:
        return None
    found = np.sort(np.array(stamps, np.int64))
    return found if (np.diff(found) > 0).all() else None


def _has_gap(rising: np.ndarray, time_base: Fraction) -> bool:
    return bool((np.diff(rising) * float(time_base) > MAX_PAUSE_SECONDS).any())


def _first_stamps(identity: FileIdentity) -> list[int | None]:
    """Stamps of the first frames that the decoder shows."""
    with open_container(identity.path, VideoError) as container:
        frames = shown_frames(container, required_video_stream(container, identity.path))
        return [frame.pts for frame in itertools.islice(frames, SAMPLE_FRAMES)]


def _list_decoded(
    identity: FileIdentity,
    own: np.ndarray,
    packets: _PacketList | None,
    rate: Fraction,
    time_base: Fraction,
    clock_may_restart: bool,
) -> FrameList:
    """The frames by their decoded stamps `own`; `packets` are those of a format with stamps."""
    notes: list[Note] = []
    is_rising = bool((own != NO_STAMP).all() and (np.diff(own) > 0).all())
    listed = None if packets is None or None in packets.stamps else np.array(packets.stamps, np.int64)
    if listed is not None and is_rising and len(own):
        before = int((listed < own[0]).sum())
        missing = np.setdiff1d(listed[listed >= own[0]], own)
        if len(missing) and packets is not None and packets.is_sound:
            frame = int(np.searchsorted(own, missing[0]))
            raise VideoError(
                f"Frame {frame} of {identity.path} is missing: the file is damaged. Copy or export it again."
            )
        if before:
            notes.append(
                Note(
                    f"The file begins between two key frames: {_counted(before)} can't be decoded without what "
                    f"was cut away.",
                    NoteLevel.WARNING,
                )
            )
    is_told = packets is not None or is_rising
    found = [None if stamp == NO_STAMP or not is_told else stamp for stamp in own.tolist()]
    stamps = mend_stamps(found, time_base, rate, clock_may_restart)
    is_own = packets is None or (stamps.time_base == time_base and np.array_equal(own, stamps.pts))
    return FrameList(stamps.pts, stamps.time_base, None if is_own else own, (*notes, *stamps.notes))


def _decoded_stamps(identity: FileIdentity, expected: int, on_progress: Progress | None) -> np.ndarray:
    """(N,) int64 stamps of all frames that the decoder shows, in its order; NO_STAMP where there is none.

    Takes as long as decoding the file, and is kept. `expected` frames are the total that progress counts to. Raises
    VideoError where a frame can't be decoded, or the size or the pixel format changes.
    """
    kept = _kept_stamps(identity)
    if not kept:
        kept.append(_decode_stamps(identity, max(expected, 1), on_progress))
    return kept[0]


@functools.lru_cache(maxsize=16)
def _kept_stamps(_identity: FileIdentity) -> list[np.ndarray]:
    """Where a file's stamps are kept once all of them are known: by the file alone, whoever watches the progress."""
    return []


def _decode_stamps(identity: FileIdentity, expected: int, on_progress: Progress | None) -> np.ndarray:
    from av.error import FFmpegError

    stamps = array("q")
    with open_container(identity.path, VideoError) as container:
        stream = required_video_stream(container, identity.path)
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"skip_loop_filter": "all"}  # samples don't matter here
        try:
            known, advice = None, None
            for frame in shown_frames(container, stream):
                found = frame_format(frame)
                if known is None or advice is None:
                    known, color_range = found, "pc" if frame.color_range == FULL_RANGE else "tv"
                    advice = functools.partial(one_format_advice, identity.path, container, known[2], color_range)
                check_format(found, known, len(stamps), str(identity.path), advice)
                stamps.append(NO_STAMP if frame.pts is None else frame.pts)
                if on_progress:
                    on_progress(min(len(stamps), expected), expected)
        except FFmpegError as problem:
            raise VideoError(
                f"Frame {len(stamps)} of {identity.path} can't be decoded ({problem.strerror or problem}): the "
                f"file is damaged. Copy or export it again."
            ) from None
    return np.array(stamps, np.int64)


def _counted(pictures: int) -> str:
    which = "picture is" if pictures == 1 else f"{pictures} pictures are"
    return f"its first {which} left out, which"
