"""The voice of each segment by itself: what drives it is the sound within it and a margin, and nothing beyond."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ...audio.features import TAIL_SILENCE_SECONDS, AudioEmbedding
from ...audio.pause_options import PauseBehaviour, PauseOptions
from ...audio.silenced import silence_pauses
from ...audio.source import AudioSource
from ...audio.speech_activity import SpeechActivity, detect_speech
from ...audio.speech_gate import SCORES_PER_SECOND
from ...media.sound_window import SoundWindow
from ...models.whisper.encoder import ROWS_PER_SECOND, WhisperEncoder
from ...models.whisper.log_mel import SAMPLE_RATE, measure_peak
from .segments import Segments

SAMPLES_PER_ROW = SAMPLE_RATE // ROWS_PER_SECOND
SCORES_PER_ROW = SCORES_PER_SECOND // ROWS_PER_SECOND
# Rows of sound on either side of a segment: a frame's window reaches 0.12 s ahead of it, Whisper's first layers 0.03 s.
MARGIN_ROWS = round(0.2 * ROWS_PER_SECOND)
# Log10 mel power of quiet speech. Whisper's dynamic range ends 8 below a recording's loudest value; a pause by itself,
# whose loudest value is that of its noise, would reach the network as much louder noise than beside speech.
LEAST_PEAK = 0.0


@dataclass(frozen=True)
class _Span:
    """The rows of a voice's features that a segment may need, 50 a second."""

    first: int
    stop: int

    @property
    def samples(self) -> tuple[int, int]:
        return self.first * SAMPLES_PER_ROW, self.stop * SAMPLES_PER_ROW


class SegmentVoice:
    """Whisper features of every segment, made when a window of it is sampled; one segment's are held.

    A segment's sound keeps its place in Whisper's 30 s, with silence before it: then its features are close to those of
    the whole voice (cosine similarity 0.98 on average of all layers), for they tell every row's place as well.
    """

    def __init__(
        self,
        source: AudioSource,
        encoder: WhisperEncoder,
        segments: Segments,
        times: np.ndarray,
        frame_seconds: float,
        pauses: PauseOptions,
        on_segment: Callable[[], None] | None = None,
    ) -> None:
        """
        Args:
            times: (F,) seconds of the output frames, rising.
            frame_seconds: how long the last one is shown.
            pauses: how pauses are found; what the mouth does in them is the segments'.
            on_segment: called for each segment when its sound was read; raising from it cancels.

        Raises:
            AudioError: the sound can't be read, or changed since it was loaded.
        """
        self._source, self._encoder, self._segments, self._pauses = source, encoder, segments, pauses
        ends = np.append(times[1:], times[-1] + frame_seconds)
        self._spans = [
            _Span(
                max(math.floor(times[one.start] * ROWS_PER_SECOND) - MARGIN_ROWS, 0),
                math.ceil(ends[one.stop - 1] * ROWS_PER_SECOND) + MARGIN_ROWS,
            )
            for one in segments.segments
        ]
        self._digests: list[str] = []
        self.speech = np.ones(len(times), np.float32)  # of frames, where pauses show the filmed mouth
        for number, sound in self._sounds(range(len(self._spans))):
            one, digest = segments.segments[number], hashlib.sha256(sound.numpy().tobytes())
            digest.update(f"{self._spans[number]} {encoder.digest} {encoder.dtype} {LEAST_PEAK}".encode())
            if one.pauses is PauseBehaviour.CLOSED:
                activity = self._activity(number, sound)
                digest.update(f"silenced by {activity.detector} {pauses}".encode())
            elif one.pauses is PauseBehaviour.ORIGINAL:
                frames = slice(one.start, one.stop)
                seconds = self._seconds_before(number)
                self.speech[frames] = self._activity(number, sound).weights(times[frames] - seconds, pauses)
            self._digests.append(digest.hexdigest())
            if on_segment:
                on_segment()
        self._number = -1
        self._embedding: AudioEmbedding | None = None
        self._upcoming: Iterator[tuple[int, torch.Tensor]] | None = None

    def digest_of(self, number: int) -> str:
        """What a segment's features are made from: its sound, its place in it, the encoder, and its silenced pauses."""
        return self._digests[number]

    def window(self, number: int, times: np.ndarray) -> torch.Tensor:
        """`AudioEmbedding.window` of frames of a segment; segments come in rising order."""
        if number != self._number or self._embedding is None:
            if self._upcoming is None:
                self._upcoming = self._sounds(range(number, len(self._spans)))
            sound = next(sound for upcoming, sound in self._upcoming if upcoming == number)
            self._number, self._embedding = number, self._embedded(number, sound)
        return self._embedding.window(times - self._seconds_before(number))

    def _seconds_before(self, number: int) -> float:
        """Seconds from the voice's begin to that of a segment's features."""
        return (self._spans[number].first - self._place(number)) / ROWS_PER_SECOND

    def _place(self, number: int) -> int:
        """The row of Whisper's 30 s at which a segment's sound begins."""
        span, context = self._spans[number], self._encoder.context
        tail = math.ceil(TAIL_SILENCE_SECONDS * ROWS_PER_SECOND)
        return max(min(span.first % context, context - tail - (span.stop - span.first)), 0)

    def _embedded(self, number: int, sound: torch.Tensor) -> AudioEmbedding:
        one, place = self._segments.segments[number], self._place(number)
        tail = round(TAIL_SILENCE_SECONDS * SAMPLE_RATE)
        samples = F.pad(sound, (place * SAMPLES_PER_ROW, tail))
        peak, _ = measure_peak([samples], self._encoder.n_mels)
        features = torch.cat(list(self._encoder.segments([samples], max(peak, LEAST_PEAK)))).to("cpu", torch.float16)
        seconds = len(samples) / SAMPLE_RATE
        embedding = AudioEmbedding(features, seconds, self._digests[number], self._source)
        if one.pauses is not PauseBehaviour.CLOSED:
            return embedding
        return silence_pauses(embedding, self._activity(number, sound), self._pauses, self._encoder)

    def _activity(self, number: int, sound: torch.Tensor) -> SpeechActivity:
        """Where a segment's sound speaks, by the clock of its features."""
        alone = AudioSource(None, sound[None], SAMPLE_RATE, 1, len(sound), "")
        found = detect_speech(alone)
        return SpeechActivity(np.pad(found.scores, (self._place(number) * SCORES_PER_ROW, 0)), found.detector)

    def _sounds(self, numbers: Sequence[int]) -> Iterator[tuple[int, torch.Tensor]]:
        """The sound (n,) float32 at 16 kHz of some segments, rising; silence where the voice is over."""
        window = SoundWindow(self._source.mono16k_blocks(), kept=0)
        for number in numbers:
            first, stop = self._spans[number].samples
            yield number, window.part(first, stop - first)
