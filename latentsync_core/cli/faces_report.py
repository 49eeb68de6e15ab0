"""Lists the people in a clip and when they appear: text, JSON and two preview pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch

from ..audio.pause_options import PauseOptions
from ..audio.source import load_audio
from ..audio.speech_activity import detect_speech
from ..errors import OutputError
from ..faces.contact_sheets import people_sheet
from ..faces.face_options import FaceOptions
from ..faces.find import find_faces
from ..faces.report import report_data, report_text, timeline_picture
from ..files.output_checks import check_no_overwrite
from ..progress import Progress
from ..speakers.active_speaker import find_speech, original_sound
from ..speakers.assignment import assign_speakers, with_speech
from ..video.reading.deinterlacing import with_deinterlacing
from ..video.reading.probing import probe


@dataclass(frozen=True)
class FaceReport:
    """What was found."""

    text: str
    data: dict  # JSON's own types; see faces/report.py
    files: tuple[Path, ...]  # what was written


def list_faces(
    video: str | Path,
    folder: Path | None = None,
    options: FaceOptions | None = None,
    marks: str = "",
    work_folder: Path | None = None,
    inputs: Sequence[tuple[str, Path | None]] = (),
    on_progress: Progress | None = None,
    deinterlace: bool = False,
    fps: Fraction | None = None,
    audio: str | Path | None = None,
    pauses: PauseOptions | None = None,
    on_clip_progress: Progress | None = None,
    speakers: bool = False,
    on_speakers_progress: Progress | None = None,
) -> FaceReport:
    """Finds every face of `video`; into `folder` go people.png, timeline.png and faces.json, over older ones
    but never over the video or one of `inputs`, each a name for messages and a file.
    `fps` is that of a sequence of pictures; `on_clip_progress` is `probe`'s.

    Args:
        audio: the voice that is to drive the mouth; timeline.png then shows where it speaks, as `pauses` find it.

        speakers: whether to find who speaks in the clip's own sound: it is then reported and shown, and `synced` is
            what `sync --speaker auto` syncs.

    Raises:
        LatentSyncError: the clip or the voice can't be read, the clip shows no face, or `folder` can't be written to.
    """
    files: list[Path] = []
    if folder is not None:
        files = [Path(folder) / name for name in ("people.png", "timeline.png", "faces.json")]
        check_no_overwrite(files, (("the video", video), ("the voice", audio), *inputs))
    voice = None if audio is None else load_audio(audio)
    clip = with_deinterlacing(probe(video, fps, on_clip_progress), deinterlace)
    original = original_sound(clip) if speakers else None
    faces = find_faces(clip, options, marks=marks, folder=work_folder, on_progress=on_progress)
    if original is not None:
        segments, _ = assign_speakers(faces, find_speech(faces, original, work_folder, on_speakers_progress))
        faces = with_speech(faces, segments)
    text, data = report_text(faces), report_data(faces)
    if folder is None:
        return FaceReport(text, data, ())
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        _write_picture(people_sheet(faces), files[0])
        speech = None
        if voice is not None:
            speech = detect_speech(voice).weights(faces.clip.times, pauses or PauseOptions())
        _write_picture(timeline_picture(faces, speech), files[1])
        files[2].write_text(json.dumps(data, indent=1), "utf-8")
    except OSError as problem:
        raise OutputError(f"can't write into {folder}: {problem.strerror or problem}; choose another folder") from None
    return FaceReport(text, data, tuple(files))


def _write_picture(rgb: torch.Tensor, path: Path) -> None:
    from PIL import Image

    levels = (rgb.clamp(0, 1) * 255).round().to(torch.uint8)
    Image.fromarray(levels.permute(1, 2, 0).numpy()).save(path)
