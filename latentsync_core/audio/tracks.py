"""Finds a file's sound tracks, and the moment of the file's clock at which its sound begins."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AudioError, VideoError
from ..media.opening import open_container
from ..media.sound_reader import SoundTrack, decoded_frames
from ..media.streams import audio_note, decodable_audio_streams, time_base, video_stream
from ..messages import Note, NoteLevel, Remedy
from ..required_packages import importing
from ..video.clip import Clip
from ..video.reading.probing import probe
from .track_choice import TrackChoice

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

# Seconds of sound before the picture from which on a note says that they are left out: codecs and cuts at key frames
# leave less.
MIN_NOTED_LEAD_SECONDS = Fraction(1, 10)


def find_track(
    path: Path, clip: Clip | None = None, choice: TrackChoice = TrackChoice.FIRST
) -> tuple[SoundTrack, tuple[Note, ...]]:
    """The sound of a file, and what of it is left out.

    It begins where the file's picture does, with the first frame that is shown; in a file without a picture with its
    first sample.

    Args:
        clip: the clip that the sound goes with. Where it is of the same file, the sound begins with the clip's first
            frame, trimmed as the clip is.

    Raises:
        AudioError: the file can't be read, or holds no sound that can be decoded.
    """
    with importing("av"):
        import av  # noqa: F401  # a missing package is named before anything is read

    with open_container(path, AudioError) as container:
        streams, note = decodable_audio_streams(container), audio_note(container)
        if not streams and container.streams.audio:
            raise AudioError(f"The codec of {path}'s sound has no decoder here: convert it to WAV first.")
        if not streams:
            raise AudioError(f"{path} has no audio stream: choose a file with sound.")
        if choice is TrackChoice.FIRST:
            streams = streams[:1]
        indices = tuple(stream.index for stream in streams)
        codec = streams[0].codec_context.name
        tracks = [stream.index for stream in container.streams.audio]
        has_picture = video_stream(container) is not None
    begun = [found for index in indices if (found := _first_frame(path, index)) is not None]
    if not begun:
        raise AudioError(f"{path} holds no samples: give a sound that lasts.")
    first = min(seconds for seconds, _ in begun)
    frames = [frame for _, frame in begun]
    if min(frame.sample_rate for frame in frames) < 1:
        raise AudioError(f"The sound of {path} states no sample rate: export it again, as WAV.")
    layout = frames[0].layout
    track = SoundTrack(
        path=path,
        streams=indices,
        start=_start(path, clip, has_picture, first),
        first=first,
        rate=max(frame.sample_rate for frame in frames),
        channels=max(frame.layout.nb_channels for frame in frames),
        layout=None if "channels" in layout.name else layout.name,
        codec=codec,
        is_uniform=True,
    )
    notes = [note, _other_tracks_note(path, tracks, indices, frames[0]), _lead_note(track, clip)]
    return track, tuple(each for each in notes if each is not None)


def is_file_of(clip: Clip | None, path: Path) -> bool:
    """Whether `path` is the file that `clip` was read from."""
    if clip is None or clip.identity is None:
        return False
    try:
        return os.path.samefile(path, clip.identity.path)
    except OSError:
        return False


def clip_start(clip: Clip) -> Fraction:
    """When a clip's frame 0 is shown, in seconds on its file's clock."""
    return int(clip.pts[0]) * clip.time_base


def _first_frame(path: Path, index: int) -> tuple[Fraction, AudioFrame] | None:
    """When a stream's first sample plays, in seconds on the file's clock, and the frame that holds it."""
    with open_container(path, AudioError) as container:
        stream = container.streams[index]
        tick = time_base(stream)
        for frame in decoded_frames(container, stream, path):
            return (frame.pts or 0) * tick, frame
    return None


def _start(path: Path, clip: Clip | None, has_picture: bool, first: Fraction) -> Fraction:
    if clip is not None and is_file_of(clip, path):
        return clip_start(clip)
    if not has_picture:
        return first
    try:
        return clip_start(probe(path))
    except VideoError:  # a picture that can't be worked on is no reason to refuse the sound
        return first


def _other_tracks_note(path: Path, tracks: list[int], taken: tuple[int, ...], frame: AudioFrame) -> Note | None:
    """Names the audio tracks behind the first one taken that are left out."""
    others = [str(number) for number, index in enumerate(tracks, 1) if index > taken[0] and index not in taken]
    if not others:
        return None
    named = f"track {others[0]} is" if len(others) == 1 else f"tracks {', '.join(others)} are"
    # A single channel per track is how broadcast masters keep one sound's channels.
    level = NoteLevel.WARNING if frame.layout.nb_channels == 1 else NoteLevel.INFO
    return Note(
        f"Of the {len(tracks)} audio tracks of {path.name}, track {tracks.index(taken[0]) + 1} is used; {named} left "
        "out.",
        level,
        (Remedy.MIX_TRACKS,) if len(taken) == 1 else (),
    )


def _lead_note(track: SoundTrack, clip: Clip | None) -> Note | None:
    """Says how much sound before the picture is left out; nothing where the clip is trimmed anyway."""
    lead = track.start - track.first
    if lead < MIN_NOTED_LEAD_SECONDS or (is_file_of(clip, track.path) and clip is not None and clip.first_frame):
        return None
    return Note(
        f"The sound of {track.path.name} begins {float(lead):.2f} s before its picture; it is used from the picture's "
        "first frame on."
    )
