"""Plans what of the source goes into the result beside frames and sound, and names what its container can't hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ...errors import AudioError
from ...media.sound_reader import sound_track
from ...messages import Note, NoteLevel, Remedy
from ..clip import Clip
from ..pixel_format import PixelFormat
from ..reading.source_facts import FieldOrder, MasteringDisplay, SourceFacts, Track, source_facts
from ..timecode import timecode_after
from .audio_plan import AudioPlan, plan_audio
from .encoders import X265_QUIET
from .writer_options import Codec, KeepAudio

TEXT_SUBTITLES = {"subrip", "srt", "ass", "ssa", "webvtt", "text", "mov_text"}
MATROSKA_SUBTITLES = TEXT_SUBTITLES | {
    "pgssub",
    "hdmv_pgs_subtitle",
    "dvdsub",
    "dvd_subtitle",
    "dvbsub",
    "dvb_subtitle",
}
CHROMATICITY_STEPS, LUMINANCE_STEPS = 50_000, 10_000  # per unit, in H.264's own message
INTERLACED_CODECS = {Codec.H264, Codec.PRORES, Codec.FFV1}
# ffmpeg's options for an encoder's own parameters, and what the encoders call HDR10's.
PARAMS_OPTIONS = {Codec.H264: "-x264-params", Codec.HEVC: "-x265-params"}
MASTERING_DISPLAY_PARAMS = {Codec.H264: "mastering-display", Codec.HEVC: "master-display"}
LIGHT_LEVEL_PARAMS = {Codec.H264: "cll", Codec.HEVC: "max-cll"}
INTERLACED_FLAGS = ("-flags", "+ildct+ilme")
MAX_NAMED = 8  # tracks that a note names


@dataclass(frozen=True)
class KeptTrack:
    """One of the source's audio tracks that goes into the result."""

    track: Track
    plan: AudioPlan


@dataclass(frozen=True)
class CarryOver:
    """What of the source's file goes into the result."""

    filters: tuple[str, ...] = ()  # for ffmpeg's frames, ahead of all others
    video_args: tuple[str, ...] = ()  # ffmpeg's, for the picture's stream
    texts: tuple[tuple[str, str], ...] = ()  # names and texts, for the container
    audio: tuple[KeptTrack, ...] = ()
    subtitles: tuple[Track, ...] = ()
    attachments: tuple[Track, ...] = ()
    has_chapters: bool = False
    notes: tuple[Note, ...] = ()


def plan_carry_over(
    clip: Clip, pixel_format: str, codec: Codec, keep_audio: KeepAudio, *, is_own_sound: bool, may_copy: bool
) -> CarryOver:
    """What a file with the clip's frames takes from the clip's own file. Reads that file.

    Args:
        pixel_format: that the encoder writes.
        is_own_sound: whether the file's sound is the clip's own first track, which is then not kept a second time.
        may_copy: whether the result covers the whole clip file, so that packets of its sound can be copied.
    """
    if clip.container is None:
        return CarryOver()
    facts, notes = source_facts(clip.container), list[Note]()
    if clip.stretch != 1:
        facts, notes = _in_time(facts, _wanted_audio(facts, keep_audio, is_own_sound))
    if codec.is_sequence:
        return _nothing_but_notes(facts, _wanted_audio(facts, keep_audio, is_own_sound))
    timecode = plan_timecode(clip, codec, facts)
    fields = _fields(clip, facts.field_order, pixel_format, codec)
    hdr_params, hdr_notes = _hdr10(facts, codec)
    audio, audio_notes = _audio(clip, facts, codec, keep_audio, is_own_sound, may_copy)
    held, lost = _other_tracks(facts, codec)
    notes += [*timecode.notes, *fields.notes, *hdr_notes, *audio_notes, *lost]
    if facts.lost_in_frames:
        notes.append(Note(f"No encoder here writes {_listed(facts.lost_in_frames)}: left out.", NoteLevel.WARNING))
    params = ":".join(
        [*(["tff=1" if facts.field_order is FieldOrder.TOP else "bff=1"] if fields.filters else []), *hdr_params]
    )
    if params and codec is Codec.HEVC:
        params = f"{X265_QUIET}:{params}"  # ffmpeg takes the option once
    encoder_args = (PARAMS_OPTIONS[codec], params) if codec in PARAMS_OPTIONS and params else ()
    return CarryOver(
        filters=fields.filters,
        video_args=(*timecode.video_args, *fields.video_args, *encoder_args),
        texts=(("title", facts.title),) if facts.title else (),
        audio=audio,
        subtitles=tuple(track for track in held if track.kind == "subtitle"),
        attachments=tuple(track for track in held if track.kind == "attachment"),
        has_chapters=facts.chapters > 0,
        notes=tuple(notes),
    )


