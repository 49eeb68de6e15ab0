"""Lines of dialogue are read from every format, checked, and written back."""

from __future__ import annotations

import dataclasses
import json
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsync_core.audio.pause_options import PauseBehaviour
from latentsync_core.dubbing.lines.dialogue import DialogueLine, LineSettings
from latentsync_core.dubbing.lines.line_formats import LineFormat, load_lines, parse_lines, write_lines
from latentsync_core.errors import DialogueError

SRT = """1
00:00:01,000 --> 00:00:02,500
[Anna]: Hello <i>you</i>
there

2
00:00:03,000 --> 00:00:04,250
{\\an8}[Bo]: 42
"""
LINES = (
    DialogueLine(Fraction(1), Fraction(5, 2), "Hello you\nthere", "Anna"),
    DialogueLine(Fraction(3), Fraction(17, 4), "42", "Bo"),
)
VTT = """WEBVTT - a title
Kind: captions

STYLE
::cue { color: red }

NOTE the first
two rows

first cue
01.000 is no time
00:01.000 --> 00:02.500 align:start
<v Anna>Hello &amp; <c.loud>good</c> day

00:00:03.000 --> 00:00:04.250
<v.loud Bo B.>Yes</v>
"""
HEAD = '<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttm="http://www.w3.org/ns/ttml#metadata" '
HEAD += 'xmlns:ttp="http://www.w3.org/ns/ttml#parameter" xml:lang="fr" {}>'
AGENTS = '<head><metadata><ttm:agent xml:id="a" type="person"><ttm:name type="full">Anna B.</ttm:name></ttm:agent>'
AGENTS += "</metadata></head>"
TTML = f"""<?xml version="1.0" encoding="UTF-8"?>
{HEAD.format('ttp:frameRate="30" ttp:frameRateMultiplier="1000 1001"')}{AGENTS}<body><div begin="1s">
<p begin="00:00:01:15" end="00:00:02:00" ttm:agent="a">Bonjour<br/><span> toi </span> !</p>
<p begin="3s" dur="1s">Oui</p><p begin="5s" dur="1s"> </p></div></body></tt>"""


def lines_of(text: str) -> tuple[DialogueLine, ...]:
    return parse_lines(text).lines


def test_srt_gives_times_speakers_and_words_without_styling():
    assert parse_lines(SRT).lines == LINES
    assert parse_lines(SRT).speakers == ("Anna", "Bo")
    assert LINES[0].spoken_text == "Hello you there"


def test_webvtt_gives_voices_and_no_notes_styles_or_names_of_cues():
    assert lines_of(VTT) == (
        DialogueLine(Fraction(1), Fraction(5, 2), "Hello & good day", "Anna"),
        DialogueLine(Fraction(3), Fraction(17, 4), "Yes", "Bo B."),
    )


def test_ttml_gives_exact_times_within_their_parents_and_agents_as_speakers():
    frame = Fraction(1001, 30000)
    first, second = lines_of(TTML)
    assert first == DialogueLine(2 + 15 * frame, Fraction(3), "Bonjour\ntoi !", "Anna B.")
    assert second == DialogueLine(Fraction(4), Fraction(5), "Oui")


def test_ebu_tt_gives_times_that_stand_on_spans():
    body = '<body><div><p xml:id="p1"><span begin="1.2s" end="2s">Un</span><br/><span begin="2s" end="3.5s">deux</span>'
    assert lines_of(HEAD.format("") + body + "</p></div></body></tt>") == (
        DialogueLine(Fraction(6, 5), Fraction(7, 2), "Un\ndeux"),
    )


BOMB = '<!DOCTYPE tt [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB + TTML.partition("?>")[2], "a document type or entities"),
        ('<!DOCTYPE tt SYSTEM "http://x/y.dtd"><tt/>', "a document type or entities"),
        ("<a>" * 500 + "</a>" * 500, "too many elements"),
        ("<tt", "no well-formed XML"),
        ("<html><body/></html>", "no TTML"),
        (HEAD.format("") + "<body><div><p begin='1s'>x</p></div></body></tt>", "has no end"),
    ],
    ids=["entities", "external type", "depth", "cut off", "another root", "no end"],
)
def test_hostile_and_broken_xml_is_refused(text, message):
    with pytest.raises(DialogueError, match=message):
        parse_lines(text)


WORDS = [{"word": " Hello", "start": 1.0, "end": 1.4}, {"word": " there.", "start": 1.5, "end": 2.1}]
OPENAI = {"text": "", "language": "en", "segments": [{"id": 0, "start": 1.0, "end": 2.1, "text": " Hello there.",
                                                     "words": WORDS}]}  # fmt: skip
WHISPERX = {"segments": [{"start": 1.0, "end": 2.1, "text": " Hello there.", "speaker": "A", "words": [
    {"word": "Hello", "start": 1.0, "end": 1.4, "speaker": "A"}, {"word": "there.", "start": 1.5, "end": 2.1,
                                                                 "speaker": "B"}]}]}  # fmt: skip
