"""Reports on a dubbed film from files: finds the source's faces, measures, and puts it into words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..audio.source import load_audio
from ..errors import AudioError
from ..evaluation.syncnet import CARRIED_SYNCNET, load_syncnet
from ..faces.face_options import FaceOptions
from ..faces.find import find_faces
from ..progress import PhaseClock, PhaseProgress
from ..trepa.video_encoder import load_video_encoder
from ..video.reading.probing import probe
from .findings import Networks, result_data, result_text
from .measures import ResultMeasures, measure_result
from .page import write_page

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
    if voice is None and after.audio_codec is None:
        raise AudioError(f"{result} has no sound to compare its mouths with; give the voice as well")
    sound = load_audio(result, after) if voice is None else load_audio(voice)
    network = load_syncnet(syncnet or CARRIED_SYNCNET)
    with clock.phase("faces") as on_faces:
        faces = find_faces(before, options, marks=marks, folder=work_folder, on_progress=on_faces)
    with clock.phase("report") as on_frames:
        measures = measure_result(faces, after, sound, network, load_video_encoder(), on_frames)
    names = Networks(CARRIED if syncnet is None else syncnet.name, ENCODER, is_carried=syncnet is None)
    return ResultReport(measures, names)
