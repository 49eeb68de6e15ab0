"""Faces found in a clip against what is true of it: cuts, tracks, persons, the chosen one, landmarks."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

import numpy as np

from latentsync_core.faces.alignment.smoothing import smooth_landmarks
from latentsync_core.faces.crop_path import path_transforms
from latentsync_core.faces.face_tracks import FaceTracks
from latentsync_core.faces.limits import Outcome

CUT_TOLERANCE_FRAMES = 1  # frames by which a boundary may be off
MAX_MATCH_DISTANCE = 0.6  # eye distances between found and true points up to which a track lies on a person
MIN_MATCH_IOU = 0.3  # intersection over union that says so too: the points of a profile may be far off
MAX_LANDMARK_ERROR = 0.3  # eye distances by which a face that is synced may be off
MIN_PERSON_DISTANCE = 0.8  # eye distances between two people's points under which a frame says nothing of a switch
MIN_SWITCH_FRAMES = 2  # unambiguous frames on a second person that make a switch
MIN_VISIBLE_SHARE, MAX_YAW, MIN_FACE_SIZE, MIN_SHOT_SHARE = 0.6, 55.0, 40.0, 0.7  # a face that must be found
YAW_BANDS = ((0, 20), (20, 40), (40, 55))  # degrees of yaw, by which landmark errors are grouped
FRONTAL_YAW = 40.0  # degrees of yaw within which nothing should be left alone for being turned
YAW_MARGIN = 10.0  # degrees of yaw beyond MAX_YAW at which nothing should be synced any more
RESOLUTION = 256  # of the crops whose transforms are compared


NOBODY, NOT_VISIBLE, OTHER_SHOT = -1, -2, -3


@dataclass(frozen=True, eq=False)
class Truth:
    """N frames, P people; NaN where somebody is not in the shot."""

    shots: np.ndarray  # (S, 2) half-open ranges
    begins: np.ndarray  # (S,) how each shot begins, for the report
    points: np.ndarray  # (N, P, 3, 2): left brow, right brow, nose, pixels
    eye_distance: np.ndarray  # (N, P) pixels, as seen from the front
    causes: dict[str, np.ndarray]  # (N, P) bool each: why a face needn't be found; those that hold come in this order
    cast: np.ndarray  # (N, P) bool
    boxes: np.ndarray  # (N, P, 4) of the faces
    in_dissolve: np.ndarray  # (N,) bool: frames of dissolves, in which faces show that belong to the other shot
    yaw: np.ndarray | None = None  # (N, P) degrees, where it is known

    @property
    def countable(self) -> np.ndarray:
        """(N, P) bool: faces that must be found."""
        return self.cast & ~np.any(list(self.causes.values()), axis=0)


@dataclass(frozen=True, eq=False)
class TrackMatches:
    """A clip's tracks laid over the truth."""

    on: list[np.ndarray]  # per track: (n,) the true person of each of its frames, NOBODY, NOT_VISIBLE or OTHER_SHOT
    match_distance: list[np.ndarray]  # per track: (n,) distance of its points from that person's, eye distances
    errors: np.ndarray  # (M, 3) of every found countable face: left brow, right brow, nose in eye distances
    who: np.ndarray  # (M, 2): frame and true person of each of these
    offsets: np.ndarray  # (M, 3, 2): the same as vectors in the face's axes (turned back by its roll)


def place(faces: FaceTracks, truth: Truth) -> TrackMatches:
    on, far, errors, who, offsets = [], [], [], [], []
    for track in faces.tracks:
        people, distances = np.full(len(track.visible), NOT_VISIBLE), np.full(len(track.visible), np.nan)
        for row in np.flatnonzero(track.visible):
            frame = track.start + row
            match_distance = _match_distances(track.landmarks[row], truth, frame)
            best = int(np.argmin(match_distance))
            if match_distance[best] > MAX_MATCH_DISTANCE:
                shared = _iou(track.boxes[row], truth.boxes[frame])
                best = int(np.argmax(shared))
                best = best if shared[best] >= MIN_MATCH_IOU else OTHER_SHOT if truth.in_dissolve[frame] else NOBODY
            people[row] = best
            if best < 0:
                continue
            distances[row] = match_distance[best]
            if truth.countable[frame, best]:
                vectors = (track.landmarks[row] - truth.points[frame, best]) / truth.eye_distance[frame, best]
                across = truth.points[frame, best, 1] - truth.points[frame, best, 0]
                angle = np.arctan2(across[1], across[0])
                turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
                errors.append(np.linalg.norm(vectors, axis=1))
                offsets.append(vectors @ turn)
                who.append((frame, best))
        on.append(people)
        far.append(distances)
    return TrackMatches(
        on, far, np.array(errors).reshape(-1, 3), np.array(who).reshape(-1, 2), np.array(offsets).reshape(-1, 3, 2)
    )


