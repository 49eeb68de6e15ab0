"""A clip's own audio: exactly the part that belongs to its frames, without decoding one of them."""

from __future__ import annotations

import torch

from ..errors import AudioError
from ..media.opening import open_container
from ..media.sound_reader import SoundReader, SoundTrack
from ..media.streams import audio_stream
from ..messages import Note, Remedy
from ..video.clip import Clip, FileIdentity
from ..video.reading.probing import check_identity
from .sound_tracks import find_track
from .track_choice import TrackChoice

MAX_AUDIO_BYTES = 16 << 30  # of a sound in memory: 11 hours of stereo
# A stamp that lies makes a clip of days out of a few bytes, nearly all of it silence: a sound may take this many times
# the bytes of its whole file, and this many more. Speech at 16 kbit/s takes 200 times as many.
MAX_EXPANSION_RATIO, MIN_SIZE_LIMIT = 1000, 256 << 20


def clip_audio(clip: Clip, choice: TrackChoice = TrackChoice.FIRST) -> tuple[torch.Tensor, int]:
    """The sound of a file's clip: (C, T) float32, about [-1, 1], and its rate in Hz. All of it sits in memory.

    Sample 0 plays as frame 0 begins, and T is the clip's length: where the file's sound begins later, ends earlier
    or has a hole, there is silence. Channels and rate are the file's own. Exact to the sample where the container tells
    times that finely (mp4, mov), within half a millisecond in Matroska.

    Raises:
        AudioError: the clip is no file's, its file has no sound, that can't be decoded, or it is too long to be held.
        ClipChangedError: the file is not the one that was probed.
    """
    track, _ = _own_track(clip, choice)
    size = _samples(clip, track) * track.channels * 4
    path, file_size = _identity(clip).path, _identity(clip).size
    if size > min(MAX_AUDIO_BYTES, MAX_EXPANSION_RATIO * file_size + MIN_SIZE_LIMIT):
        raise AudioError(
            f"The sound of {path} would take {size / 1e9:.1f} GB of memory ({clip.duration:.0f} s of "
            f"{track.channels} channels): use a shorter part of the clip, or repair its times."
        )
    with SoundReader(track, _samples(clip, track)) as reader:
        waveform = torch.cat(list(reader), dim=1)
    joined = reader.joined_track()
    if joined is not track:
        with SoundReader(joined, _samples(clip, joined)) as reader:
            waveform = torch.cat(list(reader), dim=1)
    return waveform, joined.rate


def clip_audio_notes(clip: Clip, choice: TrackChoice = TrackChoice.FIRST) -> tuple[Note, ...]:
    """What of its file's sound `clip_audio` leaves out. Raises as `clip_audio`."""
    return _own_track(clip, choice)[1]


def clip_audio_track(clip: Clip) -> SoundTrack:
    """Where a clip's own sound lies in its file, for FrameWriter. Decodes it once, to know whether it can be copied.

    Raises:
        AudioError, ClipChangedError: as `clip_audio`.
    """
    track, _ = _own_track(clip, TrackChoice.FIRST)
    with SoundReader(track, _samples(clip, track)) as reader:
        for _ in reader:
            pass
    return reader.joined_track()


def _own_track(clip: Clip, choice: TrackChoice) -> tuple[SoundTrack, tuple[Note, ...]]:
    path = _identity(clip).path
    check_identity(clip)
    with open_container(path, AudioError) as container:
        if audio_stream(container) is None:
            coded = bool(container.streams.audio)
            reason = "has sound in codecs that have no decoder here" if coded else "has no sound in it"
            raise AudioError(f"{path} {reason}.", Remedy.GIVE_SOUND)
    return find_track(path, clip, choice)


def _identity(clip: Clip) -> FileIdentity:
    if clip.identity is None or clip.container is None:
        raise AudioError("A clip of images has no sound of its own.", Remedy.GIVE_SOUND)
    return clip.identity


def _samples(clip: Clip, track: SoundTrack) -> int:
    """A clip's length in samples of its sound."""
    return max(1, round(clip.exact_duration * track.rate))
