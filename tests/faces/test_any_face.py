"""Whatever a clip shows and however it is cut, its faces become sound tracks, or it is refused with a sentence."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latentsync_core.errors import FaceError
from latentsync_core.faces.detection.blazeface import iou
from latentsync_core.faces.face_options import FaceOptions
from latentsync_core.faces.face_tracks import FaceTracks
from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.video.clip import Clip
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from tests import astronaut

MOST_COMMON = 0.6  # intersection over union that two faces of a frame may have

FACE = astronaut.resized(astronaut.picture()[40:200, 140:310], 102, 96)


def check(faces: FaceTracks) -> None:
    """Everything that holds of any clip's faces."""
    count = faces.clip.frame_count
    assert faces.shots[0][0] == 0
    assert faces.shots[-1][1] == count
    assert all(first < stop for first, stop in faces.shots)
    assert all(before[1] == after[0] for before, after in zip(faces.shots[:-1], faces.shots[1:], strict=True))
    assert faces.tracks
    for number, track in enumerate(faces.tracks):
        n = track.stop - track.start
        assert track.track_id == number
        assert any(first <= track.start < track.stop <= stop for first, stop in faces.shots)
        measured = (track.boxes, track.landmarks, track.pose, track.sharpness, track.flip_error, track.opening)
        assert [values.shape for values in measured] == [(n, 4), (n, 3, 2), (n, 3), (n,), (n,), (n,)]
        assert track.visible[0]
        assert track.visible[-1]
        for values in measured:
            assert values.dtype == np.float32
            assert np.isfinite(values[track.visible]).all()
            assert np.isnan(values[~track.visible]).all()
        boxes = track.boxes[track.visible]
        assert (boxes[:, :2] < boxes[:, 2:]).all()
        assert (np.abs(track.pose[track.visible]) <= 180).all()
        assert ((track.sharpness >= 0) & (track.sharpness <= 1))[track.visible].all()
        assert (track.flip_error[track.visible] >= 0).all()
        assert (track.portrait.shape, track.portrait.dtype) == ((128, 128, 3), np.uint8)
        assert track.embedding is None or np.isfinite(track.embedding).all()
    for frame in range(count):
        there = [track for track in faces.tracks if track.start <= frame < track.stop]
        boxes = [track.boxes[frame - track.start] for track in there if track.visible[frame - track.start]]
        for place, box in enumerate(boxes):
            assert all(iou(box, other) <= MOST_COMMON for other in boxes[:place])
        people = [track.person for track in there]
        assert len(set(people)) == len(people)
    assert set(faces.chosen) <= set(range(len(faces.tracks)))
    assert len(faces.path.visible) == count


def check_if_any(clip: Clip, options: FaceOptions | None = None) -> None:
    """The same, unless the clip is refused for showing no face."""
    try:
        faces = track_faces(clip, options)
    except FaceError:
        return
    check(faces)


@st.composite
def frames(draw):
    """A few shots of a few frames: faces of any size anywhere, also over the border; black, white or noise behind."""
    width, height = draw(st.sampled_from([(1, 1), (2, 2), (2, 90), (61, 47), (160, 90), (120, 161), (240, 135)]))
    shown = []
    for _ in range(draw(st.integers(1, 3))):
        behind = draw(st.sampled_from(["black", "white", "grey", "noise"]))
        faces = draw(
            st.lists(
                st.tuples(
                    st.floats(-0.3, 1), st.floats(-0.3, 1), st.floats(0.1, 1.6), st.integers(-12, 12), st.booleans()
                ),
                max_size=2,
            )
        )
        gaps = draw(st.sets(st.integers(0, 5), max_size=2))
        for step in range(draw(st.integers(1, 5))):
            frame = torch.full((height, width, 3), {"black": 0.0, "white": 1.0}.get(behind, 0.4))
            if behind == "noise":
                frame = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(len(shown)))
            for x, y, size, speed, lying in faces:
                if step not in gaps:
                    _put(frame, x * width + speed * step, y * height, size * height, lying=lying)
            shown.append(frame)
    return torch.stack(shown)


