"""Reports each frame's outcome and its reason: as text, as JSON data and as a timeline picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..runs import runs, runs_where
from .face_tracks import FaceTracks
from .identity.person_names import person_name
from .limits import Outcome
from .speaking import NOBODY, SpeakerScore, SpeechSegment
from .tracks import FaceTrack

MAX_LINES = 40  # of the text; the data lists every range
OUTCOME_LABELS = {
    Outcome.SYNCED: "synced",
    Outcome.FADED: "fading",
    Outcome.NO_FACE: "no face",
    Outcome.NOT_CHOSEN: "no chosen face",
    Outcome.TURNED_AWAY: "turned too far",
    Outcome.TOO_SMALL: "too small",
    Outcome.BLURRED: "too blurred",
    Outcome.NOT_SPEAKING: "not speaking",
}
# Of the timeline picture, in pixels.
WIDTH, ROW, GAP, LEFT = 1200, 22, 6, 120
OUTCOME_COLOURS = {
    Outcome.SYNCED: (70, 190, 110),
    Outcome.FADED: (160, 205, 130),
    Outcome.NO_FACE: (70, 70, 76),
    Outcome.NOT_CHOSEN: (110, 110, 120),
    Outcome.TURNED_AWAY: (220, 150, 60),
    Outcome.TOO_SMALL: (205, 110, 90),
    Outcome.BLURRED: (150, 110, 190),
    Outcome.NOT_SPEAKING: (96, 120, 140),
}
PERSON_COLOURS = ((86, 156, 214), (220, 170, 70), (190, 110, 190), (90, 190, 170), (210, 100, 110), (150, 160, 90))
SPEECH_LEVELS = 4  # shades that a ramp between speech and a pause is shown in
NOBODY_COLOUR, MIN_BAR_SHARE = (140, 140, 150), 0.15  # of speech, and the height of what is least certain
SPEECH_COLOUR, PAUSE_COLOUR = (86, 156, 214), (70, 70, 76)
BACKGROUND, CUT, TEXT = (32, 32, 36), (235, 235, 235), (225, 225, 225)


@dataclass(frozen=True)
class OutcomeRun:
    """Frames first..stop-1 of the clip, which have one outcome and one track."""

    first: int
    stop: int
    outcome: Outcome
    track: int  # track_id; -1 where there is no chosen face


def outcome_runs(faces: FaceTracks) -> list[OutcomeRun]:
    """The whole clip as runs of frames that have one outcome and one track, in order."""
    path = faces.path
    return [
        OutcomeRun(first, stop, Outcome(int(path.outcome[first])), int(path.track[first]))
        for first, stop in runs(path.outcome, path.track)
    ]


def report_data(faces: FaceTracks) -> dict:
    """The whole report in JSON types; frames are half-open ranges, sizes in pixels, angles in degrees."""
    counts = Counter(OUTCOME_LABELS[Outcome(int(value))] for value in faces.path.outcome)
    return {
        "clip": faces.clip.name,
        "frames": faces.clip.frame_count,
        "fps": str(faces.clip.fps),
        "counts": dict(counts),
        "shots": [list(shot) for shot in faces.shots],
        "people": 1 + max((track.person for track in faces.tracks), default=-1),
        "tracks": [_track_data(faces, track) for track in faces.tracks],
        "frame_ranges": [
            {"frames": [one.first, one.stop], "outcome": OUTCOME_LABELS[one.outcome], "track": one.track}
            for one in outcome_runs(faces)
        ],
        **({} if faces.speech is None else {"speech": [_segment_data(faces, segment) for segment in faces.speech]}),
    }


def report_text(faces: FaceTracks) -> str:
    """The report for users: how many frames are synced, and which are not and why."""
    path, times = faces.path, faces.clip.times
    count = faces.clip.frame_count
    people = 1 + max((track.person for track in faces.tracks), default=-1)
    lines = [
        f"{int((path.blend > 0).sum())} of {count} frames synced; {_pluralized(len(faces.shots), 'shot')}, "
        f"{_pluralized(len(faces.tracks), 'track')}, {_pluralized(people, 'person', 'people')}"
    ]
    unsynced = [one for one in outcome_runs(faces) if one.outcome not in (Outcome.SYNCED, Outcome.FADED)]
    for one in unsynced[:MAX_LINES]:
        what = f"frames {one.first} to {one.stop - 1}" if one.stop - one.first > 1 else f"frame {one.first}"
        lines.append(f"{what} ({times[one.first]:.2f} s) pass through: {OUTCOME_LABELS[one.outcome]}")
    if len(unsynced) > MAX_LINES:
        lines.append(f"and {len(unsynced) - MAX_LINES} more ranges")
    if faces.speech is not None:
        lines += speech_lines(faces, faces.speech)
    return "\n".join(lines)


def speech_lines(faces: FaceTracks, speech: Sequence[SpeechSegment]) -> list[str]:
    """Who was taken for speaking when, a line for each segment, and why: the scores of all who are shown."""
    fps, times = float(faces.clip.fps), faces.clip.times
    shown = sum(segment.stop - segment.first for segment in speech if segment.track != NOBODY)
    whole = sum(segment.stop - segment.first for segment in speech)
    lines = [f"speech: {whole / fps:.1f} s, of which {shown / fps:.1f} s by somebody shown"]
    for segment in speech[:MAX_LINES]:
        end = times[segment.stop - 1] + 1 / fps
        who = "nobody shown" if segment.track == NOBODY else _track_name(faces, segment.track)
        name = f"{segment.speaker}: " if segment.speaker and not who.startswith(segment.speaker) else ""
        scores = "; ".join(_score_text(faces, score) for score in segment.scores)
        reason = f" ({scores})" if scores else ""
        lines.append(
            f"{times[segment.first]:.2f} to {end:.2f} s: {name}{who}, confidence {segment.confidence:.2f}{reason}"
        )
    if len(speech) > MAX_LINES:
        lines.append(f"and {len(speech) - MAX_LINES} more segments of speech")
    return lines


def timeline_picture(selections: FaceTracks | Sequence[FaceTracks], speech: np.ndarray | None = None) -> torch.Tensor:
    """(3, h, w) float32 in [0, 1]: a row for each person's tracks, and one for each selection's outcomes.

    Time runs to the right; white lines are cuts. Several selections over one clip, one per voice, are stacked. Where it
    was found who speaks, a further row shows it: the speaking person's colour, grey for nobody shown, as high as the
    confidence.

    Args:
        speech: (N,) of the clip's frames, how far the voice speaks, 0 (a pause) to 1; shown in a row of its own.
    """
    from PIL import Image, ImageDraw

    selections = (selections,) if isinstance(selections, FaceTracks) else tuple(selections)
    faces = selections[0]
    people = sorted({track.person for track in faces.tracks})
    rows = [
        *(person_name(person) for person in people),
        *("synced" + f" {n + 1}" * (len(selections) > 1) for n in range(len(selections))),
        *(["speaks"] if faces.speech is not None else []),
        *(["speech"] if speech is not None else []),
    ]
    seen = sorted({Outcome(int(value)) for one in selections for value in np.unique(one.path.outcome)})
    top = GAP
    height = top + (ROW + GAP) * (len(rows) + 1)
    picture = Image.new("RGB", (WIDTH, height), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    scale = (WIDTH - LEFT - GAP) / faces.clip.frame_count

    def bar(row: int, first: int, stop: int, colour: tuple[int, int, int], share: float = 1.0) -> None:
        x0, y1 = LEFT + first * scale, top + row * (ROW + GAP) + ROW
        draw.rectangle((x0, y1 - share * ROW, max(LEFT + stop * scale - 1, x0), y1), fill=colour)

    for track in faces.tracks:
        for first, stop in runs_where(track.visible):
            colour = PERSON_COLOURS[track.person % len(PERSON_COLOURS)]
            bar(people.index(track.person), track.start + first, track.start + stop, colour)
    for number, one in enumerate(selections):
        for run in outcome_runs(one):
            bar(len(people) + number, run.first, run.stop, OUTCOME_COLOURS[run.outcome])
    for segment in _all_speech(selections) if faces.speech is not None else ():
        row, height_share = rows.index("speaks"), max(segment.confidence, MIN_BAR_SHARE)
        person = NOBODY if segment.track == NOBODY else faces.tracks[segment.track].person
        colour = NOBODY_COLOUR if person == NOBODY else PERSON_COLOURS[person % len(PERSON_COLOURS)]
        bar(row, segment.first, segment.stop, colour, height_share)
    if speech is not None:
        levels = np.round(speech * SPEECH_LEVELS).astype(int)
        for first, stop in runs(levels):
            share = levels[first] / SPEECH_LEVELS
            colour = tuple(round(a + (b - a) * share) for a, b in zip(PAUSE_COLOUR, SPEECH_COLOUR, strict=True))
            bar(len(rows) - 1, first, stop, colour)
    bottom = top + len(rows) * (ROW + GAP) - GAP
    for first, _ in faces.shots[1:]:
        x = LEFT + first * scale
        draw.line((x, top - GAP / 2, x, bottom + GAP / 2), fill=CUT)
    for row, name in enumerate(rows):
        draw.text((GAP, top + row * (ROW + GAP) + 5), name, fill=TEXT)
    x = LEFT
    for outcome in seen:
        y = top + len(rows) * (ROW + GAP)
        draw.rectangle((x, y + 3, x + 14, y + 17), fill=OUTCOME_COLOURS[outcome])
        draw.text((x + 20, y + 5), OUTCOME_LABELS[outcome], fill=TEXT)
        x += 36 + 7 * len(OUTCOME_LABELS[outcome])
    return torch.from_numpy(np.asarray(picture, np.float32) / 255).permute(2, 0, 1)


def _all_speech(selections: Sequence[FaceTracks]) -> Iterator[SpeechSegment]:
    """The segments of all selections over one clip, nobody's first: another selection may know whose they are."""
    found = [segment for one in selections for segment in one.speech or ()]
    yield from sorted(found, key=lambda segment: segment.track != NOBODY)


