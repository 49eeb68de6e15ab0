"""The pack's own socket types, and what travels over them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from comfy_api.latest import io

Model = io.Custom("LATENTSYNC_MODEL")  # ManagedModel
Audio = io.Custom("LATENTSYNC_AUDIO")  # AudioEmbedding
Faces = io.Custom("LATENTSYNC_FACES")  # Held[FaceTracks]
Trepa = io.Custom("LATENTSYNC_TREPA")  # SamplerOptions, of which the sampler takes the temporal part
Lines = io.Custom("LATENTSYNC_LINES")  # Dialogue
Synced = io.Custom("LATENTSYNC_SYNCED")  # Held[SyncedFaces]


class WithTensors(NamedTuple):
    """A value beside the tensors that it keeps in memory.

    ComfyUI's cache weighs an entry by the tensors that it finds in tuples; inside a dataclass it sees none, and a clip
    of gigabytes would count as nothing when memory runs short.
    """

    value: Any
    tensors: tuple[torch.Tensor, ...] = ()
