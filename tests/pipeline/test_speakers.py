"""Two people, two voices, one clip: each mouth is drawn by its own voice, nothing else changes, and both are heard."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from latentsync_core.audio.source import load_audio
from latentsync_core.cli.commands import main
from latentsync_core.errors import OptionError
from latentsync_core.faces.find import find_faces
from latentsync_core.faces.selection import ChooseBy, FaceChoice, choose
from latentsync_core.faces.speaking import WhoSpeaks
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.pipeline import sync
from latentsync_core.sample_scene import HER_VOICE, HIS_VOICE, TWO_PEOPLE
from latentsync_core.sampling.sampler_options import SamplerOptions
from latentsync_core.sync_options import Speaker, SyncOptions
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.clips import part_of

START, END, CUT = 4.76, 5.04, 4  # seven frames, the cut before the fifth


@pytest.fixture(scope="module")
def model():
    return untrained_model(resolution=64)


@pytest.fixture(scope="module")
def options(model):
    return SyncOptions(
        model=model,
        sampler=SamplerOptions(steps=1, cfg=1.0),
        writer=WriterOptions(codec=Codec.FFV1),
        choice=FaceChoice(ChooseBy.INDEX, person=0),
        other_speakers=(Speaker(HIS_VOICE, FaceChoice(ChooseBy.POINT, point=(590, 200))),),
        start=START,
        end=END,
    )


@pytest.fixture(scope="module")
def dubbed(options, tmp_path_factory):
    return sync(TWO_PEOPLE, HER_VOICE, tmp_path_factory.mktemp("two") / "out.mkv", options)


def luma(path, start=0.0, end=None):
    with FrameReader(probe(path).trim(start, end)) as frames:
        return np.stack([frame.planes[0] for frame in frames]).astype(int)


def test_each_mouth_changes_in_its_own_shots_and_nothing_between_them(dubbed):
    before, after = luma(TWO_PEOPLE, START, END), luma(dubbed.output)
    changed = before != after
    assert changed[:CUT, :, :400].any((1, 2)).all(), "hers, on the left"
    assert changed[:CUT, :, 400:].any((1, 2)).all(), "his, on the right"
    assert changed[CUT:].any((1, 2)).all(), "hers alone"
    faces = find_faces(probe(TWO_PEOPLE).trim(START, END))
    inside = np.zeros_like(changed)
    for track in faces.tracks:
        for index, box in enumerate(track.boxes):
            size = (box[2:] - box[:2]).max()
            x0, y0, x1, y1 = np.concatenate([box[:2] - size / 2, box[2:] + size / 2]).round().astype(int).clip(0)
            inside[track.start + index, y0:y1, x0:x1] = True
    assert not (changed & ~inside).any()


def test_the_report_has_each_speakers_frames(dubbed):
    assert (dubbed.frames, dubbed.synced_frames, dubbed.passed_through) == (7, 7, ())
    hers, his = dubbed.faces
    assert hers["counts"] == {"synced": 7}
    assert his["counts"] == {"synced": CUT, "no chosen face": 7 - CUT}


def test_the_sound_is_both_voices(dubbed, tmp_path):
    sound = load_audio(dubbed.output).mono16k()
    both = load_audio(HER_VOICE).mono16k() + load_audio(HIS_VOICE).mono16k()
    count = min(len(sound), 4000)
    assert torch.allclose(sound[:count], both[:count], atol=2e-3)


def test_two_voices_for_one_person_are_refused_before_anything_is_drawn(options, tmp_path):
    same = dataclasses.replace(options, other_speakers=(Speaker(HIS_VOICE, FaceChoice()),))
    with pytest.raises(OptionError, match="two voices drive the same face"):
        sync(TWO_PEOPLE, HER_VOICE, tmp_path / "out.mkv", same)
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_over_the_same_clip_starts_drawing_at_once(options, tmp_path):
    clip = probe(TWO_PEOPLE).trim(START, END)
    told = []
    find_faces(clip, folder=tmp_path, on_progress=lambda done, total: told.append(done))
    assert told
    told.clear()
    faces = find_faces(clip, folder=tmp_path, on_progress=lambda done, total: told.append(done))
    assert told == []
    assert len(faces.tracks) == 3


def test_the_command_line_lists_faces_and_takes_speakers(tmp_path, capsys):
    clip = str(part_of(TWO_PEOPLE, tmp_path / "clip.mp4", 118, 8))  # the cut before its sixth frame
    folder = tmp_path / "listing"
    assert main(["faces", clip, "--out", str(folder), "--work-folder", str(tmp_path), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["people"] == 2
    assert {path.name for path in folder.iterdir()} == {"people.png", "timeline.png", "faces.json"}
    files = ["--video", clip, "--audio", str(HER_VOICE), "--out", str(tmp_path / "o.mp4")]
    few = ["--start", "0.08", "--end", "0.18", "--steps", "1", "--cfg", "1", "--model", "untrained", "--json"]
    # in these two frames he takes more room than she does, so he is person 0
    assert main(["sync", *files, *few, "--face", "left", "--speaker", f"person:0={HIS_VOICE}"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["faces"]) == 2
    assert main(["sync", *files, *few, "--face", "person:7"]) == 2
    assert "there is no person H (7); the clip has persons A to B (0 to 1)" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["sync", *files, "--face", "nobody"])
    assert "'nobody' names no face; write largest, frontal, left" in capsys.readouterr().err


def test_a_picture_of_one_of_them_chooses_that_one():
    """Out of another shot than the one that is searched."""
    clip = probe(TWO_PEOPLE)
    with FrameReader(clip, 60, 61) as frames:
        both = next(iter(frames)).rgb().permute(1, 2, 0)
    faces = find_faces(clip.trim(START, END))
    hers, his = (choose(faces, FaceChoice(ChooseBy.PICTURE), part) for part in (both[:, :400], both[:, 400:]))
    assert [faces.tracks[number].boxes[0, 0] < 400 for number in his.chosen] == [False]
    assert len(hers.chosen) == 2
    assert set(hers.chosen) | set(his.chosen) == {0, 1, 2}


def test_where_who_speaks_is_found_each_mouth_changes_only_in_its_turn(options, tmp_path):
    """In these two seconds of the scene she speaks on the left, and after a pause he does on the right."""
    auto = dataclasses.replace(
        options, choice=FaceChoice(), other_speakers=(),
        who_speaks=WhoSpeaks.AUTO, start=0.8, end=2.8,
    )  # fmt: skip
    phases = []
    report = sync(TWO_PEOPLE, HER_VOICE, tmp_path / "out.mkv", auto, lambda phase, *_: phases.append(phase))
    changed = luma(TWO_PEOPLE, 0.8, 2.8) != luma(report.output)
    hers, his = changed[:, :, :400].any((1, 2)), changed[:, :, 400:].any((1, 2))
    assert hers[3:20].all()
    assert not his[:20].any()
    assert his[40:-5].all()
    assert not hers[36:].any()
    (faces,) = report.faces
    speech = [one["person"] for one in faces["speech"] if one["frames"][1] - one["frames"][0] > 10]
    assert len(speech) == len(set(speech)) == 2
    assert None not in speech
    assert faces["counts"]["fading"] > 0
    assert list(dict.fromkeys(phases)) == ["faces", "speakers", "voice", "sampling", "compositing"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"other_speakers": (Speaker(HIS_VOICE),)}, "found for a single voice"),
        ({"choice": FaceChoice(ChooseBy.INDEX, person=1)}, "a face is chosen, and who speaks is to be found"),
    ],
)
def test_a_choice_besides_finding_who_speaks_is_refused(options, tmp_path, changes, message):
    auto = dataclasses.replace(options, choice=FaceChoice(), other_speakers=(), who_speaks=WhoSpeaks.AUTO)
    with pytest.raises(OptionError, match=message):
        sync(TWO_PEOPLE, HER_VOICE, tmp_path / "out.mkv", dataclasses.replace(auto, **changes))
