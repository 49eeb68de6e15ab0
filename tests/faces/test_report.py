"""The report says of every frame what became of it: as text, as data and as a picture."""

import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest
import torch

from latentsync_core.faces.contact_sheets import people_sheet
from latentsync_core.faces.limits import Outcome, TouchLimits
from latentsync_core.faces.report import (
    OUTCOME_COLOURS,
    PAUSE_COLOUR,
    SPEECH_COLOUR,
    outcome_runs,
    report_data,
    report_text,
    timeline_picture,
)
from latentsync_core.faces.selection import ChooseBy, FaceChoice, choose
from tests.made_faces import empty_clip, made_faces, make_track


@pytest.fixture(scope="module")
def faces():
    """20 frames synced, 10 of somebody else, 20 of which the last 8 are turned away, 10 without anybody.

    The pose is averaged over five frames: at the first that is turned by 80 degrees it is 48 yet.
    """
    yaw = np.where(np.arange(20) < 12, 0.0, 80.0)
    tracks = [make_track(0, 0, 20), make_track(1, 20, 30, person=1), make_track(2, 30, 50, yaw=yaw)]
    shots = ((0, 20), (20, 30), (30, 60))
    return made_faces(empty_clip(60), tracks, shots, TouchLimits(max_yaw=55, min_size=0, fade_frames=2), chosen=(0, 2))


def test_the_stretches_cover_the_clip_without_a_gap(faces):
    found = outcome_runs(faces)
    assert found[0].first == 0
    assert found[-1].stop == 60
    assert all(one.stop == other.first for one, other in pairwise(found))
    assert [(one.first, one.outcome, one.track) for one in found if one.outcome is not Outcome.FADED] == [
        (0, Outcome.SYNCED, 0),
        (20, Outcome.NOT_CHOSEN, -1),
        (30, Outcome.SYNCED, 2),
        (43, Outcome.TURNED_AWAY, 2),
        (50, Outcome.NO_FACE, -1),
    ]


def test_the_data_is_plain_json_and_its_counts_add_up(faces):
    data = json.loads(json.dumps(report_data(faces)))
    assert sum(data["counts"].values()) == 60
    assert data["counts"]["turned too far"] == 7
    assert data["shots"] == [[0, 20], [20, 30], [30, 60]]
    assert [track["shot"] for track in data["tracks"]] == [0, 1, 2]
    assert all(len(track["flip_error"]) == 3 for track in data["tracks"])
    assert [track["chosen"] for track in data["tracks"]] == [True, False, True]
    assert data["people"] == 2
    assert data["frame_ranges"][0] == {"frames": [0, 20], "outcome": "synced", "track": 0}


def test_the_text_says_where_and_why_frames_pass_through(faces):
    lines = report_text(faces).splitlines()
    assert lines[0] == "33 of 60 frames synced; 3 shots, 3 tracks, 2 people"
    assert lines[1] == "frames 20 to 29 (0.80 s) pass through: no chosen face"
    assert lines[2] == "frames 43 to 49 (1.72 s) pass through: turned too far"
    assert lines[3] == "frames 50 to 59 (2.00 s) pass through: no face"
    assert len(lines) == 4


def test_a_long_report_is_cut_short_with_the_number_of_the_rest():
    tracks = [make_track(n, 4 * n, 4 * n + 2) for n in range(60)]
    text = report_text(made_faces(empty_clip(240), tracks, chosen=tuple(range(60))))
    assert text.splitlines()[-1] == "and 20 more ranges"


def test_the_picture_shows_each_outcome_at_its_time(faces):
    picture = timeline_picture(faces)
    assert picture.shape[0] == 3
    levels = (picture * 255).round().permute(1, 2, 0).int()

    def share_of(colour, left, right):
        width = levels.shape[1] - 126
        part = levels[:, 120 + int(left * width) + 4 : 120 + int(right * width) - 4]
        return float((part == torch.tensor(colour, dtype=torch.int32)).all(-1).any(0).float().mean())

    assert share_of(OUTCOME_COLOURS[Outcome.SYNCED], 0, 1 / 3) > 0.95
    assert share_of(OUTCOME_COLOURS[Outcome.TURNED_AWAY], 43 / 60, 50 / 60) > 0.95
    assert share_of(OUTCOME_COLOURS[Outcome.TURNED_AWAY], 0.4, 0.6) < 0.1
    assert timeline_picture([faces, faces]).shape[1] > picture.shape[1]


def test_the_picture_shows_where_the_voice_speaks(faces):
    """In the lower half of a row, which its name doesn't reach."""
    count, plain = faces.clip.frame_count, timeline_picture(faces)
    speech = np.ones(count, np.float32)
    speech[count // 2 :] = 0
    levels = (timeline_picture(faces, speech) * 255).round().permute(1, 2, 0).int().numpy()
    assert len(levels) > plain.shape[1]
    row = levels[plain.shape[1] - 28 + 14]  # where the legend of the plain picture was
    middle = 120 + (levels.shape[1] - 126) // 2
    assert (row[124 : middle - 4] == SPEECH_COLOUR).all(-1).mean() > 0.98  # all but the lines of the cuts
    assert (row[middle + 4 : -10] == PAUSE_COLOUR).all(-1).mean() > 0.98


def test_the_sheet_shows_synced_people_bright_and_others_dim():
    clip = empty_clip(30)
    white = np.full((128, 128, 3), 200, np.uint8)
    tracks = [dataclasses.replace(make_track(n, 10 * n, 10 * n + 10, person=n), portrait=white) for n in range(3)]
    sheet = people_sheet(made_faces(clip, tracks, chosen=(1,)))
    middles = [float(sheet[:, 72, 72 + 144 * column].mean()) for column in range(3)]
    assert middles[1] > 0.75
    assert max(middles[0], middles[2]) < 0.3


def test_the_letter_on_a_card_is_that_of_the_number_that_chooses_that_person():
    """Workflows hold the numbers: a sheet that called another person A than number 0 would mislead."""
    tracks = [make_track(n, 10 * n, 10 * n + 10, person=n) for n in range(3)]
    faces = made_faces(empty_clip(30), tracks, ((0, 10), (10, 20), (20, 30)))
    for person in range(3):
        sheet = people_sheet(choose(faces, FaceChoice(ChooseBy.INDEX, person=person)))
        bright = [float(sheet[1, 1, 144 * column + 72]) > 0.8 for column in range(3)]  # the line around a card
        assert bright == [column == person for column in range(3)]
        caption = sheet[:, 144:158, 144 * person + 6 : 144 * (person + 1)]
        assert torch.equal(caption, written(f"person {'ABC'[person]}  track {person}", caption))


def written(text: str, like: torch.Tensor) -> torch.Tensor:
    """The text as a card's caption, in a picture of that size."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (like.shape[2], like.shape[1]), (24, 24, 28))
    ImageDraw.Draw(picture).text((0, 0), text, fill=(235, 235, 235))
    return torch.from_numpy(np.asarray(picture, np.float32) / 255).permute(2, 0, 1)
