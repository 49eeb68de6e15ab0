"""Plans how audio is muxed: as 24-bit PCM, or in an MP4 copied or as AAC; each plan is tried first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ...errors import AudioError, OutputError
from ...files.scratch import ScratchFolder
from ...media.downmix import stereo_downmix_filter
from ...media.ffmpeg import run_ffmpeg
from ...media.opening import ffmpeg_input, ffmpeg_output, ffmpeg_piped_samples
from ...media.sound_reader import SoundTrack
from ...messages import Note, NoteLevel
from .writer_options import Codec

AAC_BIT_RATE = "320k"
AAC_MAX_SAMPLE_RATE = 96000  # Hz
MP4_AUDIO_CODECS = {"aac", "mp3", "ac3"}  # those that players of an MP4 take
CODEC_ALIASES = {"mp3float": "mp3", "aac_fixed": "aac"}  # decoders of one codec
PCM = "pcm_s24le"  # what every editing program reads in MOV and Matroska, and can be cut to the sample
SEQUENCE_SOUND = ".wav"  # what lies beside a sequence of pictures
TRIAL_SECONDS = Fraction(1, 10)
# Seconds of sound before the picture that a copy may hide with an edit list; players differ on more.
MAX_HIDDEN_SECONDS = Fraction(1, 10)


@dataclass(frozen=True)
class AudioPlan:
    """How a sound reaches the output."""

    track: SoundTrack
    args: tuple[str, ...]  # ffmpeg's, for the output
    notes: tuple[Note, ...]
    rate: int | None = None  # Hz, of what is encoded; None: the packets are copied
    filters: tuple[str, ...] = ()

    @property
    def is_copy(self) -> bool:
        """Whether packets go from the file into the output; else samples are decoded here and encoded by ffmpeg."""
        return self.rate is None

    def samples(self, seconds: Fraction) -> int:
        """How many samples, per channel and at the track's own rate, go beside a picture of that length."""
        return max(1, round(seconds * self.track.rate))

    def first_tick(self, begin: Fraction) -> int:
        """The stamp, in samples of the track's own rate, of a sound that begins at `begin` on the output's clock."""
        return round(begin * self.track.rate)

    def copy_offset(self, begin: Fraction) -> Fraction:
        """Seconds to add to the file's stamps, so that the track's start plays at `begin` on the output's clock."""
        return begin - self.track.start

    def output_args(self, begin: Fraction, seconds: Fraction, output: int = 0) -> list[str]:
        """ffmpeg's arguments for a sound from `begin`, in seconds of the output's clock, that lasts `seconds`.

        A copy ends where the whole file does, by `-t`, or earlier where the sound is shorter. Its last packet remains
        whole, and the file's tables end it with the picture; FFmpeg before 9 decodes it to its end all the same.

        Args:
            output: which of the output's audio streams it is.
        """
        args = list(self.args)
        if self.rate is None:
            end = f"({begin + seconds})/TB"
            shortened = f"if(gt(PTS+DURATION,{end}),max(1,round({end}-PTS)),DURATION)"
            args += ["-bsf:a", f"setts=duration='{shortened}'"]
        else:
            # The pipe to ffmpeg tells the number of channels alone.
            named = [f"channelmap=channel_layout={self.track.layout}"] if self.track.layout else []
            filters = [*named, *self.filters]
            if self.rate != self.track.rate:
                samples = max(1, round(seconds * self.rate))
                filters += [f"aresample={self.rate}", f"apad=whole_len={samples}", f"atrim=end_sample={samples}"]
            args += ["-filter:a", ",".join(filters)] if filters else []
        return [f"{word}:{output}" if word.endswith(":a") else word for word in args]


def plan_audio(track: SoundTrack, codec: Codec, may_copy: bool = True) -> AudioPlan:
    """The first way, from copying to stereo, in which ffmpeg really writes the beginning of a sound.

    Raises:
        AudioError: the file can't be read, or there is no way to write its sound.
    """
    problem: OutputError | None = None
    for plan in _candidate_plans(track, codec):
        if plan.is_copy and not may_copy:
            continue
        try:
            _trial_encode(plan, codec)
        except OutputError as refusal:
            problem = refusal
        else:
            return plan
    raise AudioError(
        f"The sound of {track.path} can't be written beside {codec.label} ({problem}): convert it to WAV first."
    )


def _candidate_plans(track: SoundTrack, codec: Codec) -> Iterator[AudioPlan]:
    """What may work, the best first."""
    name = CODEC_ALIASES.get(track.codec, track.codec)
    rate = track.rate
    is_mp4 = codec.suffix == ".mp4"
    if is_mp4:
        if name in MP4_AUDIO_CODECS and _is_copyable(track):
            yield AudioPlan(track, ("-c:a", "copy"), ())
        rate = min(rate, AAC_MAX_SAMPLE_RATE)
        args = ("-c:a", "aac", "-b:a", AAC_BIT_RATE)
        description = f"AAC at {AAC_BIT_RATE[:-1]} kbit/s, which .mp4 players take"
    else:
        args, description = ("-c:a", PCM), "24-bit PCM"
    is_pcm_still = not is_mp4 and name.startswith("pcm_")
    notes = () if is_pcm_still else (Note(f"The audio was re-encoded from {name} to {description}."),)
    yield AudioPlan(track, args, notes, rate)
    if track.channels > 2:
        layout = track.layout or f"{track.channels} channels"
        mixed = f"Its {track.channels} channels ({layout}) were mixed down to stereo, since {codec.label} files "
        mixed += "can't hold that layout."
        downmix = (stereo_downmix_filter(track.channels, scaled=True),)
        yield AudioPlan(track, args, (*notes, Note(mixed, NoteLevel.WARNING)), rate, downmix)


def _is_copyable(track: SoundTrack) -> bool:
    """Whether the packets alone are the sound: of one stream and one kind, and not begun long before the start."""
    return track.is_uniform and len(track.streams) == 1 and track.start - track.first <= MAX_HIDDEN_SECONDS


def _trial_encode(plan: AudioPlan, codec: Codec) -> None:
    """Writes the first moment of a sound, or silence in its place, as `plan` says; OutputError where ffmpeg can't."""
    track, silence = plan.track, None
    if plan.is_copy:
        args = [*ffmpeg_input(track.path, AudioError), "-map", f"0:{track.streams[0]}"]
    else:
        args = [*ffmpeg_piped_samples(track.rate, track.channels), "-map", "0:0"]
        silence = np.zeros((plan.samples(TRIAL_SECONDS), track.channels), np.float32).tobytes()
    with ScratchFolder() as folder:
        target = folder / f"trial{SEQUENCE_SOUND if codec.is_sequence else codec.suffix}"
        args += ["-map_metadata", "-1", *plan.output_args(Fraction(0), TRIAL_SECONDS)]
        run_ffmpeg(["-y", *args, ffmpeg_output(target)], error=OutputError, what="ffmpeg", input=silence)