def _in_time(facts: SourceFacts, wanted_audio: Sequence[Track]) -> tuple[SourceFacts, list[Note]]:
    """The facts without what doesn't follow a picture whose times are scaled, and a note on that."""
    kept = tuple(track for track in facts.tracks if track.kind == "attachment")
    lost = [track for track in facts.tracks if track in wanted_audio or track.kind not in ("attachment", "audio")]
    named = [*lost, *(["chapters"] if facts.chapters else [])]
    notes = [Note(f"The picture's times are scaled, and the source's {_listed(named)} left out.", NoteLevel.WARNING)]
    return replace(facts, tracks=kept, chapters=0), notes if named else []


def plan_timecode(clip: Clip, codec: Codec, facts: SourceFacts | None = None) -> CarryOver:
    """The source's timecode, counted on to the clip's first frame, and its reel name."""
    if clip.container is None:
        return CarryOver()
    facts = facts or source_facts(clip.container)
    args: list[str] = []
    notes: list[Note] = []
    if facts.timecode:
        first = timecode_after(facts.timecode, clip.first_frame, clip.fps)
        if first is None:
            rate = f"{float(clip.fps):.5g} frames a second"
            notes.append(Note(f"The source's timecode {facts.timecode} is none of {rate}: the result has no timecode."))
        else:
            args += ["-metadata:s:v:0", f"timecode={first}"]
    if facts.reel_name and codec.suffix == ".mp4":
        notes.append(Note(f"MP4 files hold no reel name: the source's ({facts.reel_name}) was left out."))
    elif facts.reel_name and codec.suffix == ".mov" and not args:
        notes.append(Note(f"MOV files hold a reel name beside a timecode only: {facts.reel_name} was left out."))
    elif facts.reel_name:
        args += ["-metadata:s:v:0", f"reel_name={facts.reel_name}"]
    return CarryOver(video_args=tuple(args), notes=tuple(notes))


def _nothing_but_notes(facts: SourceFacts, wanted_audio: Sequence[Track]) -> CarryOver:
    """What a sequence of pictures leaves out, which holds nothing but samples, and one sound beside them."""
    lost = [
        *([f"timecode {facts.timecode}"] if facts.timecode else []),
        *([f"reel name {facts.reel_name}"] if facts.reel_name else []),
        *(["HDR10 metadata"] if facts.mastering_display or facts.light_level else []),
        *(["chapters"] if facts.chapters else []),
        *(track for track in facts.tracks if track.kind != "audio" or track in wanted_audio),
    ]
    notes = [Note(f"A sequence of pictures doesn't hold the source's {_listed(lost)}.")] if lost else []
    if facts.field_order is not FieldOrder.PROGRESSIVE:
        fact = f"The clip is interlaced ({facts.field_order.value} field first), and so are the pictures, unmarked."
        notes.append(Note(fact, NoteLevel.WARNING, (Remedy.DEINTERLACE,)))
    return CarryOver(notes=tuple(notes))