FASTER = [[1, 0, 1.0, 2.1, " Hello there.", [1, 2], 0.0, -0.2, 1.1, 0.1, None]]
CHUNKS = {"chunks": [{"timestamp": [1.0, 2.1], "text": " Hello there."}]}
CPP = {"transcription": [{"offsets": {"from": 1000, "to": 2100}, "text": " Hello there."}]}
WORDS_ALONE = {"words": [*WORDS, {"word": " Yes", "start": 2.2, "end": 2.5}]}
ELEVENLABS = [  # a bare list, in which spaces and sounds have entries too
    {"text": "Hello", "start": 1.0, "end": 1.4, "type": "word", "speaker_id": "speaker_0"},
    {"text": " ", "start": 1.4, "end": 1.5, "type": "spacing", "speaker_id": "speaker_0"},
    {"text": "there.", "start": 1.5, "end": 2.1, "type": "word", "speaker_id": "speaker_0"},
    {"text": "(laughter)", "start": 2.1, "end": 2.2, "type": "audio_event", "speaker_id": "speaker_1"},
    {"text": "Yes", "start": 2.2, "end": 2.5, "type": "word", "speaker_id": "speaker_1"},
]
HELLO = DialogueLine(Fraction(1), Fraction(21, 10), "Hello there.")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (OPENAI, [HELLO]),
        (FASTER, [HELLO]),
        (CHUNKS, [HELLO]),
        (CPP, [HELLO]),
        (
            WHISPERX,
            [
                DialogueLine(Fraction(1), Fraction(14, 10), "Hello", "A"),
                DialogueLine(Fraction(3, 2), Fraction(21, 10), "there.", "B"),
            ],
        ),
        (WORDS_ALONE, [HELLO, DialogueLine(Fraction(11, 5), Fraction(5, 2), "Yes")]),
        (
            ELEVENLABS,
            [
                DialogueLine(Fraction(1), Fraction(21, 10), "Hello there.", "speaker_0"),
                DialogueLine(Fraction(11, 5), Fraction(5, 2), "Yes", "speaker_1"),
            ],
        ),
    ],
    ids=["openai-whisper", "faster-whisper", "transformers", "whisper.cpp", "whisperX", "words alone", "ElevenLabs"],
)
def test_recognisers_json_gives_its_segments_parted_by_speakers(data, expected):
    assert lines_of(json.dumps(data)) == tuple(expected)


@pytest.mark.parametrize(
    "text", ["[1]", '{"a": 1}', '{"segments": [{"start": "x", "end": 2, "text": ""}]}',
             '{"segments": [{"start": 1, "end": NaN}]}', '{"segments": [{"start": 0, "end": 1, "text": 5}]}',
             "[" * 100_000, "{"],
)  # fmt: skip
def test_json_of_another_form_is_refused(text):
    with pytest.raises(DialogueError):
        parse_lines(text)


def test_rttm_gives_turns_without_words():
    text = ";; made by x\nSPEAKER film 1 1.5 0.25 <NA> <NA> anna <NA> <NA>\nSPEAKER film 1 0 1.5 <NA> <NA> bo <NA>\n"
    assert lines_of(text) == (
        DialogueLine(Fraction(0), Fraction(3, 2), "", "bo"),
        DialogueLine(Fraction(3, 2), Fraction(7, 4), "", "anna"),
    )
    with pytest.raises(DialogueError, match="has 4 columns"):
        parse_lines("SPEAKER film 1 1.5")


def cue(start: str, end: str, words: str = "words") -> str:
    return f"1\n{start} --> {end}\n{words}\n\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("Once upon a time", "no format of lines"),
        (cue("00:00:01,000", "00:00:02,000", ""), "holds no line"),
        (cue("-00:00:01,000", "00:00:02,000"), "has a negative time"),
        (cue("00:00:01", "00:00:02"), "has no two times"),
        (cue("00:00:02,000", "00:00:01,000"), "has to end after it starts"),
        (cue("00:00:01,000", "00:00:03,000") + cue("00:00:02,900", "00:00:04,000"), "can't speak two lines at once"),
        (cue("00:00:01,000", "00:00:10,002"), "the clip ends at 00:00:10.000"),
        ('{"segments": [{"start": -1, "end": 2, "text": "a"}]}', "can't be negative"),
        ('{"segments": [{"start": 1, "end": 1e9, "text": "a"}]}', "100 hours"),
    ],
)
def test_what_is_wrong_with_lines_is_named(text, message):
    with pytest.raises(DialogueError, match=message):
        parse_lines(text, clip_seconds=10)


def test_speakers_may_speak_over_each_other():
    both = cue("00:00:01,000", "00:00:03,000", "[A]: x") + cue("00:00:02,000", "00:00:04,000", "[B]: y")
    assert len(lines_of(both)) == 2


ACCENTED = SRT.replace("Hello", "Où été")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_files_of_every_encoding_and_row_end_are_read_alike(tmp_path, encoding, ends):
    path = tmp_path / "lines.srt"
    path.write_bytes(ACCENTED.replace("\n", ends).encode(encoding))
    dialogue = load_lines(path)
    assert dialogue.lines[0].text == "Où été you\nthere"
    assert [note.fact[:31] for note in dialogue.notes] == (
        ["lines.srt is no UTF-8 and was r"] if encoding == "cp1252" else []
    )


