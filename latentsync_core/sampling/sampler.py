"""The sampler: generates face latents for every output frame of the chosen face, streamed window by window."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..errors import OptionError
from ..faces.alignment.align import crop_face
from ..faces.alignment.mouth_mask import latent_mask, mouth_mask
from ..faces.face_tracks import FaceTracks
from ..faces.mouth_opening import filmed_openings
from ..files.output_checks import check_disk_space
from ..messages import Remedy
from ..models.noise_schedule import REFERENCE_SCHEDULE
from ..models.reference_mouth import replace_mouth
from ..models.unet.compiled import compiled_forward
from ..models.vae import PIXELS_PER_LATENT
from ..prefetch import prefetched
from ..progress import Progress, WorkMeter
from ..runs import runs_where
from ..video.clip import Clip
from ..video.reading.frame_sequence import FrameSequence
from .closed_references import ClosedReferences, closed_frames
from .denoising.denoise import denoise_windows
from .first_window import check_first_window
from .memory_steps import MemorySteps
from .noise import frame_noise
from .patch_store import PatchStore, allocated_bytes
from .reference_means import ReferenceMeans
from .sampler_options import SHORTCUTS, ReferenceChoice, SamplerOptions, WindowOptions
from .segments.segment_blend import segment_blend
from .segments.segment_notes import segment_notes
from .segments.segment_store import SegmentStore, segment_keys
from .segments.segment_voice import SegmentVoice
from .segments.segments import Segments
from .synced_faces import SyncedFaces
from .timeline import Timeline
from .window_inputs import FrameLatents, WindowInputs, in_batches
from .windows import Window, WindowBlender, next_starts, plan_windows

if TYPE_CHECKING:
    from ..audio.features import AudioEmbedding
    from ..models.model import LatentSyncModel

Preview = Callable[[torch.Tensor], None]
"""Called with (f, 4, h, w) float32 scaled latents: the window's clean latents as predicted at this step."""

CACHE_VERSION = 1
"""Part of every store's key. Raise it whenever the same job comes to other latents, through cropping, masks, encoding,
noise, denoising or the joining of windows: then no result mixes patches of two editions. Versions of PyTorch and
diffusers are no part of the key. They differ by rounding, far below an 8-bit level, and updating one of them must not
discard hours of sampling; a result that has to be the same in every byte needs the same versions anyway."""
LATENT_CHANNELS = 4
CROPS_AHEAD = 1  # windows whose crops are cut while the one before is drawn
CUT_IN_TURN = ("cpu",)  # devices that would have no time to spare for it


def check_disk_space_for_patches(resolution: int, frames: int, speakers: int, folder: Path | None) -> None:
    """OutputError where `folder`, or the system's temporary one, can't hold the latents of so many output frames.

    What earlier runs keep there counts as room, since this may be one of them resumed.
    """
    store_folder = Path(folder or tempfile.gettempdir())
    latent_size = resolution // PIXELS_PER_LATENT
    needed = speakers * frames * LATENT_CHANNELS * latent_size**2 * torch.float16.itemsize
    existing_bytes = sum(map(allocated_bytes, store_folder.glob("*.patches"))) if folder else 0
    check_disk_space(store_folder, needed - existing_bytes, "the finished faces", Remedy.MOVE_WORK_FOLDER)