def _put(frame: torch.Tensor, x: float, y: float, size: float, *, lying: bool) -> None:
    face = astronaut.resized(FACE, max(round(size * 1.06), 1), max(round(size), 1))
    if lying:
        face = torch.rot90(face).contiguous()
    x, y = round(x), round(y)
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + face.shape[1], frame.shape[1]), min(y + face.shape[0], frame.shape[0])
    if x0 < x1 and y0 < y1:
        frame[y0:y1, x0:x1] = face[y0 - y : y1 - y, x0 - x : x1 - x]


ANY_CLIP = (frames(), st.sampled_from([Fraction(1), Fraction(2), Fraction(8, 9)]), st.integers(1, 8), st.integers(0, 3))
FIXED = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@settings(FIXED, max_examples=6)
@given(*ANY_CLIP)
def test_any_sequence_of_pictures_gives_sound_tracks_or_one_sentence(pictures, aspect, search_interval, max_gap):
    options = FaceOptions(min_size=24, search_interval=search_interval, max_gap=max_gap)
    check_if_any(astronaut.clip_of(pictures, aspect), options)


@pytest.mark.slow
@settings(FIXED, max_examples=12)
@given(*ANY_CLIP)
def test_many_sequences_of_pictures_give_sound_tracks_or_one_sentence(pictures, aspect, search_interval, max_gap):
    """Quick: test_any_sequence_of_pictures_gives_sound_tracks_or_one_sentence."""
    options = FaceOptions(min_size=24, search_interval=search_interval, max_gap=max_gap)
    check_if_any(astronaut.clip_of(pictures, aspect), options)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -7.0, 1e30])
def test_pictures_of_numbers_that_are_no_colours_are_no_faces_or_sound_ones(wrong):
    pictures = astronaut.resized(astronaut.picture(), 128, 128).repeat(2, 1, 1, 1)
    pictures[0, 40:, 30:] = wrong
    check_if_any(astronaut.clip_of(pictures))


@pytest.mark.parametrize(
    ("rotation", "pixel_format", "aspect", "size"),
    [(0, "yuv420p", "1", (150, 130)), (90, "yuv420p10le", "4/3", (150, 130)), (180, "yuv422p", "1", (150, 131)),
     (270, "yuv444p", "1/2", (300, 130))],
)  # fmt: skip
def test_in_files_of_any_kind_faces_lie_where_they_are_displayed(tmp_path, rotation, pixel_format, aspect, size):
    path = tmp_path / "plain.mkv"
    filters = f"crop=300:260:100:0,scale={size[0]}:{size[1]},setsar={aspect},format={pixel_format}"
    args = ["-y", "-loop", "1", "-i", str(astronaut.PATH), "-vf", filters, "-frames:v", "3", "-c:v", "ffv1"]
    run_ffmpeg([*args, str(path)], error=FaceError, what="making a test clip")
    if rotation:
        turned = tmp_path / "turned.mov"
        args = [
            "-y",
            "-i",
            str(path),
            "-c:v",
            "libx264",
            "-qp",
            "2",
            "-preset",
            "ultrafast",
            str(tmp_path / "h264.mov"),
        ]
        run_ffmpeg(args, error=FaceError, what="making a test clip")
        args = ["-y", "-display_rotation", str(360 - rotation), "-i", str(tmp_path / "h264.mov"), "-c", "copy"]
        run_ffmpeg([*args, str(turned)], error=FaceError, what="turning a test clip")
        path = turned
    clip = probe(path)
    faces = track_faces(clip)
    check(faces)
    with FrameReader(clip, 0, 1) as reader:
        shown = next(iter(reader)).rgb().permute(1, 2, 0).contiguous()  # as displayed
    same = track_faces(astronaut.clip_of(shown[None], clip.sample_aspect))
    assert len(faces.tracks) == len(same.tracks) == 1
    away = np.abs(faces.tracks[0].landmarks[0] - same.tracks[0].landmarks[0])
    assert away.max() < 0.02 * max(size)
