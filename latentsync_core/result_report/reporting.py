"""Reports on a dubbed film from files: finds the source's faces, measures, and puts it into words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..audio.source import AudioSource, load_audio
from ..errors import AudioError
from ..evaluation.syncnet import CARRIED_SYNCNET, load_syncnet
from ..faces.face_options import FaceOptions
from ..faces.face_tracks import FaceTracks
from ..faces.find import find_faces
from ..progress import PhaseClock, PhaseProgress, Progress
from ..trepa.video_encoder import load_video_encoder
from ..video.clip import Clip
from ..video.reading.probing import probe
from .findings import Networks, result_data, result_text
from .measures import ResultMeasures, measure_result
from .page import write_page
from .paired_crops import match_frames
from .picture import report_picture

CARRIED = "the carried SyncNet"
ENCODER = "the carried video encoder"


@dataclass(frozen=True, eq=False)
class ResultReport:
    """What was measured of a film, and by which networks."""

    measures: ResultMeasures
    networks: Networks

    @property
    def text(self) -> str:
        """Lines for a terminal."""
        return result_text(self.measures, self.networks)

    @property
    def data(self) -> dict:
        """JSON's own types."""
        return result_data(self.measures, self.networks)

    @property
    def picture(self) -> torch.Tensor:
        """(3, h, w) float32 in [0, 1]."""
        return report_picture(self.measures, self.networks)

    def write_page(self, path: Path) -> None:
        """Writes the report as one HTML file that loads nothing.

        Raises:
            OutputError: `path` can't be written to.
        """
        write_page(path, self.measures, self.networks)


def report_on(
    result: Path,
    source: Path,
    voice: Path | None = None,
    options: FaceOptions | None = None,
    marks: str = "",
    work_folder: Path | None = None,
    syncnet: Path | None = None,
    on_progress: PhaseProgress | None = None,
) -> ResultReport:
    """Measures a dubbed film beside the clip that it was made from.

    Args:
        voice: what the mouths should follow, beginning with the first frame; None takes the result's own sound.
        options, marks, work_folder: how the source's faces are found, as `find_faces` takes them.
        syncnet: a checkpoint of LatentSync's SyncNet; None takes the small network that is carried.
        on_progress: phases faces and report; raising from it cancels.

    Raises:
        VideoError: a clip can't be read, or the sizes differ.
        AudioError: there is no sound, or it can't be read.
        FaceError: the source shows no face.
        ModelError: `syncnet` is no SyncNet.
    """
    clock = PhaseClock(on_progress)
    before, after = probe(source), probe(result)
    match_frames(before, after)  # a wrong file is refused before the faces are found, which takes minutes
    sound = _own_sound(after) if voice is None else load_audio(voice)
    with clock.phase("faces") as on_faces:
        faces = find_faces(before, options, marks=marks, folder=work_folder, on_progress=on_faces)
    with clock.phase("report") as on_frames:
        return report_on_clips(faces, after, sound, syncnet, on_frames)


def report_on_clips(
    faces: FaceTracks,
    result: Clip,
    voice: AudioSource | None = None,
    syncnet: Path | None = None,
    on_progress: Progress | None = None,
) -> ResultReport:
    """Measures a dubbed film beside the faces of the clip that it was made from; otherwise like `report_on`."""
    network = load_syncnet(syncnet or CARRIED_SYNCNET)
    measures = measure_result(faces, result, voice or _own_sound(result), network, load_video_encoder(), on_progress)
    return ResultReport(measures, Networks(syncnet.name if syncnet else CARRIED, ENCODER, is_carried=syncnet is None))


def _own_sound(result: Clip) -> AudioSource:
    if result.container is None or result.audio_codec is None:
        raise AudioError(f"{result.name} has no sound to compare its mouths with; give the voice as well")
    return load_audio(result.container, result)
