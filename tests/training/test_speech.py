"""Speech and the mouths that go with it: closures close, silences close, espeak-ng says the same each time."""

from fractions import Fraction

import av
import numpy as np
import pytest

from training.synthetic.scenes.clip_file import write_clip
from training.synthetic.scenes.scene import cuts, leaving, render, side_by_side, with_gap
from training.synthetic.speech.espeak import Phoneme, is_available, speak
from training.synthetic.speech.performance import (
    LANGUAGES,
    TEST_VOICES,
    TRAIN_VOICES,
    augment_audio,
    perform,
    sample_voice,
    sentences,
    to_16k,
)
from training.synthetic.speech.visemes import (
    IGNORED_SYMBOLS,
    LANGUAGE_CHANGE,
    PHONE_ALIASES,
    TARGETS,
    Articulation,
    MouthMotion,
    split_phonemes,
)

needs_espeak = pytest.mark.skipif(
    not is_available(), reason="espeak-ng is not installed: pip install -r training/requirements.txt"
)
FRAME = 1 / 24  # seconds, of the slowest rate


def said(*sounds):
    """A motion from (symbol, length in seconds) pairs, and where each begins."""
    starts = np.concatenate([[0], np.cumsum([length for _, length in sounds])])
    phonemes = tuple(Phoneme(symbol, a, b) for (symbol, _), a, b in zip(sounds, starts[:-1], starts[1:], strict=True))
    return MouthMotion(split_phonemes(phonemes)), starts


@pytest.mark.parametrize("closure", ["p", "b", "m"])
def test_lips_meet_for_a_closure_however_short_and_at_any_frame_phase(closure):
    mouth, starts = said(("a", 0.15), (closure, 0.03), ("a", 0.15))
    middle = (starts[1] + starts[2]) / 2
    for phase in np.linspace(-FRAME / 2, FRAME / 2, 7):
        nearest = middle + phase
        frames = nearest + np.arange(-3, 4) * FRAME
        assert mouth.values(frames)[:, 0].min() == 0
    assert mouth.values(np.array([0.07, middle + 0.1]))[:, 0].min() > 0.1


def test_silence_closes_the_mouth_and_speech_opens_it_again():
    mouth, _ = said(("", 0.4), ("a", 0.2), ("", 0.4), ("o", 0.2), ("", 0.3))
    opening = mouth.values(np.array([0.2, 0.5, 0.8, 1.1, 1.4]))[:, 0]
    assert opening[[0, 2, 4]].max() == 0
    assert opening[[1, 3]].min() > 0.08


def test_vowels_differ_as_lips_do():
    values = {key: said(("t", 0.05), (key, 0.2), ("t", 0.05))[0].values(np.array([0.15]))[0] for key in "aiuo"}
    assert values["a"][0] > values["o"][0] > values["u"][0]
    assert values["i"][2] > values["a"][2] > values["o"][2] > values["u"][2]
    assert values["u"][3] > 0.8
    assert values["i"][3] < 0.1


def test_teeth_show_in_s_the_tongue_in_th_and_lips_press_in_p():
    def shape(key):
        return said(("a", 0.1), (key, 0.12), ("a", 0.1))[0](np.array([0.16]))[0]

    assert shape("s").upper_teeth > 0.7
    assert shape("s").lower_teeth > 0.5
    assert shape("u").upper_teeth < 0.2
    assert shape("θ").tongue > 0.7
    assert shape("p").press > 0.6
    assert shape("a").press < 0.05


def test_a_sound_is_coloured_by_its_neighbours():
    round_, _ = said(("u", 0.15), ("t", 0.06), ("u", 0.15))
    spread, _ = said(("i", 0.15), ("t", 0.06), ("i", 0.15))
    assert spread.values(np.array([0.18]))[0, 2] - round_.values(np.array([0.18]))[0, 2] > 0.15


def test_the_mouth_moves_smoothly():
    mouth, starts = said(*((key, 0.09) for key in "hatiskomputobiɹd"))
    opening = mouth.values(np.arange(0, starts[-1], 0.002))[:, 0]
    assert np.abs(np.diff(opening)).max() < 0.03
    assert opening.max() < 0.45


def test_a_large_manner_opens_wider():
    sounds = split_phonemes((Phoneme("a", 0, 0.2),))
    small, large = (MouthMotion(sounds, Articulation(size=size)).values(np.array([0.1]))[0, 0] for size in (0.8, 1.4))
    assert large == pytest.approx(small * 1.4 / 0.8)


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_each_language_has_its_sentences_split_without_overlap(language):
    train, test = sentences(language, "train"), sentences(language, "test")
    assert len(train) + len(test) >= 60
    assert len(test) >= 12
    assert not set(train) & set(test)
    assert not set(TRAIN_VOICES) & set(TEST_VOICES)


