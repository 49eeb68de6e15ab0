"""Batch node: lip-syncs the clips of a folder or of a list, one after the other, straight into files."""

from __future__ import annotations

import json

from comfy_api.latest import io

from ..latentsync_core.batch.job_list import Job, read_job_list
from ..latentsync_core.batch.worklist import Outcome, OutcomeKind
from ..latentsync_core.cli.batches.batch_rows import RowParser
from ..latentsync_core.cli.batches.batch_summary import summary_data, summary_text
from ..latentsync_core.compositing.composite_options import Region
from ..latentsync_core.errors import OptionError
from ..latentsync_core.sampling.sampler_options import Quality
from ..latentsync_core.video.writing.writer_options import Codec, WriterOptions
from ._batch_rows import RowDoer, RowProgress
from ._checks import check_inputs
from ._comfy import Progress, input_names, output_subfolder, place_below_input, schema
from ._inputs import ADVANCED, length_input, quality_input, region_input, sampling_inputs
from ._managed_model import ManagedModel
from ._sockets import Model

FOLDER = "LatentSync/batch"


class Batch(io.ComfyNode):
    """Does the rows of a list as the command line's batch does, with the model of the graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubBatchOfClips",
            display_name="LatentSync Batch of Clips",
            description="Lip-syncs many clips in one run: those of a folder, each with the voice of the same name "
            "beside it, or the rows of a list. Finished rows are skipped until their files or settings change, and a "
            "row that can't be done doesn't stop the others.",
            search_aliases=["batch", "many clips", "folder", "csv", "queue"],
            is_output_node=True,
            inputs=[
                Model.Input("model", tooltip="From LatentSync Load Model."),
                io.String.Input(
                    "jobs",
                    default="",
                    tooltip="A folder in ComfyUI's input folder, whose clips have the voice of the same name beside "
                    "them (scene.mov, scene.wav); or a .csv or .json list there, with columns video, audio and more.",
                ),
                io.String.Input(
                    "output_folder",
                    default=FOLDER,
                    tooltip="Where in ComfyUI's output folder the results are written, each named as its clip or as "
                    "its row's column out says.",
                ),
                *sampling_inputs(),
                quality_input("steps and cfg"),
                length_input(),
                region_input(),
                io.Combo.Input(
                    "codec",
                    extra_dict=ADVANCED,
                    options=[codec.value for codec in Codec],
                    default=WriterOptions().codec.value,
                    tooltip="Of the results, as LatentSync Composite writes it.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="summary", tooltip="A table of all rows, and why rows failed."),
                io.String.Output(display_name="report", tooltip="Every row's report, as JSON."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **_inputs: object) -> float:
        """Never the same: the folder may hold other files by now, and what is finished is skipped anyway."""
        return float("nan")  # another object each time: ComfyUI takes one NaN object to be equal to itself

    @classmethod
    @check_inputs
    def execute(
        cls,
        model: ManagedModel,
        jobs: str,
        output_folder: str,
        seed: int,
        steps: int,
        cfg: float,
        length: str,
        codec: str,
        quality: str = Quality.CUSTOM.value,
        region: str | None = None,
    ) -> io.NodeOutput:
        place = place_below_input(jobs.strip()) if jobs.strip() else None
        if place is None:
            raise OptionError(
                f"jobs is {jobs!r}; name a folder of clips in ComfyUI's input folder, or a .csv or .json list there"
            )
        rows = read_job_list(place)
        results = output_subfolder(output_folder)
        defaults = RowParser().parse_args([])
        defaults.seed, defaults.quality, defaults.length, defaults.codec = seed, quality, length, codec
        if Quality(quality) is Quality.CUSTOM:
            defaults.steps, defaults.cfg = steps, cfg
        defaults.region = Region.SPEECH.value if region is None else region
        doer = RowDoer(model, defaults, place if place.is_dir() else place.parent, results, input_names(cls))
        progress = RowProgress(Progress(), len(rows))
        outcomes: list[tuple[Job, Outcome]] = []
        for number, job in enumerate(rows):
            progress.begin(number, job)
            outcome = doer(job, progress)
            if outcome.kind is OutcomeKind.BUSY:
                outcome = Outcome(OutcomeKind.FAILED, "Another program is doing this row; run again when it has ended.")
            outcomes.append((job, outcome))
        summary = summary_text(outcomes)
        return io.NodeOutput(summary, json.dumps(summary_data(outcomes)), ui={"text": summary.splitlines()})