@torch.inference_mode()
def sample_faces(
    model: LatentSyncModel,
    faces: FaceTracks,
    transforms: np.ndarray,
    timeline: Timeline,
    audio: AudioEmbedding,
    options: SamplerOptions | None = None,
    folder: Path | None = None,
    on_preview: Preview | None = None,
    on_progress: Progress | None = None,
    by_lines: tuple[Segments, SegmentVoice] | None = None,
    part: tuple[int, int] | None = None,
    meter: WorkMeter | None = None,
) -> SyncedFaces:
    """Generates the mouth region in every output frame of `timeline` in which the chosen face is synced.

    Memory does not grow with the clip: crops are cut again from the stream for each window, audio windows are gathered
    for each window, finished latents go to disk.

    Args:
        transforms: (N, 2, 3) float32 of every source frame, source pixel → crop pixel; NaN where no face is drawn.
        folder: where finished patches are kept so that an interrupted run can go on; None: a temporary place.
        on_preview: shown after every denoising step what the window at hand will come to.
        on_progress: called after every denoising step; raising from it cancels.
        by_lines: the frames' segments, whose settings take the place of those in `options`, and what drives each. A
            segment's patches are kept by themselves, so that another take of it samples its own windows alone.
        part: a half-open range of output frames, whose patches alone are made: the same as those of the whole. Windows
            that reach over its ends are sampled for either part.
        meter: measures "crops" and "encode" in pictures, and "denoise" in frames times `network_passes`.

    Raises:
        OptionError, ClipChangedError, OutputError.
        ModelError: what the first window shows is no face; see sampling/first_window.py.
    """
    options, meter = options or SamplerOptions(), meter or WorkMeter()
    transforms = transforms[timeline.source_index]  # (F, 2, 3), of output frames from here on
    path = faces.path
    present = np.all(np.isfinite(transforms), axis=(1, 2))
    track_ids = unbroken_tracks(path.track, timeline)
    runs = runs_where(present, track_ids)  # of filmed faces, which references come from whatever the segments
    blend = np.where(present, path.blend[timeline.source_index], 0).astype(np.float32)
    segments, voice = by_lines or (None, None)
    windows = plan_face_windows(present, track_ids, options.windows, segments)
    if segments is not None and voice is not None:
        blend = segment_blend(blend, segments, voice.speech, faces.limits.fade_frames, track_ids)
        present = present & segments.enabled
    first, stop = part or (0, len(present))
    if not 0 <= first <= stop <= len(present):
        raise OptionError(f"frames {first} to {stop} are to be sampled, of {len(present)}")
    if part is not None and options.reference:
        raise OptionError("the reference preset draws its noise in sequence: no part can be sampled alone")
    segment_of_window = [0 if segments is None else int(segments.numbers[window.start]) for window in windows]
    each = (options,) if segments is None else tuple(one.options for one in segments.segments)
    latent_size = model.resolution // PIXELS_PER_LATENT
    shape = (LATENT_CHANNELS, latent_size, latent_size)
    # A temporary store serves this run alone; hashing an in-memory clip for its key would be work for nothing.
    if not folder:
        key = "this-run"
    elif segments is None:
        key = _content_key(model, faces, transforms, timeline, audio.digest, options)
    else:  # of what all segments have in common
        common = dataclasses.replace(options, seed=SamplerOptions.seed, expression=SamplerOptions.expression)
        key = _content_key(model, faces, transforms, timeline, "by lines", common)
    if segments is None or voice is None:
        dtype = torch.float32 if options.reference else torch.float16
        store = PatchStore(key, frames=len(timeline.source_index), shape=shape, dtype=dtype, folder=folder)
    else:
        store = SegmentStore(segment_keys(key, segments, voice), segments, shape, folder)
    noise_per_window = (_reference_window_noise if options.reference else _seeded_window_noise)(
        [each[number] for number in segment_of_window], faces, timeline, windows, latent_size
    )
    mask = mouth_mask(model.resolution, options.mask_grow).to(model.device)
    downsampled_mask = latent_mask(model.resolution, options.mask_grow).float()
    compiled = compiled_forward(model.unet)
    if compiled:
        compiled.begin(options.windows.frames)
    memory = MemorySteps(model, any(one.is_guided for one in each), options.window_batch)
    in_part = [window.start < stop and window.stop > first for window in windows]
    step_progress = _StepProgress(on_progress, on_preview, total=sum(in_part) * options.steps)
    blender = WindowBlender()
    means, closed, is_checked = None, None, options.reference  # the preset reproduces numbers with any weights
    reference_mouth = reference_mouth_of(model, options)

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        with meter.measure("encode", len(pixels)):
            return memory.run(partial(model.codec.encode, pixels, None))

    if reference_mouth is ReferenceChoice.AVERAGED:
        means = ReferenceMeans(runs, encode)

    try:
        with ExitStack() as streams:
            crops = streams.enter_context(_CropStream(faces.clip, model.resolution, model.device))
            if reference_mouth is ReferenceChoice.CLOSED and not store.finished[first:stop][present[first:stop]].all():
                needed = [run for run in runs if run[0] < stop and run[1] > first]
                chosen = _closed_frames(faces, timeline, needed, lambda: step_progress.skip(0))
                reference_crops = streams.enter_context(_CropStream(faces.clip, model.resolution, model.device))

                def cut_references(frames: Sequence[int]) -> Mapping[int, torch.Tensor]:
                    with meter.measure("crops", len(frames)):
                        return reference_crops.of_frames(frames, timeline, transforms)

                closed = ClosedReferences(chosen, cut_references, encode)
            ready = [
                not options.reference
                and bool(store.finished[max(window.start, first) : min(window.stop, stop)].all())  # also of no frame
                for window in windows
            ]
            for is_ready, counts in zip(ready, in_part, strict=True):
                if is_ready and counts:
                    step_progress.skip(options.steps)
            sampled = {number for number, is_ready in zip(segment_of_window, ready, strict=True) if not is_ready}

            def cut_windows() -> Generator[tuple[int, int, _WindowNoise, dict[int, torch.Tensor]], None, None]:
                planned = zip(windows, next_starts(windows), noise_per_window, ready, strict=True)
                for number, (window, next_start, noise, is_ready) in enumerate(planned):
                    if is_ready:
                        continue
                    with torch.inference_mode():  # each thread has a mode of its own
                        frames = means.needed_frames(window) if means else window.frames
                        crop_of = crops.of_frames(frames, timeline, transforms)
                    yield number, next_start, noise, crop_of

            def window_inputs() -> Iterator[WindowInputs]:
                source_frames = [timeline.source_index[window.start : window.stop].tolist() for window in windows]
                frame_latents = FrameLatents(encode, mask, source_frames)
                cut = cut_windows()
                if torch.device(model.device).type not in CUT_IN_TURN and not means:
                    # A mean has to know what is encoded by then. Encoding ahead would gain nothing: the same device
                    # does it, and ComfyUI may move networks for it.
                    cut = streams.enter_context(closing(prefetched(cut_windows, CROPS_AHEAD, "crops ahead")))
                for number, next_start, noise, crop_of in meter.each("crops", cut, 0):
                    window = windows[number]
                    pixels = torch.stack([crop_of[frame] for frame in window.frames]) * 2 - 1  # (f, 3, R, R) in [-1, 1]
                    if noise.masked is None:
                        masked, reference = frame_latents.of_window(number, pixels)
                    else:
                        masked = memory.run(partial(model.codec.encode, (pixels * mask).float(), noise.masked)).cpu()
                        reference = memory.run(partial(model.codec.encode, pixels, noise.reference)).cpu()
                    if means:
                        reference = replace_mouth(reference, means.around(window, crop_of))
                    elif closed:
                        reference = replace_mouth(reference, closed.of_window(window))
                    times, segment = timeline.times[window.start : window.stop], segment_of_window[number]
                    tokens = audio.window(times) if voice is None else voice.window(segment, times)
                    ends = pixels[[0, -1]].cpu() / 2 + 0.5
                    yield WindowInputs(
                        window, next_start, noise.start, masked, reference, tokens, ends, each[segment].expression
                    )

            def denoise(batch: Sequence[WindowInputs]) -> torch.Tensor:
                """(n, f, 4, h, w); in parts where memory ran short."""
                return torch.cat(
                    [
                        denoise_windows(
                            model.unet,
                            torch.stack([one.noise for one in part]),
                            downsampled_mask,
                            torch.stack([one.masked for one in part]),
                            torch.stack([one.reference for one in part]),
                            torch.stack([one.audio for one in part]),
                            dataclasses.replace(options, expression=part[0].expression),
                            model.schedule,
                            model.device,
                            on_step=step_progress.step,
                            halves_in_turn=memory.halves_in_turn,
                        )
                        for part in in_batches(batch, memory.window_batch)
                    ]
                )

            for batch in in_batches(window_inputs(), options.window_batch):
                frames = sum(len(one.window.frames) for one in batch)
                passes = dataclasses.replace(options, expression=batch[0].expression).network_passes
                with meter.measure("denoise", frames * passes):
                    latents = memory.run(partial(denoise, batch), step_progress.mark()).cpu()
                if not is_checked:
                    with meter.measure("decode", 2):
                        check_first_window(model, batch[0].ends, latents[0][[0, -1]])
                    is_checked = True
                for one, drawn in zip(batch, latents, strict=True):
                    for frame, blended in blender.add(one.window, drawn, one.next_start):
                        # What an interrupted run finished was blended with a neighbour that this run may not sample
                        # again.
                        if first <= frame < stop and not store.finished[frame]:
                            store.put(frame, blended)
            meter.count("crops", crops.cut)
    except BaseException:
        store.close()
        raise
    if segments is not None:
        transforms = np.where(segments.enabled[:, None, None], transforms, np.float32(np.nan))
    return SyncedFaces(
        faces=faces,
        transforms=transforms,
        patches=store,
        codec=model.codec,
        resolution=model.resolution,
        audio=audio,
        source_index=timeline.source_index,
        blend=blend,
        pts=timeline.pts,
        stretched=timeline.clip if timeline.clip.stretch != 1 else None,
        model=model.name,
        region=model.recommended.region,
        notes=(
            *model.notes,
            *memory.notes,
            *(compiled.notes if compiled else ()),
            *(() if segments is None else segment_notes(segments, present, sampled)),
        ),
        segments=segments,
    )


