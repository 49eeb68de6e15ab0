"""What recognisers of speech write: Whisper's JSON in its usual forms, and RTTM, which tells who speaks when."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from ...audio.pause_options import PauseBehaviour
from ...errors import DialogueError
from .dialogue import DialogueLine, LineSettings, exact_seconds

RTTM_COLUMNS = 9  # and a tenth, optional one
NOT_GIVEN = "<NA>"
# Faster-Whisper's segments as tuples: number, seek, start, end, text, ...
SEGMENT_TUPLE = {"start": 2, "end": 3, "text": 4}
MAX_EXPRESSION_READ = 1e6  # what the sampler takes is far less, and for it to say
MAX_WORD_GAP = 0.8  # seconds between words, from which on a list of words alone begins a new line
WORD, NO_WORDS = "word", ("spacing", "audio_event")  # kinds in lists that also tell pauses and sounds
SENTENCE_END = (".", "?", "!", "…", "。", "？", "！")


def read_recognised(text: str, name: str) -> tuple[DialogueLine, ...]:
    """The lines of a recogniser's JSON: openai-whisper, whisperX, faster-whisper, whisper.cpp, or a list of words.

    A segment whose words have other speakers is parted where the speaker changes. `seed`, `expression`, `pauses` and
    `enabled` of a segment, which no recogniser writes, are the line's settings.

    Raises:
        DialogueError: no JSON, JSON of another form, a time that is no number, or a setting of another kind.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise DialogueError(f"{name} is no JSON that can be read ({problem}): export it again.") from None
    lines: list[DialogueLine] = []
    for number, segment in enumerate(_segments(data, name), 1):
        lines += _lines_of_segment(segment, f"segment {number} of {name}")
    return tuple(lines)


def read_rttm(text: str, name: str) -> tuple[DialogueLine, ...]:
    """The speaker turns of an RTTM text (NIST's Rich Transcription Time Marked), without words.

    Raises:
        DialogueError: a row of another form.
    """
    lines = []
    for number, row in enumerate(text.split("\n"), 1):
        columns = row.split()
        if not columns or columns[0].startswith(";;") or columns[0] != "SPEAKER":
            continue
        if len(columns) < RTTM_COLUMNS:
            raise DialogueError(
                f"Row {number} of {name} has {len(columns)} columns, a speaker's turn has {RTTM_COLUMNS} or 10: "
                "SPEAKER file channel start duration <NA> <NA> name <NA>."
            )
        start = _seconds(columns[3], f"row {number} of {name}")
        duration = _seconds(columns[4], f"row {number} of {name}")
        speaker = "" if columns[7] == NOT_GIVEN else columns[7]
        lines.append(DialogueLine(exact_seconds(start), exact_seconds(start + duration), "", speaker))
    return tuple(lines)


def write_json(lines: Sequence[DialogueLine]) -> str:
    """The lines as whisperX writes segments, with the settings that they have; `read_recognised` reads them."""
    segments = [
        {"start": float(line.start), "end": float(line.end), "text": line.text}
        | ({"speaker": line.speaker} if line.speaker else {})
        | _settings_data(line.settings)
        for line in lines
    ]
    return json.dumps({"segments": segments}, ensure_ascii=False, indent=1)


def _segments(data: Any, name: str) -> Iterator[Mapping[str, Any]]:
    """Every form's segments as mappings with start, end and text."""
    if isinstance(data, Mapping):
        for key in ("segments", "transcription", "chunks"):
            if isinstance(data.get(key), list):
                data = data[key]
                break
        else:
            if isinstance(data.get("words"), list):
                yield from _segments_of_words(data["words"], name)
                return
    if isinstance(data, list) and data and all(map(_is_of_words, data)):
        yield from _segments_of_words(data, name)
        return
    if not isinstance(data, list):
        raise DialogueError(
            f"{name} is JSON, but of no recogniser that is known: it needs a list of segments, each with start, end "
            "and text."
        )
    for number, segment in enumerate(data, 1):
        where = f"segment {number} of {name}"
        if isinstance(segment, list) and len(segment) > SEGMENT_TUPLE["text"]:
            yield {key: segment[place] for key, place in SEGMENT_TUPLE.items()}
        elif not isinstance(segment, Mapping):
            raise DialogueError(
                f"{where[0].upper()}{where[1:]} is no object with start, end and text: export it again."
            )
        elif isinstance(segment.get("timestamp"), list) and len(segment["timestamp"]) == 2:  # transformers' chunks
            yield {**segment, "start": segment["timestamp"][0], "end": segment["timestamp"][1]}
        elif isinstance(offsets := segment.get("offsets"), Mapping):  # whisper.cpp, milliseconds
            times = {key: _seconds(offsets.get(of), where) / 1000 for key, of in (("start", "from"), ("end", "to"))}
            yield {**segment, **times}
        else:
            yield segment