def test_resampling_keeps_a_tones_pitch_and_place():
    time = np.arange(22050) / 22050
    tone = np.sin(2 * np.pi * 440 * time) * np.hanning(22050)
    out = to_16k(tone.astype(np.float32))
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) * np.interp(
        np.arange(16000) / 16000, time, np.hanning(22050)
    )
    assert len(out) == 16000
    assert np.abs(out - expected).max() < 1e-3


def test_variations_of_the_sound_stay_in_place():
    rng = np.random.default_rng(0)
    click = np.zeros(16000, np.float32)
    click[8000:8200] = rng.standard_normal(200) * 0.3
    for seed in range(8):
        augmented = augment_audio(click, seed)
        assert np.array_equal(augmented, augment_audio(click, seed))
        shift = np.argmax(np.correlate(augmented[7000:9500], click[8000:8200], "valid")) - 1000
        assert abs(shift) <= 1


@needs_espeak
def test_speaking_again_gives_the_same_samples_whatever_was_spoken_between():
    first = speak("Hello, my friend.", "en-us+f3")
    speak("Bonjour, ça va ?", "fr+m3")
    again = speak("Hello, my friend.", "en-us+f3")
    assert np.array_equal(first.samples, again.samples)
    assert first.phonemes == again.phonemes
    assert first.phonemes[-1].end == pytest.approx(len(first.samples) / 22050)


@needs_espeak
@pytest.mark.parametrize("language", list(LANGUAGES))
def test_every_sound_of_a_language_has_a_mouth(language):
    text = " ".join(sentences(language, "test"))
    spoken = speak(text, LANGUAGES[language][0]).phonemes
    letters = {c for phoneme in spoken for c in LANGUAGE_CHANGE.sub("", phoneme.symbol)}
    assert len(letters) > 20
    assert not {c for c in letters if c not in IGNORED_SYMBOLS and PHONE_ALIASES.get(c, c) not in TARGETS}


@needs_espeak
@pytest.mark.parametrize("language", list(LANGUAGES))
def test_a_performance_pauses_enough_and_is_quiet_where_the_mouth_is_shut(language):
    performance = perform(5, sample_voice(5, language, "test"), 6.0, "test", augmented=False)
    assert len(performance.waveform) == 96000
    assert performance.pause_share >= 0.15
    quiet = np.concatenate(
        [
            performance.waveform[int(a * 16000) + 800 : int(b * 16000) - 800]
            for a, b in performance.mouth.silences
            if b - a > 0.2
        ]
    )
    assert np.sqrt(np.mean(quiet**2)) < 0.02 * np.abs(performance.waveform).max()
    inside = performance.mouth.silences.mean(1)
    assert performance.mouth.values(inside)[:, 0].max() == 0
    assert all(sentence in sentences(language, "test") for sentence in performance.sentences)


@needs_espeak
def test_cuts_gaps_and_exits_are_where_the_scene_says():
    cut = cuts(1, (4, 5, 3), size=(96, 64))
    truths = [truth for _, truth in render(cut)]
    assert [truth.shot for truth in truths] == [0] * 4 + [1] * 5 + [2] * 3
    assert truths[0].faces[0].seed == truths[-1].faces[0].seed != truths[5].faces[0].seed
    gap = [len(truth.faces) for _, truth in render(with_gap(2, (3, 2, 3), size=(96, 64)))]
    assert gap == [1, 1, 1, 0, 0, 1, 1, 1]
    exit_ = [truth.faces[0].box for _, truth in render(leaving(3, 0.8, size=(96, 64)))]
    assert exit_[0][2] < 96
    assert exit_[-1][0] > 96


@needs_espeak
def test_two_speakers_take_turns():
    truths = [truth for _, truth in render(side_by_side(4, 3.0, size=(96, 54)))]
    openings = np.array([[face.opening for face in truth.faces] for truth in truths])
    half = len(truths) // 2
    assert openings[: half - 2, 0].max() > 0.05
    assert openings[half + 3 :, 1].max() > 0.05
    assert openings[half + 3 :, 0].max() == 0
    assert openings[: half - 3, 1].max() == 0


@needs_espeak
def test_a_written_clip_holds_every_frame_at_its_rate_with_sound(tmp_path):
    scene = cuts(1, (5, 4), fps=Fraction(24000, 1001), size=(96, 64))
    truths = write_clip(scene, tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as file:
        video = file.streams.video[0]
        assert video.average_rate == Fraction(24000, 1001)
        assert len(file.streams.audio) == 1
        assert sum(1 for _ in file.decode(video)) == len(truths) == 9
