"""Runs the sampler with progress and live preview on the running node."""

from __future__ import annotations

from ..latentsync_core.audio.features import AudioEmbedding
from ..latentsync_core.audio.pause_options import PauseBehaviour, PauseOptions
from ..latentsync_core.faces.face_tracks import FaceTracks
from ..latentsync_core.phases import Phase
from ..latentsync_core.pipeline import sample
from ..latentsync_core.sampling.sampler_options import SamplerOptions
from ..latentsync_core.sampling.synced_faces import SyncedFaces
from ..latentsync_core.sampling.timeline import LengthRule, plan_timeline
from ._comfy import Progress, pack_temp_folder
from ._managed_model import ManagedModel


def sample_with_preview(
    model: ManagedModel,
    faces: FaceTracks,
    audio: AudioEmbedding,
    options: SamplerOptions,
    length: str,
    progress: Progress,
    phase: str = "all",
    pauses: PauseOptions | None = None,
) -> SyncedFaces:
    """The new faces, drawn on the device, with progress and live preview on the running node."""
    if pauses is not None and pauses.behaviour is PauseBehaviour.CLOSED:
        model.load_whisper()  # hears a silent recording before the U-Net comes
    loaded_model = model.load_unet(options.windows.frames * options.window_batch, options.is_guided)
    frames = len(plan_timeline(faces.clip, audio.duration, LengthRule(length)).pts)
    preview, on_progress = progress.preview(loaded_model.codec), progress.phase(phase, Phase.SAMPLING, frames)
    synced = sample(
        loaded_model,
        faces,
        audio,
        options,
        LengthRule(length),
        pack_temp_folder("faces"),
        on_preview=preview,
        on_progress=on_progress,
        pauses=pauses,
    )
    synced.patches.remove_when_closed()  # an unfinished store stays, so that the same settings go on from it
    return synced
