"""Speakers to Faces node: finds who speaks when, and syncs all speakers, or one, only while they do."""

from __future__ import annotations

import json
from typing import Any

from comfy_api.latest import io

from ..latentsync_core.audio.source import load_audio
from ..latentsync_core.faces.contact_sheets import people_sheet
from ..latentsync_core.faces.report import report_data, report_text, timeline_picture
from ..latentsync_core.phases import Phase
from ..latentsync_core.speakers.active_speaker import find_speech, original_sound
from ..latentsync_core.speakers.assignment import assign_speakers, choose_speaker, corrections_text, read_corrections
from ..latentsync_core.speakers.diarization import read_diarization
from ._checks import check_inputs
from ._comfy import Progress, pack_temp_folder, preview_image, schema
from ._inputs import ADVANCED
from ._sockets import Faces, WithTensors


class SpeakersToFaces(io.ComfyNode):
    """Connects `find_speech` and `assign_speakers` to the graph; what was measured of a clip is kept."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubSpeakersToFaces",
            display_name="LatentSync Speakers to Faces",
            description="Finds who speaks when by the clip's own sound and the filmed mouths, so that each mouth "
            "follows the voice only while its person speaks. Speech of nobody who is shown, or of an uncertain "
            "speaker, leaves every mouth unchanged.",
            search_aliases=["active speaker", "who speaks", "diarization", "multiple speakers", "two speakers"],
            is_output_node=True,  # so that it can run by itself, to look at the speakers before anything is sampled
            inputs=[
                Faces.Input("faces", tooltip="From LatentSync Prepare Faces."),
                io.String.Input(
                    "speaker",
                    default="",
                    tooltip="Whose faces are synced, a name from `speakers`, such as person B: one of these nodes for "
                    "each voice. Empty: all who speak, with one voice.",
                ),
                io.String.Input(
                    "people",
                    multiline=True,
                    default="",
                    tooltip="Corrections, one a line: speaker = person's letter on the sheet, or speaker = off for a "
                    "speaker who is never shown. The output `speakers` has the lines to start from.",
                ),
                io.String.Input(
                    "diarization",
                    extra_dict=ADVANCED,
                    multiline=True,
                    default="",
                    tooltip="Who speaks from when to when, where it is known: RTTM, a recogniser's JSON, or subtitles "
                    "that name speakers. It then decides about the times and names, and the mouths only about which "
                    "person each name is.",
                ),
                io.Audio.Input(
                    "original_audio",
                    optional=True,
                    tooltip="The voices as filmed. Without it the clip's own sound; IMAGE frames have none.",
                ),
            ],
            outputs=[
                Faces.Output(display_name="faces", tooltip="For LatentSync Face Sampler."),
                io.Image.Output(display_name="timeline", tooltip="Who is seen and who speaks when."),
                io.String.Output(display_name="report", tooltip="The same for machines, as JSON, with the scores."),
                io.String.Output(display_name="speakers", tooltip="Every speaker's person, as lines for `people`."),
            ],
        )

    @classmethod
    @check_inputs
    def execute(
        cls, faces: WithTensors, speaker: str, people: str, diarization: str, original_audio: Any = None
    ) -> io.NodeOutput:
        found, corrections, lines = faces.value, read_corrections(people), read_diarization(diarization)
        original = original_sound(found.clip) if original_audio is None else load_audio(original_audio)
        speech = find_speech(found, original, pack_temp_folder("found"), Progress().phase(words=Phase.SPEAKERS))
        segments, persons = assign_speakers(found, speech, lines, corrections)
        chosen = choose_speaker(found, segments, speaker.strip())
        timeline = timeline_picture(chosen).permute(1, 2, 0)[None]  # 3HW -> 1HW3
        names = corrections_text(persons)
        text = [*report_text(chosen).splitlines(), *names.splitlines()]
        ui: dict[str, Any] = preview_image(people_sheet(chosen)) | {"text": text}
        return io.NodeOutput(faces._replace(value=chosen), timeline, json.dumps(report_data(chosen)), names, ui=ui)