def unbroken_tracks(track: np.ndarray, timeline: Timeline) -> np.ndarray:
    """(F,) the same number in output frames that one window may hold, from the (N,) track of every source frame."""
    passages = timeline.passages
    # A loop's jump back to the beginning is a cut as well.
    return track[timeline.source_index] * (int(passages[-1]) + 1) + passages


def plan_face_windows(
    present: np.ndarray, track_ids: np.ndarray, options: WindowOptions, segments: Segments | None = None
) -> list[Window]:
    """The windows of the output frames in which a face is `present`; none spans two of `segments`.

    Args:
        present: (F,) bool.
        track_ids: (F,), of `unbroken_tracks`.
    """
    if segments is None:
        return plan_windows(present, options, track_ids)
    apart = track_ids.astype(np.int64) * len(segments.segments) + segments.numbers
    return plan_windows(present & segments.enabled, options, apart)


def planned_windows(
    faces: FaceTracks,
    transforms: np.ndarray,
    timeline: Timeline,
    options: SamplerOptions,
    segments: Segments | None = None,
) -> list[Window]:
    """The windows that `sample_faces` samples; arguments as there."""
    present = np.all(np.isfinite(transforms[timeline.source_index]), axis=(1, 2))
    return plan_face_windows(present, unbroken_tracks(faces.path.track, timeline), options.windows, segments)


