"""The engine's door to clips: what one is (`probe`), its frames (`FrameReader`), and a new file (`FrameWriter`)."""

from .encoding import Codec, WriterOptions, output_path
from .output_checks import check_target
from .probing import check_identity, clip_from_images, probe
from .video_read import FrameReader
from .video_write import FrameWriter

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