def _segment_data(faces: FaceTracks, segment: SpeechSegment) -> dict:
    shown = segment.track != NOBODY
    return {
        "frames": [segment.first, segment.stop],
        "track": segment.track,
        "person": faces.tracks[segment.track].person if shown else None,
        "speaker": segment.speaker,
        "confidence": round(segment.confidence, 3),
        "scores": [
            {
                "track": score.track,
                "person": faces.tracks[score.track].person,
                "probability": round(score.probability, 3),
                "motion": None if score.motion is None else round(score.motion, 3),
                "sync": None if score.sync is None else round(score.sync, 3),
            }
            for score in segment.scores
        ],
    }


def _track_name(faces: FaceTracks, track: int) -> str:
    return f"{person_name(faces.tracks[track].person)} (track {track})"


def _score_text(faces: FaceTracks, score: SpeakerScore) -> str:
    parts = [f"{person_name(faces.tracks[score.track].person)} {score.probability:.2f}"]
    parts += [f"sync {score.sync:+.2f}"] if score.sync is not None else []
    parts += [f"motion {score.motion:+.2f}"] if score.motion is not None else []
    return ", ".join(parts)


def _track_data(faces: FaceTracks, track: FaceTrack) -> dict:
    seen = track.visible
    sizes = (track.boxes[seen][:, 2:] - track.boxes[seen][:, :2]).max(1)
    yaw, pitch, roll = track.pose[seen].T
    return {
        "track": track.track_id,
        "person": track.person,
        "frames": [track.start, track.stop],
        "shot": next(n for n, (first, stop) in enumerate(faces.shots) if first <= track.start < stop),
        "chosen": track.track_id in faces.chosen,
        "by_hand": track.by_hand,
        "size": _min_median_max(sizes),
        "yaw": _min_median_max(yaw),
        "pitch": _min_median_max(pitch),
        "roll": _min_median_max(roll),
        "sharpness": _min_median_max(track.sharpness[seen]),
        "flip_error": _min_median_max(track.flip_error[seen]),
    }


def _min_median_max(values: np.ndarray) -> list[float]:
    """Minimum, median and maximum, rounded; empty where there are no values."""
    return [round(float(value), 3) for value in (values.min(), np.median(values), values.max())] if len(values) else []


def _pluralized(count: int, one: str, more: str | None = None) -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"