def reference_mouth_of(model: LatentSyncModel, options: SamplerOptions) -> ReferenceChoice:
    """The options' choice, with the model's own in the place of MODEL."""
    if options.reference_mouth is ReferenceChoice.MODEL:
        return ReferenceChoice(model.reference_mouth.value)
    return options.reference_mouth


def _closed_frames(
    faces: FaceTracks, timeline: Timeline, runs: list[tuple[int, int]], on_frame: Callable[[], None]
) -> np.ndarray:
    """`closed_frames` of the output frames in `runs`; frames beyond are their own."""
    path, source = faces.path, timeline.source_index
    turns = np.zeros((faces.clip.frame_count, 2))
    for first, stop in runs_where(path.track >= 0, path.track):
        track = faces.tracks[path.track[first]]
        turns[first:stop] = np.nan_to_num(track.pose[first - track.start : stop - track.start, :2])
    needed = np.zeros(faces.clip.frame_count, bool)
    for first, stop in runs:
        needed[source[first:stop]] = True
    openings = filmed_openings(faces, needed, on_frame)
    return closed_frames(openings[source], turns[source], timeline.times, runs)


class _WindowNoise(NamedTuple):
    """The random numbers of one window."""

    start: torch.Tensor  # (f, 4, h, w): where denoising starts
    masked: torch.Tensor | None  # (f, 4, h, w) for sampling the encoder's distribution; None takes its mean
    reference: torch.Tensor | None


def _seeded_window_noise(
    each: Sequence[SamplerOptions], faces: FaceTracks, timeline: Timeline, windows: list[Window], latent_size: int
) -> Iterator[_WindowNoise]:
    shape = (LATENT_CHANNELS, latent_size, latent_size)
    for window, options in zip(windows, each, strict=True):
        source_indices = timeline.source_index[window.start : window.stop]
        source_frames = (faces.clip.first_frame + source_indices).tolist()
        person = int(faces.path.person[source_indices[0]])
        start = frame_noise(options.seed, person, source_frames, shape, options.noise_sharing)
        yield _WindowNoise(start, None, None)


