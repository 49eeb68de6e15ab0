"""Turns what a `WorkMeter` measured into work that was done, with its seconds, as `record_timings` keeps it."""

from __future__ import annotations

from collections.abc import Iterable

from ..compositing.composite_options import CompositeOptions
from ..faces.face_tracks import FaceTracks
from ..models.model import LatentSyncModel
from ..models.vae import LatentCodec
from ..progress import WorkMeter
from ..sampling.sampler_options import SamplerOptions
from ..video.clip import Clip
from ..video.writing.writer_options import WriterOptions
from .timings import Work
from .work import cutting_crops, decoding, denoising, encoding, pasting, writing

Done = list[tuple[Work, float]]


def measured_sampling(
    meter: WorkMeter, model: LatentSyncModel, clip: Clip, options: SamplerOptions, with_previews: bool = False
) -> Done:
    """What `sample_faces` did; nothing where all of it was finished before."""
    amount = meter.amounts.get
    works = [
        cutting_crops(model, clip, amount("crops", 0)),
        encoding(model, amount("encode", 0)),
        denoising(model, options, amount("denoise", 0), with_previews),
    ]
    return _with_seconds(meter, works)


def measured_compositing(
    meter: WorkMeter,
    codec: LatentCodec,
    resolution: int,
    clip: Clip,
    composite: CompositeOptions,
    writer: WriterOptions,
    others: str = "",
) -> Done:
    """What `write_rendered` did."""
    frames, amount = meter.amounts.get("paste", 0), meter.amounts.get
    works = [
        decoding(codec, resolution, amount("decode", 0)),
        pasting(clip, frames, amount("patches", 0), composite),
        writing(clip, frames, writer, others),
    ]
    return _with_seconds(meter, works)


def seen_faces(faces: FaceTracks) -> int:
    """In how many frames a face is seen, added up over all faces."""
    return sum(int(track.visible.sum()) for track in faces.tracks)


def added_up(works: Iterable[Work]) -> Work:
    """Several works of one key as one."""
    each = list(works)
    amounts = {unit: sum(work.amounts[unit] for work in each) for unit in each[0].amounts}
    return Work(each[0].kind, amounts, each[0].setup)


def _with_seconds(meter: WorkMeter, works: list[Work]) -> Done:
    return [(work, meter.seconds[work.kind]) for work in works if meter.seconds.get(work.kind, 0) > 0]
