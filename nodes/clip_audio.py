"""Clip Audio node: a clip's sound, without decoding a frame."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..latentsync_core.audio.survey import cancellation_note
from ..latentsync_core.audio.track_choice import TrackChoice
from ..latentsync_core.media.downmix import Channels, cancelling_channel, downmix_channels
from ..latentsync_core.phases import Phase
from ._checks import check_inputs
from ._clips import audio_from_video
from ._comfy import Progress, input_names, schema
from ._inputs import ADVANCED
from ._wording import note_lines


class ClipAudio(io.ComfyNode):
    """Connects `clip_audio` to the graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LatentSyncDubClipAudio",
            display_name="LatentSync Clip Audio",
            description="A clip's own sound, cut where the clip is cut; not a single frame is decoded for it.",
            search_aliases=["extract audio", "video to audio", "audio from video"],
            inputs=[
                io.Video.Input("video", tooltip="From Load Video; a trim counts."),
                io.Combo.Input(
                    "channels",
                    options=[channels.value for channels in Channels],
                    default=Channels.ALL.value,
                    tooltip="all as they are; stereo or mono for nodes that can't take surround sound.",
                ),
                io.Combo.Input(
                    "tracks",
                    extra_dict=ADVANCED,
                    options=[choice.value for choice in TrackChoice],
                    default=TrackChoice.FIRST.value,
                    tooltip="Audio tracks of the file: first takes the first one, all averages them, for broadcast "
                    "masters with a mono track for each channel.",
                ),
            ],
            outputs=[io.Audio.Output(display_name="audio", tooltip="At the clip's own rate.")],
        )

    @classmethod
    @check_inputs
    def execute(cls, video: Any, channels: str, tracks: str = TrackChoice.FIRST.value) -> io.NodeOutput:
        sound, notes = audio_from_video(video, TrackChoice(tracks), Progress().whole_bar(Phase.CLIP))
        waveform = sound["waveform"]
        if (
            Channels(channels) is Channels.MONO
            and (channel := cancelling_channel(waveform[0], sound["sample_rate"])) is not None
        ):
            waveform = waveform[:, channel : channel + 1]
            notes = (*notes, cancellation_note("the sound", channel))
        audio = {**sound, "waveform": downmix_channels(waveform, Channels(channels))}
        return io.NodeOutput(audio, ui={"text": note_lines(notes, input_names(cls))})