def test_files_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "film.srt"
    for data, message in ((b"\x00\x01" * 500, "no text|is no format"), (b"", "empty"), (b"\xff\xfea", "damaged")):
        path.write_bytes(data)
        with pytest.raises(DialogueError, match=message):
            load_lines(path)
    with pytest.raises(DialogueError, match="There is no file"):
        load_lines(tmp_path / "none.srt")


WORD = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="<>{}[]&\\→"), min_size=1)


@st.composite
def dialogues(draw) -> tuple[DialogueLine, ...]:
    lines, at = [], 0
    for _ in range(draw(st.integers(1, 8))):
        start = at + draw(st.integers(0, 10_000))
        at = start + draw(st.integers(1, 10_000))
        text = "\n".join(" ".join(draw(st.lists(WORD, min_size=1, max_size=3))) for _ in range(draw(st.integers(1, 3))))
        speaker = draw(st.sampled_from(["", "Anna", "Bo B.", "SPEAKER_00"]))
        lines.append(DialogueLine(Fraction(start, 1000), Fraction(at, 1000), text, speaker))
    return tuple(lines)


@settings(max_examples=40)
@given(dialogues())
@pytest.mark.parametrize("target", [LineFormat.SRT, LineFormat.VTT, LineFormat.JSON])
def test_lines_that_are_written_are_read_again(target, lines):
    written = write_lines(lines, target)
    assert lines_of(written) == lines
    assert write_lines(lines_of(written), target) == written


def test_ten_thousand_lines_take_less_than_a_second():
    text = "".join(
        f"{number}\n{number // 1800:02}:{number // 30 % 60:02}:{number % 30 * 2:02},000 --> "
        f"{number // 1800:02}:{number // 30 % 60:02}:{number % 30 * 2 + 1:02},500\n[Anna]: line {number}\n\n"
        for number in range(10_000)
    )
    seconds = []
    for _ in range(3):  # the first one imports the reader, and others may have the processor
        began = time.process_time()
        dialogue = parse_lines(text, clip_seconds=3600 * 10)
        seconds.append(time.process_time() - began)
    assert min(seconds) < 1
    assert len(dialogue.lines) == 10_000
    assert dialogue.lines[-1].text == "line 9999"


@pytest.mark.parametrize(
    "filler", ["\n" * 300_000 + "b", "<a" * 300_000, "{\\" * 300_000, "[a" * 300_000, "<v a" * 200_000, "-->" * 200_000]
)
@pytest.mark.parametrize("head", ["", "WEBVTT\n\n"])
def test_hostile_texts_take_no_longer_than_their_length(head, filler):
    stamp = "00:00:01.000 --> 00:00:02.000\n"
    began = time.process_time()
    parse_lines(f"{head}{stamp}a{filler}\n")
    assert time.process_time() - began < 2


# --- settings of lines ------------------------------------------------------------------------------------------------

SETTINGS = LineSettings(7, 1.25, PauseBehaviour.CLOSED, enabled=False)


def test_settings_of_a_line_are_written_as_json_and_read_again():
    lines = (dataclasses.replace(LINES[0], settings=SETTINGS), LINES[1])
    text = write_lines(lines, LineFormat.JSON)
    assert lines_of(text) == lines
    first, second = json.loads(text)["segments"]
    assert {key: first[key] for key in ("seed", "expression", "pauses", "enabled")} == {
        "seed": 7, "expression": 1.25, "pauses": "closed", "enabled": False
    }  # fmt: skip
    assert set(second) == {"start", "end", "text", "speaker"}, "what the job decides isn't written"


def test_settings_of_a_segment_that_is_parted_by_speakers_hold_for_every_part():
    words = [{"word": w, "start": n, "end": n + 1, "speaker": s} for n, (w, s) in enumerate(["aA", "bB"])]
    segment = {"start": 0, "end": 2, "text": "a b", "words": words, "seed": 7}
    assert [line.settings.seed for line in lines_of(json.dumps([segment]))] == [7, 7]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"seed": "7"}, 'seed of segment 1 of the text is "7": write a whole number'),
        ({"seed": True}, "seed of segment 1"),
        ({"seed": -1}, "seed of segment 1"),
        ({"expression": "high"}, "expression of segment 1"),
        ({"expression": 10**400}, "expression of segment 1"),
        ({"expression": False}, "expression of segment 1"),
        ({"pauses": "shut"}, 'pauses of segment 1 of the text is "shut": write "model" or "closed" or "original"'),
        ({"pauses": ["model"]}, "pauses of segment 1"),
        ({"enabled": 0}, "enabled of segment 1 of the text is 0: write true or false"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_setting_of_another_kind_is_refused_by_its_name(setting, message):
    with pytest.raises(DialogueError) as refused:
        lines_of(json.dumps([{"start": 0, "end": 1, "text": "a", **setting}]))
    assert message in str(refused.value)
