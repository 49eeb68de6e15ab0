"""Plans how audio is muxed: copied where the container allows it, else encoded; each plan is tried first."""

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
COPYABLE_CODECS = {  # codecs that the players of a container take; Matroska takes what it can hold
    Codec.H264: {"aac", "mp3", "ac3"},
    Codec.PRORES: {f"pcm_{kind}{order}" for kind in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be")},
}
CODEC_ALIASES = {"mp3float": "mp3", "aac_fixed": "aac"}  # decoders of one codec
PCM = {  # encoder: what messages call it
    "pcm_s24le": "24-bit PCM",
    "pcm_s32le": "32-bit PCM",
    "pcm_f32le": "32-bit float PCM",
    "pcm_f64le": "64-bit float PCM",
}
TRIAL_SECONDS = "0.1"


@dataclass(frozen=True)
class AudioPlan:
    """How a file's sound reaches the output."""

    stream: int  # of the file
    args: tuple[str, ...]  # ffmpeg's, for the output
    filters: tuple[str, ...]
    notes: tuple[Note, ...]

    @property
    def is_copy(self) -> bool:
        return "copy" in self.args


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
    if codec is Codec.FFV1 or name in COPYABLE_CODECS[codec]:
        yield AudioPlan(info.stream, ("-c:a", "copy"), (), ())
    if codec is Codec.H264:
        resample_args = ("-ar", str(AAC_MAX_SAMPLE_RATE)) if info.rate > AAC_MAX_SAMPLE_RATE else ()
        args = ("-c:a", "aac", "-b:a", AAC_BIT_RATE, *resample_args)
        description = f"AAC at {AAC_BIT_RATE[:-1]} kbit/s, which .mp4 players take"
    else:
        # As fine as the source's samples; 24 bits hold all of what isn't PCM. Few programs read floats from a .mov.
        matching_pcm = f"{name[: len('pcm_s32')]}le"
        encoder = (
            matching_pcm
            if matching_pcm in PCM and (codec is Codec.FFV1 or matching_pcm == "pcm_s32le")
            else "pcm_s24le"
        )
        args, description = ("-c:a", encoder), PCM[encoder]
    note = Note(f"The audio was re-encoded from {name} to {description}.")
    yield AudioPlan(info.stream, args, (), (note,))
    if info.channels > 2:
        mixed = f"Its {info.channels} channels ({info.layout}) were mixed down to stereo, since {codec.label} files "
        mixed += "can't hold that layout."
        yield AudioPlan(
            info.stream,
            args,
            (stereo_downmix_filter(info.channels, scaled=True),),
            (note, Note(mixed, NoteLevel.WARNING)),
        )


def _trial_encode(path: Path, plan: AudioPlan, codec: Codec) -> None:
    """Writes the first moment of the sound as `plan` says; OutputError where ffmpeg can't."""
    filters = ["-af", ",".join(plan.filters)] if plan.filters else []
    with ScratchFolder() as folder:
        target = folder / f"trial{codec.suffix}"
        args = [*ffmpeg_input(path, AudioError), "-map", f"0:{plan.stream}", "-t", TRIAL_SECONDS, "-map_metadata", "-1"]
        run_ffmpeg(["-y", *args, *filters, *plan.args, ffmpeg_output(target)], error=OutputError, what="ffmpeg")
