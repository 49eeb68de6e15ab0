"""Runs the sampler with progress and live preview on the running node."""

from __future__ import annotations

from fractions import Fraction

from ..latentsync_core.audio.features import AudioEmbedding
from ..latentsync_core.audio.pause_options import PauseBehaviour, PauseOptions
from ..latentsync_core.dubbing.lines.dialogue import check_lines
from ..latentsync_core.dubbing.lines.line_formats import Dialogue
from ..latentsync_core.estimates.job_plan import make_plan, plan_sampling, sampling_work
from ..latentsync_core.estimates.measured import measured_sampling
from ..latentsync_core.estimates.timings import record_timings
from ..latentsync_core.faces.face_tracks import FaceTracks
from ..latentsync_core.phases import Phase
from ..latentsync_core.pipeline import sample
from ..latentsync_core.progress import WorkMeter
from ..latentsync_core.sampling.patch_store import PatchStore
from ..latentsync_core.sampling.sampler_options import SamplerOptions
from ..latentsync_core.sampling.segments.segments import options_of_lines
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
    lines: Dialogue | None = None,
    is_planned: bool = False,
) -> SyncedFaces:
    """The new faces, drawn on the device, with plan, progress and live preview on the running node.

    `is_planned` is where the node has told `progress` the plan already, this phase's being part of it.
    """
    if lines is not None or (pauses is not None and pauses.behaviour is PauseBehaviour.CLOSED):
        model.load_whisper()  # hears a silent recording, or the lines, before the U-Net comes or beside it
    dialogue = () if lines is None else lines.lines
    is_guided = any(one.is_guided for one in (options, *options_of_lines(dialogue, options)))
    loaded_model = model.load_unet(options.windows.frames * options.window_batch, is_guided)
    timeline = plan_timeline(faces.clip, audio.duration, LengthRule(length))
    frames = len(timeline.pts)
    if lines is not None:
        check_lines(dialogue, lines.name, max(faces.clip.exact_duration, Fraction(float(timeline.times[-1]))))
    if not is_planned:
        behaviour = PauseBehaviour.MODEL if pauses is None else pauses.behaviour
        planned = plan_sampling(faces.clip, timeline, options, faces, dialogue, behaviour)
        work = {"sampling": sampling_work(loaded_model, faces.clip, options, planned, with_previews=True)}
        plan = make_plan(loaded_model, options, planned, work)
        progress.expect(plan.seconds, plan.text)
    preview, on_progress = progress.preview(loaded_model.codec), progress.phase(phase, Phase.SAMPLING, frames)
    meter = WorkMeter()
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
        lines=dialogue,
        meter=meter,
    )
    record_timings(measured_sampling(meter, loaded_model, faces.clip, options, with_previews=True))
    # An unfinished store stays, so that the same settings go on from it; those of lines do, for another take of one.
    if isinstance(synced.patches, PatchStore):
        synced.patches.remove_when_closed()
    return synced
