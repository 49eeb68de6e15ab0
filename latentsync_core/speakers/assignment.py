"""Who the speakers are: each name of a diarization, or each person found speaking, is a person of the clip or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from ..dubbing.lines.dialogue import DialogueLine
from ..errors import FaceError, OptionError
from ..faces.face_tracks import FaceTracks
from ..faces.identity.person_names import no_such_person, person_letter, person_name, read_person
from ..faces.speaking import NOBODY, SpeakerScore, SpeechSegment
from ..messages import Remedy
from ..runs import runs, runs_where

OFF = "off"  # written in the place of a person
MIN_SPOKEN_SHARE = 0.1  # of a speaker's lines in which somebody was found speaking; with less they are off screen
MAX_CORRECTIONS = 10_000  # characters


def read_corrections(text: str) -> dict[str, int]:
    """Parses lines as "Anna = B" or "Bert = off" into the person of each speaker, NOBODY for those off screen.

    A person is a letter, or a number from 0 as in workflows that were saved before persons had letters.

    Raises:
        OptionError: a line is none of that kind.
    """
    if len(text) > MAX_CORRECTIONS:
        raise OptionError(f"the speakers' list has {len(text)} characters; use at most {MAX_CORRECTIONS}")
    people: dict[str, int] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, equals, who = (part.strip() for part in line.partition("="))
        person = NOBODY if who.lower() == OFF else read_person(who)
        if not equals or not name or person is None:
            raise OptionError(f"{line[:60]!r} names no speaker's person; write lines such as Anna = B or Bert = {OFF}")
        people[" ".join(name.split())] = person
    return people


def corrections_text(people: Mapping[str, int]) -> str:
    """The lines that `read_corrections` reads."""
    letters = {name: OFF if person == NOBODY else person_letter(person) for name, person in people.items()}
    return "\n".join(f"{name} = {letter}" for name, letter in letters.items())


def assign_speakers(
    faces: FaceTracks,
    found: Sequence[SpeechSegment],
    diarization: Sequence[DialogueLine] = (),
    corrections: Mapping[str, int] | None = None,
) -> tuple[tuple[SpeechSegment, ...], dict[str, int]]:
    """The clip's speech with the names of its speakers, and the person of each name, NOBODY for those off screen.

    Without a diarization a speaker is a person who was found speaking, named "person A" and so on; speech of nobody who
    is shown has no name. With one, a speaker is the person who has most of the speech found within its lines, and a
    line belongs to that person wherever they are shown. Where lines overlap, the later one counts.

    Args:
        found: the segments of `find_speech`.
        corrections: the person of some of the names, in the place of the one that was found.

    Raises:
        OptionError: a correction names a speaker or a person that there isn't.
    """
    corrections = corrections or {}
    shares = _diarized_people(faces, found, diarization) if diarization else _found_people(faces, found)
    people = {name: person for name, (person, _) in shares.items()}
    known = {track.person for track in faces.tracks}
    corrections = {_known_name(name, people): person for name, person in corrections.items()}
    for name, person in corrections.items():
        if person not in known | {NOBODY}:
            raise OptionError(f"speaker {name!r}: {no_such_person(person, max(known) + 1)}")
        people[name] = person
    if diarization:
        sure = {name: 1.0 if name in corrections else share for name, (_, share) in shares.items()}
        return _diarized_segments(faces, diarization, people, sure), people
    segments: list[SpeechSegment] = []
    for segment in found:
        name = "" if segment.track == NOBODY else person_name(faces.tracks[segment.track].person)
        if name in corrections:
            segments += _on_screen(faces, segment.first, segment.stop, people[name], name, 1.0, segment.scores)
        else:
            segments.append(dataclasses.replace(segment, speaker=name))
    return tuple(segments), people


def choose_speaker(
    faces: FaceTracks, segments: Sequence[SpeechSegment], speaker: str = "", off: Sequence[int] = ()
) -> FaceTracks:
    """`faces` with all speakers chosen, or only the one of that name; each synced only while they speak.

    Args:
        off: tracks that are never synced.

    Raises:
        OptionError: no segment has that name.
        FaceError: none of those is shown while they speak.
    """
    names = sorted({segment.speaker for segment in segments if segment.speaker})
    if speaker:
        speaker = _known_name(speaker, names)
    # The turns of others stay in the list, as nobody's: they bound the margins of these.
    speech = tuple(
        segment if speaker in ("", segment.speaker) else dataclasses.replace(segment, track=NOBODY)
        for segment in segments
    )
    chosen = with_speech(faces, speech, off)
    if not chosen.chosen:
        seconds = sum(segment.stop - segment.first for segment in segments) / float(faces.clip.fps)
        clip = f"{faces.clip.name}, whose sound has {seconds:.1f} s of speech"
        if speaker:
            raise FaceError(f"the speaker {speaker!r} is never shown speaking in {clip}", Remedy.CHOOSE_FACE)
        raise FaceError(f"no one is shown speaking in {clip}", Remedy.CHOOSE_FACE)
    return chosen


def with_speech(faces: FaceTracks, segments: Sequence[SpeechSegment], off: Sequence[int] = ()) -> FaceTracks:
    """`faces` with every track chosen that speaks, if any does, but for those that are `off`."""
    speaking = {segment.track for segment in segments} - {NOBODY, *off}
    return dataclasses.replace(faces, chosen=tuple(sorted(speaking)), speech=tuple(segments))


def _known_name(name: str, names: Collection[str]) -> str:
    """`name` as the clip has it: "person 1" of an earlier workflow is "person B" now.

    Raises:
        OptionError: no speaker has that name.
    """
    if name in names:
        return name
    person = read_person(name) if name.lower().startswith("person ") else None
    if person is None or person_name(person) not in names:
        raise OptionError(f"there is no speaker {name!r}; the clip has {', '.join(names) or 'none'}")
    return person_name(person)


def _found_people(faces: FaceTracks, found: Sequence[SpeechSegment]) -> dict[str, tuple[int, float]]:
    people = sorted({faces.tracks[segment.track].person for segment in found if segment.track != NOBODY})
    return {person_name(person): (person, 1.0) for person in people}


def _diarized_people(
    faces: FaceTracks, found: Sequence[SpeechSegment], diarization: Sequence[DialogueLine]
) -> dict[str, tuple[int, float]]:
    """Of each name the person with most of the speech in its lines, and that person's share of what anybody has."""
    person_of_frame = np.full(faces.clip.frame_count, NOBODY)
    for segment in found:
        if segment.track != NOBODY:
            person_of_frame[segment.first : segment.stop] = faces.tracks[segment.track].person
    spoken: dict[str, list[np.ndarray]] = {}
    for line in diarization:
        first, stop = np.searchsorted(faces.clip.times, (float(line.start), float(line.end)))
        spoken.setdefault(line.speaker, []).append(person_of_frame[first:stop])
    people = {}
    for name, parts in spoken.items():
        frames = np.concatenate(parts)
        seen = frames[frames != NOBODY]
        if len(seen) < max(MIN_SPOKEN_SHARE * len(frames), 1):
            people[name] = NOBODY, 1.0 - len(seen) / max(len(frames), 1)
            continue
        counts = np.bincount(seen)
        people[name] = int(counts.argmax()), float(counts.max() / len(seen))
    return people


