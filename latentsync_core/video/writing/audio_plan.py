"""Plans how audio is muxed: as 24-bit PCM, or in an MP4 copied or as AAC; each plan is tried first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ...errors import AudioError, OutputError
from ...files.scratch import ScratchFolder
from ...media.downmix import stereo_downmix_filter
from ...media.ffmpeg import run_ffmpeg
from ...media.opening import ffmpeg_input, ffmpeg_output, open_container
from ...media.streams import audio_stream
from ...messages import Note, NoteLevel
from .writer_options import Codec

AAC_BIT_RATE = "320k"
AAC_MAX_SAMPLE_RATE = 96000  # Hz
MP4_AUDIO_CODECS = {"aac", "mp3", "ac3"}  # those that players of an MP4 take
CODEC_ALIASES = {"mp3float": "mp3", "aac_fixed": "aac"}  # decoders of one codec
PCM = "pcm_s24le"  # what every editing program reads in MOV and Matroska, and can be cut to the sample
SEQUENCE_SOUND = ".wav"  # what lies beside a sequence of pictures
TRIAL_SECONDS = Fraction(1, 10)


@dataclass(frozen=True)
class AudioPlan:
    """How a file's sound reaches the output."""

    stream: int  # of the file
    args: tuple[str, ...]  # ffmpeg's, for the output
    notes: tuple[Note, ...]
    rate: int | None = None  # Hz, of what is encoded; None: the packets are copied
    filters: tuple[str, ...] = ()

    def timed_args(self, begin: Fraction, seconds: Fraction) -> list[str]:
        """ffmpeg's arguments for a sound from `begin`, in seconds of the output's clock, that lasts `seconds`.

        What is encoded is cut, or padded with silence, to the nearest sample, also where it begins late in its file. A
        copy ends with the packet in which the picture ends, or earlier where the sound is shorter.
        """
        if self.rate is None:
            return ["-t", f"{float(begin + seconds):.6f}", *self.args]
        samples = max(1, round(seconds * self.rate))
        timing = f"aresample={self.rate}:async=1:first_pts={round(begin * self.rate)}"
        filters = (timing, *self.filters, f"apad=whole_len={samples}", f"atrim=end_sample={samples}")
        return ["-af", ",".join(filters), *self.args]


@dataclass(frozen=True)
class _StreamInfo:
    stream: int
    codec: str
    rate: int  # Hz
    channels: int
    layout: str


def plan_audio(path: Path, codec: Codec) -> AudioPlan:
    """The first way, from copying to stereo, in which ffmpeg really writes the beginning of the sound of `path`.

    Raises:
        AudioError: the file can't be read, holds no sound, or there is no way to write it.
    """
    info = _stream_info(path)
    problem: OutputError | None = None
    for plan in _candidate_plans(info, codec):
        try:
            _trial_encode(path, plan, codec)
        except OutputError as refusal:
            problem = refusal
        else:
            return plan
    raise AudioError(f"The sound of {path} can't be written beside {codec.label} ({problem}): convert it to WAV first.")


def container_start_time(path: Path) -> Fraction:
    """What a file's clock shows at its beginning, in seconds; a sound in it that begins later plays later."""
    import av

    with open_container(path, AudioError) as container:
        return Fraction(container.start_time or 0, av.time_base)


def _stream_info(path: Path) -> _StreamInfo:
    with open_container(path, AudioError) as container:
        stream = audio_stream(container)
        if stream is None:
            raise AudioError(f"{path} has no sound in it that can be decoded: name an audio file.")
        context = stream.codec_context
        return _StreamInfo(
            stream.index, context.name, context.sample_rate, context.layout.nb_channels, context.layout.name
        )


def _candidate_plans(info: _StreamInfo, codec: Codec) -> Iterator[AudioPlan]:
    """What may work, the best first."""
    name = CODEC_ALIASES.get(info.codec, info.codec)
    rate = info.rate
    is_mp4 = codec.suffix == ".mp4"
    if is_mp4:
        if name in MP4_AUDIO_CODECS:
            yield AudioPlan(info.stream, ("-c:a", "copy"), ())
        rate = min(rate, AAC_MAX_SAMPLE_RATE)
        args = ("-c:a", "aac", "-b:a", AAC_BIT_RATE)
        description = f"AAC at {AAC_BIT_RATE[:-1]} kbit/s, which .mp4 players take"
    else:
        args, description = ("-c:a", PCM), "24-bit PCM"
    is_pcm_still = not is_mp4 and name.startswith("pcm_")
    notes = () if is_pcm_still else (Note(f"The audio was re-encoded from {name} to {description}."),)
    yield AudioPlan(info.stream, args, notes, rate)
    if info.channels > 2:
        mixed = f"Its {info.channels} channels ({info.layout}) were mixed down to stereo, since {codec.label} files "
        mixed += "can't hold that layout."
        downmix = (stereo_downmix_filter(info.channels, scaled=True),)
        yield AudioPlan(info.stream, args, (*notes, Note(mixed, NoteLevel.WARNING)), rate, downmix)


def _trial_encode(path: Path, plan: AudioPlan, codec: Codec) -> None:
    """Writes the first moment of the sound as `plan` says; OutputError where ffmpeg can't."""
    with ScratchFolder() as folder:
        target = folder / f"trial{SEQUENCE_SOUND if codec.is_sequence else codec.suffix}"
        args = [*ffmpeg_input(path, AudioError), "-map", f"0:{plan.stream}", "-map_metadata", "-1"]
        args += plan.timed_args(Fraction(0), TRIAL_SECONDS)
        run_ffmpeg(["-y", *args, ffmpeg_output(target)], error=OutputError, what="ffmpeg")
