"""What a finished job reports: how much was synced, where not and why, what was cut, left out or converted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from latentsync_core.audio.features import AudioEmbedding
from latentsync_core.audio.pause_options import PauseBehaviour
from latentsync_core.audio.source import AudioSource, load_audio
from latentsync_core.compositing.notes import MAX_LINES, job_notes, outcome_notes
from latentsync_core.faces.limits import Outcome
from latentsync_core.messages import Note, NoteLevel, Remedy
from latentsync_core.sampling.synced_faces import SyncedFaces
from latentsync_core.video.reading.probing import clip_from_images
from tests.synced_faces import synced_faces

FRAMES, FPS, RATE = 10, 25, 16000


def voice(seconds: float, *notes: Note) -> AudioSource:
    source = load_audio({"waveform": torch.zeros(1, 1, round(seconds * RATE)), "sample_rate": RATE})
    return replace(source, notes=notes)


def synced(seconds: float = FRAMES / FPS, *notes: Note, without_face: tuple[int, ...] = ()) -> SyncedFaces:
    """Ten frames driven by a voice of so many seconds."""
    one = synced_faces(clip_from_images(torch.rand(FRAMES, 48, 64, 3), FPS), without_face)
    source = voice(seconds, *notes)
    return replace(one, audio=AudioEmbedding(torch.zeros(1, 5, 384), source.duration, source.digest, source))


def nothing_occluded() -> np.ndarray:
    return np.zeros(FRAMES, bool)


def facts(notes: tuple[Note, ...]) -> list[str]:
    return [note.fact for note in notes]


def outcomes(one: SyncedFaces, values: list[Outcome]) -> SyncedFaces:
    """The same with these outcomes of its frames."""
    faces = one.faces
    faces.__dict__["path"] = replace(faces.path, outcome=np.array(values, np.uint8))
    return one


def test_a_face_far_larger_than_the_model_draws_it_is_mentioned_once():
    one = synced()
    transforms = np.tile(np.float32([[0.25, 0, 3], [0, 0.25, 5]]), (FRAMES, 1, 1))
    transforms[3] = np.nan
    large = replace(one, transforms=transforms)
    expected = f"up to {4 * one.resolution} pixels wide, the model generates {one.resolution}"
    assert [expected in fact for fact in facts(job_notes([large, large], ()))] == [True]
    small = replace(one, transforms=transforms * np.float32(3))
    assert not any("generates" in fact for fact in facts(job_notes([small], ())))


def test_all_frames_are_counted():
    notes = outcome_notes([outcomes(synced(), [Outcome.SYNCED] * FRAMES)], nothing_occluded())
    assert notes == (Note("10 of 10 frames synced"),)


def test_a_range_that_passed_through_has_its_reason():
    values = [Outcome.SYNCED] * 4 + [Outcome.TURNED_AWAY] * 2 + [Outcome.FADED] * 3 + [Outcome.NO_FACE]
    notes = outcome_notes([outcomes(synced(without_face=(4, 5, 9)), values)], nothing_occluded())
    assert facts(notes) == [
        "7 of 10 frames synced",
        "frames 4 to 5 passed through: turned too far",
        "frame 9 passed through: no face",
    ]


def test_a_job_that_synced_nothing_is_a_warning():
    notes = outcome_notes([synced(without_face=tuple(range(FRAMES)))], nothing_occluded())
    assert notes[0] == Note("0 of 10 frames synced", NoteLevel.WARNING)


def test_each_of_two_speakers_has_ranges_of_their_own():
    one = outcomes(synced(without_face=(0,)), [Outcome.NO_FACE] + [Outcome.SYNCED] * 9)
    other = outcomes(synced(without_face=(9,)), [Outcome.SYNCED] * 9 + [Outcome.NOT_CHOSEN])
    assert facts(outcome_notes([one, other], nothing_occluded())) == [
        "10 of 10 frames synced",
        "speaker 1: frame 0 passed through: no face",
        "speaker 2: frame 9 passed through: no chosen face",
    ]


def test_an_occluded_mouth_is_reported():
    occluded = nothing_occluded()
    occluded[2:5] = True
    notes = outcome_notes([outcomes(synced(), [Outcome.SYNCED] * FRAMES)], occluded)
    assert facts(notes)[1:] == ["frames 2 to 4: an object in front of a mouth was left unchanged"]


def test_endless_ranges_are_counted_after_a_while():
    frames = 4 * MAX_LINES
    clip = clip_from_images(torch.rand(frames, 48, 64, 3), FPS)
    one = outcomes(synced_faces(clip), [Outcome.SYNCED, Outcome.BLURRED] * (frames // 2))
    listed = facts(outcome_notes([one], np.zeros(frames, bool)))
    assert len(listed) == MAX_LINES + 2
    assert listed[-1] == f"and {frames // 2 - MAX_LINES} more ranges"


@pytest.mark.parametrize(("seconds", "is_cut"), [(0.2, False), (0.4, False), (0.44, False), (0.5, True), (3.0, True)])
def test_a_voice_that_goes_on_after_the_last_frame_is_a_warning_with_a_way_out(seconds, is_cut):
    notes = job_notes([synced(seconds)], [])
    assert bool(notes) == is_cut
    for note in notes:
        assert (note.level, note.remedies) == (NoteLevel.WARNING, (Remedy.KEEP_WHOLE_VOICE,))
        assert note.fact == f"the voice lasts {seconds:.2f} s, the clip 0.40 s: the voice was cut"


def test_the_longest_of_several_voices_counts():
    assert "lasts 2.00 s" in str(job_notes([synced(0.4), synced(2.0)], [])[0])


def test_notes_of_clip_voices_mix_and_writers_come_once_each():
    used, mixed, converted = (Note(fact) for fact in ("track 2 is used", "mixed down", "converted"))
    one = synced(0.4, used)
    one = replace(one, faces=replace(one.faces, clip=replace(one.faces.clip, notes=(used,))))
    assert job_notes([one, synced(0.4, used)], [converted, converted], voice(0.4, mixed)) == (used, mixed, converted)


def paused(share: int, behaviour: PauseBehaviour) -> SyncedFaces:
    """Ten frames, of which the first `share` lie in a pause of the voice."""
    one, speech = synced(), np.float32([0] * share + [0.5] + [1] * 9)[:FRAMES]
    blend = one.blend * speech if behaviour is PauseBehaviour.ORIGINAL else one.blend
    return replace(one, pauses=behaviour, speech=speech, blend=blend)


def test_pauses_are_counted_where_they_decide_what_the_mouth_does():
    closed, filmed = (paused(4, one) for one in (PauseBehaviour.CLOSED, PauseBehaviour.ORIGINAL))
    assert facts(job_notes([closed], ())) == ["the voice pauses in 4 of 10 frames: silence drives the mouth there"]
    assert facts(job_notes([synced(), filmed], ())) == [
        "speaker 2's voice pauses in 4 of 10 frames: the filmed mouth shows there"
    ]
    assert facts(outcome_notes([filmed], nothing_occluded()))[0] == "6 of 10 frames synced"
    assert facts(outcome_notes([closed], nothing_occluded()))[0] == "10 of 10 frames synced"


def test_a_voice_that_never_speaks_is_a_warning():
    (note,) = job_notes([paused(FRAMES, PauseBehaviour.CLOSED)], ())
    assert note.level is NoteLevel.WARNING