def _segments_of_words(words: Sequence[Any], name: str) -> Iterator[Mapping[str, Any]]:
    """Lines of a bare list of words: a new one after a sentence's end, a pause, or where the speaker changes."""
    held: list[Mapping[str, Any]] = []
    for word in words:
        if not isinstance(word, Mapping):
            raise DialogueError(f"The words of {name} are no objects with start, end and word: export them again.")
        if word.get("type") not in NO_WORDS and _word_text(word).strip() and _has_times(word):
            if held and (
                _word_text(held[-1]).rstrip().endswith(SENTENCE_END)
                or _seconds(word["start"], name) - _seconds(held[-1]["end"], name) > MAX_WORD_GAP
                or _speaker(word) != _speaker(held[-1])
            ):
                yield _segment_of(held)
                held = []
            held.append(word)
    if held:
        yield _segment_of(held)


def _lines_of_segment(segment: Mapping[str, Any], where: str) -> list[DialogueLine]:
    words = [word for word in _list(segment.get("words")) if isinstance(word, Mapping)]
    own = _speaker(segment)
    turns = [list(turn) for _, turn in groupby(words, lambda word: _speaker(word) or own)]
    if len(turns) > 1 and all(any(map(_has_times, turn)) for turn in turns):
        return [_line({**segment, **_segment_of(turn), "speaker": _speaker(turn[0]) or own}, where) for turn in turns]
    speaker = own or (_speaker(words[0]) if words else "")
    return [_line({**segment, "speaker": speaker}, where)]


def _segment_of(words: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    timed = [word for word in words if _has_times(word)]
    texts = [_word_text(word) for word in words]
    # openai-whisper's words begin with their space, whisperX's have none
    joined = "".join(texts) if any(text[:1].isspace() for text in texts) else " ".join(texts)
    return {"start": timed[0]["start"], "end": timed[-1]["end"], "text": joined, "speaker": _speaker(words[0])}


def _line(segment: Mapping[str, Any], where: str) -> DialogueLine:
    text = segment.get("text")
    if text is not None and not isinstance(text, str):
        raise DialogueError(f"The text of {where} is a {type(text).__name__}, no text: export it again.")
    start, end = (exact_seconds(_seconds(segment.get(key), where)) for key in ("start", "end"))
    return DialogueLine(start, end, (text or "").strip(), _speaker(segment), _settings(segment, where))


def _settings(segment: Mapping[str, Any], where: str) -> LineSettings:
    seed, expression, pauses, enabled = (segment.get(key) for key in ("seed", "expression", "pauses", "enabled"))
    behaviours = [behaviour.value for behaviour in PauseBehaviour]
    is_number = isinstance(expression, (int, float)) and not isinstance(expression, bool)
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 1 << 64):
        raise _wrong_setting("seed", seed, where, "write a whole number from 0 up, such as 1247")
    if expression is not None and not (is_number and abs(expression) < MAX_EXPRESSION_READ):
        raise _wrong_setting("expression", expression, where, "write a number, 1 is as the model draws it")
    if pauses is not None and pauses not in behaviours:
        raise _wrong_setting("pauses", pauses, where, "write " + " or ".join(map(json.dumps, behaviours)))
    if enabled is not None and not isinstance(enabled, bool):
        raise _wrong_setting("enabled", enabled, where, "write true or false")
    return LineSettings(
        seed,
        None if expression is None else float(expression),
        None if pauses is None else PauseBehaviour(pauses),
        enabled is not False,
    )


def _wrong_setting(name: str, value: Any, where: str, way_out: str) -> DialogueError:
    return DialogueError(f"{name} of {where} is {json.dumps(value)[:40]}: {way_out}.")


def _settings_data(settings: LineSettings) -> dict[str, Any]:
    data = {
        "seed": settings.seed,
        "expression": settings.expression,
        "pauses": None if settings.pauses is None else settings.pauses.value,
        "enabled": None if settings.enabled else False,
    }
    return {name: value for name, value in data.items() if value is not None}


def _seconds(value: Any, where: str) -> float:
    try:
        number = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DialogueError(f"A time of {where} is {str(value)[:40]!r}, no number of seconds: correct it.")
    return number


def _has_times(word: Mapping[str, Any]) -> bool:
    return word.get("start") is not None and word.get("end") is not None


def _is_of_words(part: Any) -> bool:
    """Whether this is a part of a list of words, and no segment."""
    return isinstance(part, Mapping) and ("word" in part or part.get("type") in (WORD, *NO_WORDS))


def _speaker(part: Mapping[str, Any]) -> str:
    value = part.get("speaker", part.get("speaker_id"))
    return " ".join(str(value).split())[:100] if isinstance(value, (str, int)) else ""


def _word_text(word: Mapping[str, Any]) -> str:
    value = word.get("word", word.get("text"))
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
