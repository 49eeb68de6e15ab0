"""Faces kept on disk come back as they were, belong to one content of a clip, and a spoilt file is looked for again."""

import dataclasses
import io
import zipfile

import numpy as np
import pytest

from latentsync_core.errors import OutputError
from latentsync_core.faces.alignment.align_options import AlignOptions
from latentsync_core.faces.cache import SUFFIX, cached_faces, read_faces, write_faces
from latentsync_core.faces.face_options import FaceOptions
from latentsync_core.faces.find import cache_request
from latentsync_core.faces.keyframes.marks import Mark
from latentsync_core.faces.limits import TouchLimits
from latentsync_core.video.reading.probing import probe
from tests.clips import make_clip
from tests.made_faces import empty_clip, made_faces, make_track

ALIGN, LIMITS = AlignOptions(scale=1.1), TouchLimits(fade_frames=2)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return probe(make_clip(tmp_path_factory.mktemp("clip") / "a.mp4", frames=30))


@pytest.fixture
def faces(clip):
    embedding = np.random.default_rng(0).normal(size=128).astype(np.float32)
    tracks = [
        make_track(0, 0, 12, gap=range(4, 7), embedding=embedding),
        make_track(1, 12, 30, person=1, yaw=30, by_hand=True),
    ]
    return dataclasses.replace(made_faces(clip, tracks, ((0, 12), (12, 30))), align=ALIGN, limits=LIMITS)


def test_what_is_read_is_what_was_written(faces, clip, tmp_path):
    write_faces(faces, tmp_path / "x.npz")
    again = read_faces(tmp_path / "x.npz", clip, ALIGN, LIMITS)
    assert again.shots == faces.shots
    assert (again.align, again.limits) == (ALIGN, LIMITS)
    for one, other in zip(again.tracks, faces.tracks, strict=True):
        for field in dataclasses.fields(one):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_a_second_run_looks_for_nothing(faces, clip, tmp_path):
    calls = []

    def prepare():
        calls.append(1)
        return faces

    for _ in range(2):
        found = cached_faces(clip, "options", tmp_path, ALIGN, LIMITS, prepare)
    assert len(calls) == 1
    assert len(found.tracks) == 2
    cached_faces(clip, "other options", tmp_path, ALIGN, LIMITS, prepare)
    cached_faces(clip.subclip(0, 20), "options", tmp_path, ALIGN, LIMITS, lambda: prepare())
    assert len(calls) == 3
    cached_faces(clip, "options", None, ALIGN, LIMITS, prepare)
    cached_faces(empty_clip(30), "options", tmp_path, ALIGN, LIMITS, prepare)
    assert len(calls) == 5
    assert len(list(tmp_path.iterdir())) == 3


def test_another_part_of_the_clip_has_faces_of_its_own(clip, tmp_path):
    """Parts of one length, so that only their first frames differ."""
    prepared = []

    def prepare_for(first):
        prepared.append(first)
        return made_faces(part, [make_track(0, 0, 10, box=(first, 10, first + 30, 44))])

    for first in (0, 10, 0, 10):
        part = clip.subclip(first, first + 10)
        found = cached_faces(part, "options", tmp_path, ALIGN, LIMITS, lambda first=first: prepare_for(first))
        assert found.tracks[0].boxes[0, 0] == first
    assert prepared == [0, 10]


@pytest.mark.parametrize("damage", ["cut", "text", "frames", "shape", "place", "pickle"])
def test_a_spoilt_file_is_not_trusted(faces, clip, tmp_path, damage, caplog):
    path = tmp_path / f"x{SUFFIX}"
    write_faces(faces, path)
    arrays = dict(np.load(path))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:500])
    elif damage == "text":
        path.write_text("no faces")
    else:
        if damage == "frames":
            arrays["tracks"][1, 1] = 31
        elif damage == "shape":
            arrays["boxes"] = arrays["boxes"][:, :3]
        elif damage == "place":
            arrays["landmarks"][0] = np.nan
        elif damage == "pickle":
            arrays["pose"] = np.array([{}], dtype=object)
        with path.open("wb") as file:
            np.savez(file, **arrays)
    assert read_faces(path, clip, ALIGN, LIMITS) is None
    assert "are detected again" in caplog.text


def test_a_folder_that_cannot_be_written_to_is_said(faces, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't save the faces"):
        write_faces(faces, tmp_path / "file" / "x.npz")


def test_a_file_that_claims_more_than_it_holds_is_looked_for_again(faces, clip, tmp_path):
    path = tmp_path / "x.npz"
    for shape in ((10**13,), (3 * 10**9, 4), (2**62, 2**62)):
        write_faces(faces, path)
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: archive.read(member) for member in archive.infolist()}
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        members["boxes.npy"] = header.getvalue()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        assert read_faces(path, clip, ALIGN, LIMITS) is None


def test_kept_faces_of_earlier_versions_stay_valid(faces, clip, tmp_path):
    """Files with the columns of the first version are read, and keys are the same, whatever is renamed now."""
    path = tmp_path / "kept.npz"
    write_faces(faces, path)
    with np.load(path) as file:
        arrays = dict(file)
    assert set(arrays) == {
        "tracks", "shots", "boxes", "landmarks", "visible", "pose", "sharpness", "flip_error", "opening", "portrait",
        "embedding",
    }  # fmt: skip
    arrays["doubt"] = arrays.pop("flip_error")
    del arrays["opening"]
    np.savez(path, **arrays)
    kept = read_faces(path, clip, ALIGN, LIMITS)
    for before, after in zip(faces.tracks, kept.tracks, strict=True):
        assert np.array_equal(before.flip_error.astype(np.float32), after.flip_error, equal_nan=True)
        assert np.isnan(after.opening).all(), "the earlier file doesn't tell"
    del arrays["doubt"]
    np.savez(path, **arrays)
    assert read_faces(path, clip, ALIGN, LIMITS) is None, "neither name is there"
    marks = (Mark(frame=0, box=(10.0, 20.0, 100.0, 140.0), points=None, face=0),)
    assert cache_request(FaceOptions(min_size=24, search_interval=3), marks) == (
        "(FaceOptions(detector_score=0.5, presence=0.5, smallest=24, longest_gap=5, search_every=3), "
        "(Mark(frame=0, box=(10.0, 20.0, 100.0, 140.0), points=None, face=0),))"
    )
