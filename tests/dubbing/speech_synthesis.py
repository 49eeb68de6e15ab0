"""English speech made offline, by hibari-tts where it is installed, otherwise by espeak-ng.

``python -m tests.dubbing.speech_synthesis TEXT OUT.npz`` writes samples and rate, for a process with another Python.
"""

from __future__ import annotations

import sys

import numpy as np

from training.synthetic.speech.espeak import RATE, speak

ESPEAK_VOICE = "en-us+f3"
HIBARI_RATE = 24000  # Hz


def speak_english(text: str) -> tuple[np.ndarray, int, str]:
    """(n,) float32 samples, their rate in Hz, and what spoke them.

    Raises:
        ToolError: neither of the two is installed.
    """
    try:
        from hibari import Hibari
    except ImportError:
        return speak(text, ESPEAK_VOICE).samples, RATE, "espeak-ng"
    return np.asarray(Hibari()(text, seed=1), np.float32), HIBARI_RATE, "hibari-tts"


if __name__ == "__main__":
    samples, rate, _ = speak_english(sys.argv[1])
    np.savez(sys.argv[2], samples=samples, rate=rate)