def _reference_window_noise(
    each: Sequence[SamplerOptions], faces: FaceTracks, timeline: Timeline, windows: list[Window], latent_size: int
) -> Iterator[_WindowNoise]:
    """Upstream's order: one noise for all frames, then the encoder's, masked before reference, window by window."""
    generator = torch.Generator("cpu").manual_seed(each[0].seed if each else 0)
    noise = torch.randn(1, LATENT_CHANNELS, 1, latent_size, latent_size, generator=generator)[:, :, 0]
    for window in windows:
        shape = (len(window.frames), LATENT_CHANNELS, latent_size, latent_size)
        masked = torch.randn(shape, generator=generator)
        yield _WindowNoise(noise.expand(shape), masked, torch.randn(shape, generator=generator))


class _CropStream:
    """Cuts crops out of the clip in its order; holds no more than those that were asked for last."""

    def __init__(self, clip: Clip, resolution: int, device: torch.device | str) -> None:
        self._sequence = FrameSequence(clip)
        self._resolution = resolution
        self._device = device
        self._crops: dict[int, torch.Tensor] = {}
        self.cut = 0  # crops so far

    def of_frames(self, frames: Sequence[int], timeline: Timeline, transforms: np.ndarray) -> dict[int, torch.Tensor]:
        """The crops of output frames, by frame: (3, R, R) float32 in [0, 1] on the stream's device."""
        transform_of = {int(timeline.source_index[frame]): transforms[frame] for frame in frames}
        self._crops = {index: crop for index, crop in self._crops.items() if index in transform_of}
        missing = sorted(transform_of.keys() - self._crops.keys())
        self.cut += len(missing)
        for index, frame in zip(missing, self._sequence.frames(missing), strict=True):
            self._crops[index] = crop_face(frame, transform_of[index], self._resolution, device=self._device)
        return {frame: self._crops[int(timeline.source_index[frame])] for frame in frames}

    def __enter__(self) -> _CropStream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._sequence.close()


class _StepProgress:
    """Counts denoising steps for the caller, and shows what they come to."""

    def __init__(self, on_progress: Progress | None, on_preview: Preview | None, total: int) -> None:
        self._on_progress = on_progress
        self._on_preview = on_preview
        self._total = total
        self._done = 0

    def step(self, _step: int, _noise: torch.Tensor, _latents: torch.Tensor, clean: torch.Tensor) -> None:
        self.skip(len(clean))
        if self._on_preview:
            self._on_preview(clean[0])

    def mark(self) -> Callable[[], None]:
        """Goes back to here when it is called: steps are counted once that were taken twice."""
        done = self._done

        def rewind() -> None:
            self._done = done

        return rewind

    def skip(self, steps: int) -> None:
        self._done += steps
        if self._on_progress:
            self._on_progress(self._done, self._total)


def _content_key(
    model: LatentSyncModel,
    faces: FaceTracks,
    transforms: np.ndarray,
    timeline: Timeline,
    audio_digest: str,
    options: SamplerOptions,
) -> str:
    """A digest of all that the patches are made from, so that a store never serves another run's."""
    clip = faces.clip
    digest = hashlib.sha256(f"edition {CACHE_VERSION} ".encode())
    if clip.identity:
        digest.update(f"{clip.identity.digest} {clip.identity.mtime_ns}{clip.geometry_key}".encode())
    elif clip.images is not None:
        for image in clip.images:
            digest.update(image.contiguous().cpu().numpy().tobytes())
    if clip.deinterlace:
        digest.update(b" deinterlaced")
    digest.update(f"{clip.first_frame} {model.digest} {audio_digest} {options}".encode())
    if model.schedule != REFERENCE_SCHEDULE:  # left out, so that stores of earlier versions still resume
        digest.update(f" {model.schedule}".encode())
    reference_mouth = reference_mouth_of(model, options)
    if reference_mouth is not ReferenceChoice.FILMED:
        digest.update(f" {reference_mouth.value} reference mouth".encode())
    # Left out where they change nothing, so that stores of earlier versions still resume.
    for name in SHORTCUTS:
        if getattr(options, name) != getattr(SamplerOptions, name):
            digest.update(f" {name} {getattr(options, name)}".encode())
    if options.mask_grow:
        digest.update(f" mouth mask grown by {options.mask_grow}".encode())
    if options.expression != 1.0:
        digest.update(f" expression {options.expression}".encode())
    for values in (transforms, faces.path.track, faces.path.person, timeline.source_index, timeline.times):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:32]
