"""The engine's door to clips: what one is (`probe`), its frames (`FrameReader`), and a new file (`FrameWriter`)."""

from .files.output_checks import check_target
from .video.reading.probing import check_identity, clip_from_images, probe
from .video.reading.reader import FrameReader
from .video.writing.encoding import Codec, WriterOptions, output_path
from .video.writing.writer import FrameWriter

__all__ = [
    "Codec",
    "FrameReader",
    "FrameWriter",
    "WriterOptions",
    "check_identity",
    "check_target",
    "clip_from_images",
    "output_path",
    "probe",
]
