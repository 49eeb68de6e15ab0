"""TREPA Settings node: temporal consistency of the generated faces."""

from __future__ import annotations

from comfy_api.latest import io

from ..latentsync_core.sampling.sampler_options import MAX_WINDOW_FRAMES, SamplerOptions, WindowOptions
from ._checks import check_inputs
from ._comfy import schema
from ._inputs import ADVANCED
from ._sockets import Trepa

DEFAULTS = SamplerOptions()
OVERLAP = 4  # frames: the shortest with which no border shows; see benchmarks/README.md


class TrepaSettings(io.ComfyNode):
    """Makes the part of SamplerOptions that concerns time."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubTrepaSettings",
            display_name="LatentSync TREPA Settings",
            description="Temporal consistency. TREPA, temporal representation alignment, is how LatentSync was trained "
            "to look like video rather than like single pictures; here is what sampling can do to keep that.",
            search_aliases=["temporal consistency", "flicker", "context window", "trepa"],
            inputs=[
                io.Int.Input(
                    "window",
                    display_name="window (frames)",
                    extra_dict=ADVANCED,
                    default=DEFAULTS.windows.frames,
                    min=1,
                    max=MAX_WINDOW_FRAMES,
                    tooltip="Frames drawn together. 16 is what the networks were trained with; fewer need less memory.",
                ),
                io.Int.Input(
                    "overlap",
                    display_name="overlap (frames)",
                    default=OVERLAP,
                    min=0,
                    max=MAX_WINDOW_FRAMES // 2,
                    tooltip="Frames that neighbouring windows share and cross-fade, up to half of the window: hides "
                    "the seam every 16 frames. 4 is what nano recommends, and takes a third more time. LatentSync's "
                    "releases were published with 0.",
                ),
                io.Float.Input(
                    "noise_sharing",
                    extra_dict=ADVANCED,
                    default=DEFAULTS.noise_sharing,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the noise that faces begin as is the same in all frames. 0.5 is training's "
                    "mix, 1.0 upstream's sampling; more is steadier, less is freer. Counts where the sampler's quality "
                    "is custom.",
                ),
            ],
            outputs=[Trepa.Output(display_name="trepa", tooltip="For LatentSync Face Sampler.")],
        )

    @classmethod
    @check_inputs
    def execute(cls, window: int, overlap: int, noise_sharing: float) -> io.NodeOutput:
        return io.NodeOutput(SamplerOptions(noise_sharing=noise_sharing, windows=WindowOptions(window, overlap)))
