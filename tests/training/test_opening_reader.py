"""The reader of openings that the second stage learns by: it reads people it never saw, and a seed gives the same."""

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="training needs accelerate: pip install -r training/requirements.txt")

from training.stage2.opening_reader import load_or_train_opening_reader, train_opening_reader
from training.takes import Takes

from ..one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")
FRAMES = 6


@pytest.fixture(scope="module")
def drawn():
    """Twelve clips of a grey face whose mouth is a dark patch, the higher the further it is open."""
    rng = np.random.default_rng(0)
    openings = rng.uniform(0, 0.3, (12, FRAMES)).astype(np.float32)
    crops = np.full((12, FRAMES, 3, 128, 128), 170, np.uint8)
    for (clip, frame), opening in np.ndenumerate(openings):
        crops[clip, frame, :, 90 : 90 + round(100 * opening), 50:80] = 20
    return Takes(crops, openings, np.zeros((12, 10), np.int16))


def test_it_reads_clips_that_it_was_not_trained_on_and_repeats(drawn, caplog):
    with caplog.at_level("INFO"):
        train_opening_reader(drawn, steps=60)
    assert float(caplog.messages[-1].split("correlation ")[1].split()[0]) > 0.9
    once, again = (train_opening_reader(drawn, steps=2) for _ in range(2))
    pictures = torch.from_numpy(drawn.crops[0]).float() / 127.5 - 1
    assert torch.equal(once(pictures), again(pictures))


def test_it_is_trained_once_and_then_kept(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(train_opening_reader, "__defaults__", (0, 2))
    made = load_or_train_opening_reader(drawn, tmp_path)
    monkeypatch.setattr("training.stage2.opening_reader.train_opening_reader", None)
    kept = load_or_train_opening_reader(drawn, tmp_path)
    pictures = torch.from_numpy(drawn.crops[0]).float() / 127.5 - 1
    assert torch.equal(made(pictures), kept(pictures))