def cuts(faces: FaceTracks, truth: Truth) -> dict:
    """Boundaries found within CUT_TOLERANCE_FRAMES frames, each once."""
    true, found = [int(a) for a in truth.shots[1:, 0]], [start for start, _ in faces.shots[1:]]
    free, missed = set(found), []
    for number, boundary in enumerate(true):
        near = [start for start in free if abs(start - boundary) <= CUT_TOLERANCE_FRAMES]
        if near:
            free.discard(min(near, key=lambda start: abs(start - boundary)))
        else:
            missed.append((boundary, str(truth.begins[number + 1])))
    hits = len(true) - len(missed)
    precision, recall = hits / max(len(found), 1), hits / max(len(true), 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return {
        "cuts": len(true),
        "precision": precision,
        "recall": recall,
        "F1": f1,
        "missed": missed,
        "false": sorted(free),
    }


def switches(faces: FaceTracks, truth: Truth, matches: TrackMatches) -> list[tuple[int, dict[int, int], int]]:
    """Tracks that lie on more than one person: track, unambiguous frames on each, and the first frame of the second."""
    found = []
    for track, people in zip(faces.tracks, matches.on, strict=True):
        clear = [
            (track.start + row, int(person)) for row, person in enumerate(people)
            if person >= 0 and not _ambiguous(truth, track.start + row, int(person))
        ]  # fmt: skip
        counts = Counter(person for _, person in clear)
        if sum(count >= MIN_SWITCH_FRAMES for count in counts.values()) > 1:
            least = counts.most_common()[1][0]
            found.append((track.track_id, dict(counts), next(frame for frame, person in clear if person == least)))
    return found


def people(faces: FaceTracks, truth: Truth, matches: TrackMatches) -> dict:
    """Found persons against true ones, weighed by frames: purity, completeness, and what is false."""
    table = Counter()
    for track, on in zip(faces.tracks, matches.on, strict=True):
        table.update((track.person, int(person)) for person in on if person >= 0)
    total = max(sum(table.values()), 1)
    found, true = ({key[k] for key in table} for k in (0, 1))
    purity = sum(max(table[f, t] for t in true) for f in found) / total
    complete = sum(max(table[f, t] for f in found) for t in true) / total
    nowhere = sum(int((on == NOBODY).sum()) for on in matches.on)
    return {
        "true": truth.cast.shape[1], "found": len({t.person for t in faces.tracks}), "purity": purity,
        "completeness": complete, "table": table, "frames on nobody": nowhere, "tracks": len(faces.tracks),
    }  # fmt: skip


def detection_mask(faces: FaceTracks, truth: Truth, matches: TrackMatches) -> np.ndarray:
    """(N, P) bool: some track lies on the person."""
    seen = np.zeros(truth.cast.shape, bool)
    for track, on in zip(faces.tracks, matches.on, strict=True):
        rows = np.flatnonzero(on >= 0)
        seen[track.start + rows, on[rows]] = True
    return seen


def recall_by_cause(seen: np.ndarray, truth: Truth, person: int | None = None) -> dict[str, tuple[int, int]]:
    """How many faces there are and how many are found: those that must be, then the others by their first cause."""
    some = slice(None) if person is None else slice(person, person + 1)
    left = truth.cast[:, some].copy()
    rows = {}
    for name, holds in truth.causes.items():
        mask = left & holds[:, some]
        rows[name] = (int(mask.sum()), int((mask & seen[:, some]).sum()))
        left &= ~mask
    return {"must be found": (int(left.sum()), int((left & seen[:, some]).sum())), **rows}


def chosen(faces: FaceTracks, truth: Truth, matches: TrackMatches, person: int | None = None) -> dict:
    """What is synced against a true person: the default choice (whom that means: the one it lies on most), or, for a
    true `person`, the found person that lies on them most."""
    if person is not None:
        counts = Counter()
        for track, on in zip(faces.tracks, matches.on, strict=True):
            counts[track.person] += int((on == person).sum())
        number = counts.most_common(1)[0][0] if counts else -1
        mine = tuple(track.track_id for track in faces.tracks if track.person == number)
        faces = dataclasses.replace(faces, chosen=mine)
    path = faces.path
    on, match_distance = np.full(len(path.track), NOT_VISIBLE), np.full(len(path.track), np.nan)
    for frame in np.flatnonzero(path.visible):
        track = faces.tracks[path.track[frame]]
        on[frame] = matches.on[track.track_id][frame - track.start]
        match_distance[frame] = matches.match_distance[track.track_id][frame - track.start]
    if person is None:
        person = Counter(on[on >= 0].tolist()).most_common(1)[0][0]
    right, shown = on == person, (on == NOBODY) | (on >= 0)
    synced = path.blend > 0
    turned = np.zeros(len(on), bool) if truth.yaw is None else np.abs(truth.yaw[:, person]) > MAX_YAW + YAW_MARGIN
    must = truth.countable[:, person]
    wrong = np.flatnonzero(shown & ~right)
    missed = np.flatnonzero(must & ~right)
    return {
        "person": person, "precision": right.sum() / max(shown.sum(), 1),
        "recall": (right & must).sum() / max(must.sum(), 1),
        "wrong": wrong, "missed": missed,
        "astray": np.flatnonzero(synced & right & (match_distance > MAX_LANDMARK_ERROR)),
        "turned": np.flatnonzero(synced & right & turned),
    }  # fmt: skip


def landmark_errors(matches: TrackMatches) -> dict[str, float]:
    """In eye distances: as they are, and without each person's mean offset, which is what the drawing and the network
    disagree about for that face."""
    if not len(matches.errors):
        return {}
    mean = matches.errors.mean(1)
    left, constant = matches.offsets.copy(), {}
    for person in np.unique(matches.who[:, 1]):
        rows = matches.who[:, 1] == person
        constant[int(person)] = np.median(left[rows], 0)
        left[rows] -= constant[int(person)]
    steady = np.linalg.norm(left, axis=2).mean(1)
    return {
        "mean": mean.mean(), "p95": np.percentile(mean, 95), "points": matches.errors.mean(0),
        "steady mean": steady.mean(), "steady p95": np.percentile(steady, 95), "constant": constant,
    }  # fmt: skip


def smoothed(faces: FaceTracks) -> FaceTracks:
    """The same with each track's points steadied, as crops see them. For clips with square samples."""
    tracks = []
    for track in faces.tracks:
        times = faces.clip.times[track.start : track.stop]
        tracks.append(dataclasses.replace(track, landmarks=smooth_landmarks(track.landmarks, [(0, len(times))], times)))
    return dataclasses.replace(faces, tracks=tuple(tracks))


def with_reliable_meshes(faces: FaceTracks) -> FaceTracks:
    """The same with every flip error 0, as if the mesh were always reliable."""
    tracks = tuple(dataclasses.replace(track, flip_error=np.zeros_like(track.flip_error)) for track in faces.tracks)
    return dataclasses.replace(faces, tracks=tracks)


def count_false_profiles(faces: FaceTracks, truth: Truth, matches: TrackMatches) -> tuple[int, int]:
    """Frames of hardly turned faces that are left alone for being turned away, and all frames of such faces."""
    left = total = 0
    for track, on in zip(faces.tracks, matches.on, strict=True):
        outcome = dataclasses.replace(faces, chosen=(track.track_id,)).path.outcome[track.start : track.stop]
        seen = np.flatnonzero(on >= 0)
        frontal = seen[np.abs(truth.yaw[track.start + seen, on[seen]]) < FRONTAL_YAW]
        left += int((outcome[frontal] == Outcome.TURNED_AWAY).sum())
        total += len(frontal)
    return left, total


def cross_shot_leakage(faces: FaceTracks) -> tuple[int, float]:
    """Whether smoothing crosses a cut: each shot's transforms again, with the landmarks of all other shots moved.

    Returns the number of shots whose transforms changed by a single bit, and the largest change in crop pixels.
    """
    before = path_transforms(faces, RESOLUTION)
    changed, most = 0, 0.0
    for start, stop in faces.shots:
        others = [
            track if start <= track.start < stop else dataclasses.replace(track, landmarks=track.landmarks[::-1] + 37)
            for track in faces.tracks
        ]
        after = path_transforms(dataclasses.replace(faces, tracks=tuple(others)), RESOLUTION)
        one, other = before[start:stop], after[start:stop]
        if not np.array_equal(one, other, equal_nan=True):
            changed += 1
            most = max(most, float(np.nanmax(np.abs(one - other))))
    return changed, most


def covers_every_frame(faces: FaceTracks, count: int) -> bool:
    """Every frame has its place in the path, in exactly one shot, and no track leaves its shot."""
    starts, stops = zip(*faces.shots, strict=True)
    whole = starts[0] == 0 and stops[-1] == count == len(faces.path.visible) and starts[1:] == stops[:-1]
    return whole and all(
        any(start <= track.start and track.stop <= stop for start, stop in faces.shots) for track in faces.tracks
    )


def _match_distances(points: np.ndarray, truth: Truth, frame: int) -> np.ndarray:
    """(P,) mean distance of three points to each person's, in their eye distances; infinite for who isn't there."""
    match_distance = np.linalg.norm(truth.points[frame] - points, axis=-1).mean(-1) / truth.eye_distance[frame]
    return np.where(np.isfinite(match_distance), match_distance, np.inf)


def _iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(P,) intersection over union of a box with each person's; 0 for who isn't there."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inside = np.clip(high - low, 0, None).prod(1)
    areas = np.prod(box[2:] - box[:2]) + (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return np.nan_to_num(inside / np.maximum(areas - inside, 1e-9))


def _ambiguous(truth: Truth, frame: int, person: int) -> bool:
    match_distance = _match_distances(truth.points[frame, person], truth, frame)
    match_distance[person] = np.inf
    return bool(match_distance.min() < MIN_PERSON_DISTANCE)