def _fields(clip: Clip, order: FieldOrder, pixel_format: str, codec: Codec) -> CarryOver:
    """Marks frames as interlaced where the source's are and the codec can."""
    if order is FieldOrder.PROGRESSIVE or clip.deinterlace:
        return CarryOver()
    if codec not in INTERLACED_CODECS:
        fact = f"The clip is interlaced ({order.value} field first), which {codec.label} files aren't marked as here."
        return CarryOver(notes=(Note(fact, NoteLevel.WARNING, (Remedy.DEINTERLACE,)),))
    stored_height = clip.height if clip.rotation % 180 == 0 else clip.width
    rows = 4 if PixelFormat.of(pixel_format).chroma_shift_y else 2  # x264 codes pairs of rows in each field
    if codec is Codec.H264 and stored_height % rows:
        fact = (
            f"The clip is interlaced ({order.value} field first), but H.264 can't mark a height of {stored_height} so."
        )
        return CarryOver(notes=(Note(fact, NoteLevel.WARNING, (Remedy.DEINTERLACE,)),))
    fact = f"The clip is interlaced ({order.value} field first), and so is the result."
    letter = "tff" if order is FieldOrder.TOP else "bff"
    return CarryOver(
        filters=(f"setparams=field_mode={letter}",),
        video_args=INTERLACED_FLAGS,
        notes=(Note(fact, remedies=(Remedy.DEINTERLACE,)),),
    )


def _hdr10(facts: SourceFacts, codec: Codec) -> tuple[list[str], list[Note]]:
    """x264's or x265's parameters for HDR10 metadata; notes where it can't be written."""
    display, light = facts.mastering_display, facts.light_level
    found = [f"MaxCLL {light[0]}, MaxFALL {light[1]} cd/m²"] if light else []
    if display and display.luminance:
        found.insert(
            0, f"a mastering display of {float(display.luminance[0]):g} to {float(display.luminance[1]):g} cd/m²"
        )
    elif display:
        found.insert(0, "a mastering display")
    if not found:
        return [], []
    if codec not in PARAMS_OPTIONS:
        return [], [
            Note(
                f"{codec.label} files are written without HDR10 metadata: {_listed(found)} left out, colour tags kept."
            )
        ]
    params = []
    if display and display.primaries and display.luminance:
        params.append(f"{MASTERING_DISPLAY_PARAMS[codec]}={_encoder_display(display)}")
    elif display:
        return [], [Note("The source's HDR10 metadata is incomplete, and was left out.")]
    return [*params, *([f"{LIGHT_LEVEL_PARAMS[codec]}={light[0]},{light[1]}"] if light else [])], []


def _encoder_display(display: MasteringDisplay) -> str:
    """The display as x264 and x265 take it: green, blue, red, white, then the greatest and the least luminance."""
    red, green, blue, white = (
        tuple(round(value * CHROMATICITY_STEPS) for value in point) for point in display.primaries or ()
    )
    least, most = (round(value * LUMINANCE_STEPS) for value in display.luminance or ())
    points = (("G", green), ("B", blue), ("R", red), ("WP", white), ("L", (most, least)))
    return "".join(f"{name}({one},{other})" for name, (one, other) in points)


def _audio(
    clip: Clip, facts: SourceFacts, codec: Codec, keep_audio: KeepAudio, is_own_sound: bool, may_copy: bool
) -> tuple[tuple[KeptTrack, ...], list[Note]]:
    """The source's audio tracks that are kept beside the result's sound, and a note on the others."""
    tracks = [track for track in facts.tracks if track.kind == "audio"]
    others = _other_audio(facts, is_own_sound)
    wanted = _wanted_audio(facts, keep_audio, is_own_sound)
    kept, notes = [], []
    for track in wanted:
        plan = _kept_plan(clip, track, codec, may_copy)
        if plan is not None:
            kept.append(KeptTrack(track, plan))
            notes += [Note(f"Kept {track}: {note.fact}", note.level) for note in plan.notes]
    lost = [track for track in others if track not in [one.track for one in kept]]
    failed = [track for track in lost if track in wanted]
    if failed:
        notes.append(Note(f"{codec.label} files can't hold {_listed(failed)}: left out.", NoteLevel.WARNING))
    unwanted = [track for track in lost if track not in wanted]
    # A clip's only track is replaced by the new voice, as a dubber expects.
    if len(tracks) > 1 and unwanted:
        notes.append(Note(f"Not in the result: the source's {_listed(unwanted)}.", remedies=(Remedy.KEEP_AUDIO,)))
    return tuple(kept), notes


