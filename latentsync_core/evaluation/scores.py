"""Scores of a clip: audio-video sync, and the distance between the motion of two clips."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as F

from ..errors import OptionError
from ..progress import Progress
from ..trepa.video_encoder import VideoEncoder, clip_features
from .sync_mel import COLUMNS_PER_SECOND, SYNCNET_FPS, mel_windows, sync_mel, window_columns
from .syncnet import SyncNet, lower_halves

MAX_OFFSET_FRAMES = 15  # frames at 25 fps that the sound is tried earlier and later, as lip-sync papers do
WINDOWS_PER_BATCH = 8


@dataclass(frozen=True)
class SyncScore:
    """What a sweep of the sound over the picture found. Distances lie between 0 and the square root of 2."""

    offset: int  # frames at 25 fps by which the sound comes after its picture; 0 in sync
    confidence: float  # how far the least distance lies under the median of all: 0 where no offset stands out
    distances: tuple[float, ...]  # mean distance at every offset from -reach to reach

    @property
    def distance(self) -> float:
        """The distance at the best offset."""
        return min(self.distances)

    @property
    def distance_at_zero(self) -> float:
        """The distance with the sound where it is."""
        return self.distances[len(self.distances) // 2]


@torch.no_grad()
def sync_score(
    net: SyncNet,
    frames: torch.Tensor,
    waveform: torch.Tensor,
    fps: Fraction | float = SYNCNET_FPS,
    max_offset: int = MAX_OFFSET_FRAMES,
    on_progress: Progress | None = None,
) -> SyncScore:
    """Offset and confidence of a clip against its sound, by SyncNet's vectors of every window of frames.

    As Chung and Zisserman do (Out of time: automated lip sync in the wild, 2016), and Wav2Lip's LSE-C and LSE-D after
    them. Every offset is judged on the same windows: those whose sound lies within the recording at all offsets. The
    figures compare clips under one network; another network's, the papers' among them, are on another scale.

    Args:
        net: a trained SyncNet; it is used as it is, so call `eval()` on one that was just trained.
        frames: (n, 3, h, w) floating point in [-1, 1], whole aligned faces as the U-Net draws them. They are resized to
            what the network was made for; at another rate than 25 fps those shown at 25 fps are taken.
        waveform: (S,) float32 at 16 kHz, beginning with the first frame.
        fps: of `frames`.
        max_offset: largest offset tried, in frames at 25 fps.
        on_progress: counts windows.

    Raises:
        OptionError: too few frames (31 are enough), or too short a sound (46 frames' is enough), or a bad `max_offset`.
        AudioError: the waveform is no single channel.
    """
    if max_offset < 1:
        raise OptionError(f"reach is {max_offset}: give a number of frames above 0.")
    shown = _frames_at_25(len(frames), fps)
    mel = sync_mel(waveform)
    columns = window_columns(net.config.frames)
    # The last frame whose window of sound ends within the recording, counted like mel_windows does.
    last_audio_start = (SYNCNET_FPS * (mel.shape[1] - columns + 1) - 1) // COLUMNS_PER_SECOND
    starts = range(max_offset, min(len(shown) - net.config.frames, last_audio_start - max_offset) + 1)
    if not starts:
        raise OptionError(
            f"A clip of {len(shown)} frames at 25 fps with {len(waveform) / 16000:.2f} s of audio is too short for "
            f"offsets up to {max_offset}; give {net.config.frames + 2 * max_offset} frames with their audio, "
            f"or a smaller max_offset."
        )
    weight = net.visual_encoder.conv_in.weight
    total = 2 * len(starts) + 2 * max_offset
    video_embeddings, audio_embeddings = [], []
    for chunk in _chunks(starts):
        windows = torch.stack([frames[shown[start : start + net.config.frames]] for start in chunk])
        pictures = lower_halves(_resized(windows.to(weight.device), net.config.face_size))
        video_embeddings.append(net.embed_frames(pictures.to(weight.dtype)).float())
        if on_progress:
            on_progress(sum(map(len, video_embeddings)), total)
    for chunk in _chunks(range(starts[0] - max_offset, starts[-1] + max_offset + 1)):
        audio_embeddings.append(net.embed_mel(mel_windows(mel, chunk, net.config.frames).to(weight)).float())
        if on_progress:
            on_progress(len(starts) + sum(map(len, audio_embeddings)), total)
    return sweep_offsets(torch.cat(video_embeddings), torch.cat(audio_embeddings))


def sweep_offsets(video_embeddings: torch.Tensor, audio_embeddings: torch.Tensor) -> SyncScore:
    """Finds the offset at which audio and video embeddings agree best.

    Args:
        video_embeddings: (n, channels) vectors of windows that begin at consecutive frames.
        audio_embeddings: (n + 2 * max_offset, channels) vectors of sound, from `max_offset` frames earlier to as many
            later.

    Raises:
        OptionError: the numbers don't fit.
    """
    spare = len(audio_embeddings) - len(video_embeddings)
    if not len(video_embeddings) or spare < 2 or spare % 2:
        raise OptionError(
            f"There are {len(audio_embeddings)} vectors of audio for {len(video_embeddings)} of video; give 2 more for "
            f"each frame of max_offset."
        )
    max_offset = spare // 2
    distances = torch.stack(
        [
            (video_embeddings - audio_embeddings[at : at + len(video_embeddings)]).norm(dim=1).mean()
            for at in range(spare + 1)
        ]
    ).double()
    return SyncScore(
        offset=int(distances.argmin()) - max_offset,
        confidence=float(distances.median() - distances.min()),
        distances=tuple(distances.tolist()),
    )


@torch.no_grad()
def temporal_distance(
    encoder: VideoEncoder, clip: torch.Tensor, other: torch.Tensor, on_progress: Progress | None = None
) -> float:
    """How far apart two clips lie in the video encoder's space: 0 for the same clip, 1 for unrelated features.

    The mean over windows of 16 frames, each half over the one before it, of 1 minus the cosine of the two clips'
    features; that is half the encoder's width times the TREPA loss.

    Args:
        clip, other: (n, 3, h, w) floating point in [-1, 1], of the same n; the sizes may differ.
        on_progress: counts windows.

    Raises:
        OptionError: the numbers of frames differ, or there are fewer than a window has.
    """
    length = encoder.config.frames
    if len(clip) != len(other) or len(clip) < length:
        raise OptionError(
            f"The clips have {len(clip)} and {len(other)} frames; give two of the same number, at least {length}."
        )
    last = len(clip) - length
    starts = sorted({*range(0, last, max(1, length // 2)), last})  # the last one ends with the clip
    distances = []
    for start in starts:
        pair = [
            clip_features(encoder, frames[start : start + length].transpose(0, 1)[None])  # f c h w -> 1 c f h w
            for frames in (clip, other)
        ]
        distances.append(1 - float(F.cosine_similarity(pair[0].double(), pair[1].double())))
        if on_progress:
            on_progress(len(distances), len(starts))
    return max(0.0, math.fsum(distances) / len(distances))


def _frames_at_25(count: int, fps: Fraction | float) -> torch.Tensor:
    """(m,) the frame that is shown at every 1/25 s, of `count` at `fps`."""
    if not 0 < fps < math.inf:
        raise OptionError(f"fps is {fps}: give a number of frames per second above 0.")
    rate = Fraction(fps) / SYNCNET_FPS
    return torch.tensor([math.floor(step * rate) for step in range(math.ceil(count / rate))], dtype=torch.long)


def _resized(windows: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(b, f, 3, h, w) float32 of height and width `size`."""
    if tuple(windows.shape[-2:]) == size:
        return windows.float()
    pictures = windows.float().flatten(0, 1)  # b f c h w -> (b f) c h w
    pictures = F.interpolate(pictures, size=size, mode="bilinear", antialias=True, align_corners=False)
    return pictures.unflatten(0, windows.shape[:2])


def _chunks(starts: range) -> list[range]:
    return [starts[at : at + WINDOWS_PER_BATCH] for at in range(0, len(starts), WINDOWS_PER_BATCH)]