def _diarized_segments(
    faces: FaceTracks, diarization: Sequence[DialogueLine], people: Mapping[str, int], sure: Mapping[str, float]
) -> tuple[SpeechSegment, ...]:
    names = list(people)
    name_of_frame = np.full(faces.clip.frame_count, -1)
    for line in diarization:
        first, stop = np.searchsorted(faces.clip.times, (float(line.start), float(line.end)))
        name_of_frame[first:stop] = names.index(line.speaker)
    segments: list[SpeechSegment] = []
    for first, stop in runs_where(name_of_frame >= 0, name_of_frame):
        name = names[name_of_frame[first]]
        segments += _on_screen(faces, first, stop, people[name], name, sure[name])
    return tuple(segments)


def _on_screen(
    faces: FaceTracks,
    first: int,
    stop: int,
    person: int,
    name: str,
    confidence: float,
    scores: tuple[SpeakerScore, ...] = (),
) -> Iterator[SpeechSegment]:
    """Frames first..stop-1, in which a person speaks, cut where their track changes; nobody's where none is shown."""
    track_of_frame = np.full(stop - first, NOBODY)
    for track in faces.tracks:
        if track.person == person:
            rows = np.arange(max(first, track.start), min(stop, track.stop))
            track_of_frame[rows[track.visible[rows - track.start]] - first] = track.track_id
    for start, end in runs(track_of_frame):
        yield SpeechSegment(first + start, first + end, int(track_of_frame[start]), confidence, scores, name)
