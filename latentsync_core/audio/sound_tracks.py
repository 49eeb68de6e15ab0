"""Finds a file's sound tracks, and the moment of the file's clock at which its sound begins."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ..errors import AudioError, VideoError
from ..media.opening import open_container
from ..media.sound_reader import SoundTrack, sound_track
from ..media.streams import audio_note, decodable_audio_streams, video_stream
from ..messages import Note, NoteLevel, Remedy
from ..required_packages import importing
from ..video.clip import Clip
from ..video.reading.probing import probe
from .track_choice import TrackChoice

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
        tracks = [stream.index for stream in container.streams.audio]
        has_picture = video_stream(container) is not None
    found = sound_track(path, indices)
    if found is None:
        raise AudioError(f"{path} holds no samples: give a sound that lasts.")
    track = replace(found, start=_start(path, clip, has_picture, found.first))
    notes = [note, _other_tracks_note(path, tracks, track), _lead_note(track, clip)]
    return track, tuple(each for each in notes if each is not None)


def _start(path: Path, clip: Clip | None, has_picture: bool, first: Fraction) -> Fraction:
    if clip is not None and clip.is_of_file(path):
        return clip.start
    if not has_picture:
        return first
    try:
        return probe(path).start
    except VideoError:  # a picture that can't be worked on is no reason to refuse the sound
        return first


def _other_tracks_note(path: Path, tracks: list[int], track: SoundTrack) -> Note | None:
    """Names the audio tracks behind the first one taken that are left out."""
    taken = track.streams
    others = [str(number) for number, index in enumerate(tracks, 1) if index > taken[0] and index not in taken]
    if not others:
        return None
    named = f"track {others[0]} is" if len(others) == 1 else f"tracks {', '.join(others)} are"
    # A single channel per track is how broadcast masters keep one sound's channels.
    level = NoteLevel.WARNING if track.channels == 1 else NoteLevel.INFO
    return Note(
        f"Of the {len(tracks)} audio tracks of {path.name}, track {tracks.index(taken[0]) + 1} is used; {named} left "
        "out.",
        level,
        (Remedy.MIX_TRACKS,) if len(taken) == 1 else (),
    )


def _lead_note(track: SoundTrack, clip: Clip | None) -> Note | None:
    """Says how much sound before the picture is left out; nothing where the clip is trimmed anyway."""
    lead = track.start - track.first
    if lead < MIN_NOTED_LEAD_SECONDS or (clip is not None and clip.is_of_file(track.path) and clip.first_frame):
        return None
    return Note(
        f"The sound of {track.path.name} begins {float(lead):.2f} s before its picture; it is used from the picture's "
        "first frame on."
    )
