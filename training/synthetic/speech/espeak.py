"""Speaks text through espeak-ng's shared library: samples, and when each phoneme begins and ends."""

from __future__ import annotations

import _ctypes
import ctypes
import ctypes.util
from dataclasses import dataclass

import numpy as np

from latentsync_core.errors import AudioError, ToolError

RATE = 22050  # samples a second that espeak-ng speaks with
_RETRIEVE, _PHONEME_EVENTS, _AS_IPA = 2, 1, 2  # espeak_AUDIO_OUTPUT, espeak_Initialize's options
_CHARACTER, _UTF8 = 1, 1
_EVENT_PHONEME = 7
_SPEED, _PITCH, _PITCH_RANGE = 1, 3, 4


@dataclass(frozen=True)
class Phoneme:
    """One sound: an IPA symbol with its marks (ˈ stress, ː length), "" for a pause; seconds."""

    symbol: str
    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Utterance:
    """What was spoken: (T,) float32 samples in -1..1 at RATE, and its phonemes in order without gaps."""

    samples: np.ndarray
    phonemes: tuple[Phoneme, ...]


def is_available() -> bool:
    """Whether espeak-ng's library is installed (the package espeakng-loader, or the system)."""
    try:
        _unload(_load())
    except ToolError:
        return False
    return True


def speak(text: str, voice: str, rate: int = 170, pitch: int = 50, pitch_range: int = 50) -> Utterance:
    """Speaks `text` with espeak-ng's `voice` ("fr", "en-gb+f3"); the same arguments give the same samples.

    Not for several threads at a time.

    Args:
        rate: words a minute, 80 to 450.
        pitch, pitch_range: 0 to 100.

    Raises:
        ToolError: espeak-ng isn't installed.
        AudioError: it has no such voice, or can't speak the text.
    """
    library = _load()
    try:
        return _speak(library, text, voice, {_SPEED: rate, _PITCH: pitch, _PITCH_RANGE: pitch_range})
    finally:
        _unload(library)


def _speak(library: ctypes.CDLL, text: str, voice: str, parameters: dict[int, int]) -> Utterance:
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise AudioError(f"espeak-ng has no voice {voice!r}; `espeak-ng --voices` lists those it has")
    for parameter, value in parameters.items():
        library.espeak_SetParameter(parameter, int(value), 0)
    library.espeak_ng_SetRandSeed(1)
    blocks: list[np.ndarray] = []
    events: list[tuple[int, str]] = []

    def collect(wave, count, event):
        if wave and count > 0:
            blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while event[index].type:
            if event[index].type == _EVENT_PHONEME:
                symbol = bytes(event[index].id.string).split(b"\0")[0].decode("utf-8", "ignore")
                events.append((event[index].sample, symbol))
            index += 1
        return 0

    callback = _CALLBACK(collect)
    library.espeak_SetSynthCallback(callback)
    encoded = text.encode()
    status = library.espeak_Synth(encoded, len(encoded) + 1, 0, _CHARACTER, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    if status != 0 or not blocks:
        raise AudioError(f"espeak-ng could not speak {text!r} with the voice {voice!r}: status {status}")
    samples = np.concatenate(blocks).astype(np.float32) / 32768
    starts = [0, *(sample for sample, _ in events), len(samples)]
    symbols = ["", *(symbol for _, symbol in events)]
    phonemes = [
        Phoneme(symbol, start / RATE, end / RATE)
        for symbol, start, end in zip(symbols, starts[:-1], starts[1:], strict=True)
        if end > start
    ]
    return Utterance(samples, tuple(phonemes))


class _Identifier(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def _load() -> ctypes.CDLL:
    """A fresh copy of the library. It keeps its oscillators' phases from one utterance to the next, even over its own
    termination; only unloading forgets them, and takes a millisecond."""
    try:
        import espeakng_loader

        path, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path().encode()
    except ImportError:
        path, data = ctypes.util.find_library("espeak-ng"), None
    if path is None:
        raise ToolError("espeak-ng was not found: install it with 'pip install espeakng-loader' (training only)")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as problem:
        raise ToolError(f"espeak-ng's library {path} can't be loaded: {problem}") from problem
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
        ctypes.c_void_p, ctypes.c_void_p,
    ]  # fmt: skip
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    if library.espeak_Initialize(_RETRIEVE, 0, data, _PHONEME_EVENTS | _AS_IPA) != RATE:
        raise ToolError(f"espeak-ng at {path} did not start with {RATE} samples a second: reinstall espeakng-loader")
    return library


def _unload(library: ctypes.CDLL) -> None:
    library.espeak_Terminate()
    release = getattr(_ctypes, "dlclose", None) or _ctypes.FreeLibrary  # the latter on Windows
    release(library._handle)