def _first_audio(facts: SourceFacts) -> Track | None:
    """The track that is the source's own sound."""
    return next((track for track in facts.tracks if track.kind == "audio" and track.is_decodable), None)


def _other_audio(facts: SourceFacts, is_own_sound: bool) -> list[Track]:
    """The source's audio tracks, without the one that is the result's sound already."""
    own = _first_audio(facts) if is_own_sound else None
    return [track for track in facts.tracks if track.kind == "audio" and track is not own]


def _wanted_audio(facts: SourceFacts, keep_audio: KeepAudio, is_own_sound: bool) -> list[Track]:
    """The source's audio tracks that are to be kept beside the result's sound."""
    others = _other_audio(facts, is_own_sound)
    if keep_audio is KeepAudio.FIRST:
        return [track for track in others if track is _first_audio(facts)]
    return others if keep_audio is KeepAudio.ALL else []


def _kept_plan(clip: Clip, track: Track, codec: Codec, may_copy: bool) -> AudioPlan | None:
    """How one of the source's audio tracks reaches the result; None where it can't."""
    if clip.container is None or not track.is_decodable:
        return None
    try:
        sound = sound_track(clip.container, (track.stream,))
        return plan_audio(replace(sound, start=clip.start), codec, may_copy) if sound else None
    except AudioError:
        return None


def _other_tracks(facts: SourceFacts, codec: Codec) -> tuple[list[Track], list[Note]]:
    """The subtitles and attachments that the container holds, and a note on what it doesn't."""
    held, lost = [], []
    for track in facts.tracks:
        if track.kind == "audio":
            continue
        can = track.kind == "subtitle" and track.codec in (
            MATROSKA_SUBTITLES if codec.suffix == ".mkv" else TEXT_SUBTITLES
        )
        can |= track.kind == "attachment" and codec.suffix == ".mkv"
        (held if can else lost).append(track)
    container = codec.suffix[1:].upper()
    return held, [Note(f"The result's {container} file doesn't hold the source's {_listed(lost)}.")] if lost else []


def _listed(things: Sequence[object]) -> str:
    """Things in a row; long rows are cut short."""
    named = [str(thing) for thing in things[:MAX_NAMED]]
    more = len(things) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def kept_audio_args(kept: KeptTrack, source: str, output: int, begin: Fraction, seconds: Fraction) -> Iterator[str]:
    """ffmpeg's arguments for a kept track: its input stream `source`, which becomes the audio stream `output`."""
    yield from ("-map", source, *kept.plan.output_args(begin, seconds, output))
    yield from (f"-disposition:a:{output}", "0" if output else "default")
    for name, text in (("language", kept.track.language), ("title", kept.track.title)):
        if text:
            yield from (f"-metadata:s:a:{output}", f"{name}={text}")


def subtitle_args(tracks: Sequence[Track], shown: Sequence[Track], source: int, codec: Codec) -> Iterator[str]:
    """ffmpeg's arguments for subtitles of its input `source`, a file with the streams `tracks`; only those `shown`."""
    for output, track in enumerate(shown):
        yield from ("-map", f"{source}:{tracks.index(track)}", f"-c:s:{output}", _subtitle_codec(track, codec))
        for name, text in (("language", track.language), ("title", track.title)):
            if text:
                yield from (f"-metadata:s:s:{output}", f"{name}={text}")


def _subtitle_codec(track: Track, codec: Codec) -> str:
    """The encoder for a container, or "copy"."""
    is_mov_text = track.codec == "mov_text"
    if codec.suffix == ".mkv":
        return "srt" if is_mov_text else "copy"
    return "copy" if is_mov_text else "mov_text"
