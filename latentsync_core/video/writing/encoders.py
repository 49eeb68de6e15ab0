"""The table of encoders: what each codec is written by, which samples it holds, and what it goes into.

docs/cli.md has the same table in words; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

X265_QUIET = "log-level=error"  # x265 writes its settings to the terminal otherwise


class Codec(Enum):
    """What the picture is written as; each has its one container."""

    H264 = "h264"
    PRORES = "prores"
    FFV1 = "ffv1"
    HEVC = "hevc"
    DNXHR = "dnxhr"
    MATCH_SOURCE = "match-source"
    PNG = "png"
    TIFF = "tiff"

    @property
    def suffix(self) -> str:
        """The container's; of a sequence its pictures'. The codec that matches the source is known with the source."""
        return "" if self is Codec.MATCH_SOURCE else ENCODERS[self].suffix

    @property
    def label(self) -> str:
        return "the source's codec" if self is Codec.MATCH_SOURCE else ENCODERS[self].label

    @property
    def is_sequence(self) -> bool:
        """Whether it is a folder of pictures."""
        return self in (Codec.PNG, Codec.TIFF)

    @property
    def is_intra(self) -> bool:
        """Whether it is a film whose frames are encoded each by itself, so that its packets can be copied."""
        return self in (Codec.PRORES, Codec.FFV1, Codec.DNXHR)


@dataclass(frozen=True)
class Encoder:
    """A row of the table. Among the pixel formats, the first that loses nothing of the source is taken."""

    label: str  # as messages name it
    suffix: str
    args: tuple[str, ...]  # ffmpeg's
    pixel_formats: tuple[str, ...]  # ffmpeg's names, the leanest first; none: all that are supported
    min_bits_per_sample: float  # of pictures that people film; mostly it is several times as many
    matrix: str | None = None  # the only one that decoders take such a file to have, whatever its container says
    has_quality: bool = False  # whether crf and preset count
    min_size: tuple[int, int] = (1, 1)  # pixels
    alpha_args: tuple[str, ...] | None = None  # more of ffmpeg's for frames with alpha; None: it holds none


def _yuv(*suffixes: str) -> tuple[str, ...]:
    return tuple(f"yuv{chroma}p{suffix}" for suffix in suffixes for chroma in ("420", "422", "444"))


def _x265(*suffixes: str) -> Encoder:
    # Apple's players want that tag.
    args = ("-c:v", "libx265", "-tag:v", "hvc1", "-x265-params", X265_QUIET)
    depths = "10 bits" if suffixes == ("10le",) else "8 to 12 bits"
    return Encoder(f"HEVC of {depths}", ".mp4", args, _yuv(*suffixes), 0.004, has_quality=True)


def _prores(label: str, profile: str, bits: float, pixel_format: str = "yuv422p10le") -> Encoder:
    args = ("-c:v", "prores_ks", "-profile:v", profile, "-vendor", "apl0")
    with_alpha = pixel_format.replace("yuv", "yuva")
    alpha_args = ("-pix_fmt", with_alpha, "-alpha_bits", "16") if "444" in pixel_format else None
    return Encoder(f"ProRes {label}", ".mov", args, (pixel_format,), bits, alpha_args=alpha_args)


def _dnxhr(profile: str, bits: float, pixel_format: str) -> Encoder:
    args = ("-c:v", "dnxhd", "-profile:v", f"dnxhr_{profile}")
    label = f"DNxHR {profile.upper()}"
    return Encoder(label, ".mov", args, (pixel_format,), bits, matrix="bt709", min_size=(256, 120))


ENCODERS = {
    Codec.H264: Encoder("H.264", ".mp4", ("-c:v", "libx264"), _yuv("", "10le"), 0.005, has_quality=True),
    Codec.PRORES: _prores("422 HQ", "hq", 0.5),
    Codec.FFV1: Encoder("FFV1 (lossless)", ".mkv", ("-c:v", "ffv1", "-g", "1"), (), 1.0, alpha_args=()),
    Codec.HEVC: _x265("10le"),
    Codec.DNXHR: _dnxhr("hqx", 0.5, "yuv422p10le"),
    Codec.PNG: Encoder(
        "a PNG sequence",
        ".png",
        ("-c:v", "png", "-pix_fmt", "rgb48be"),
        ("gbrp16le",),
        0.5,
        alpha_args=("-pix_fmt", "rgba64be"),
    ),
    Codec.TIFF: Encoder(
        "a TIFF sequence",
        ".tif",
        ("-c:v", "tiff", "-compression_algo", "deflate", "-pix_fmt", "rgb48le"),
        ("gbrp16le",),
        0.5,
        alpha_args=("-pix_fmt", "rgba64le"),
    ),
}
VARIANTS = {  # of a codec, by the profile that ffmpeg reports of a source; the codec itself, or its 4:4:4 form
    (Codec.HEVC, "source"): _x265("", "10le", "12le"),
    (Codec.PRORES, "Proxy"): _prores("422 Proxy", "proxy", 0.1),
    (Codec.PRORES, "LT"): _prores("422 LT", "lt", 0.2),
    (Codec.PRORES, "Standard"): _prores("422", "standard", 0.3),
    (Codec.PRORES, "4444"): _prores("4444", "4444", 0.5, "yuv444p10le"),
    (Codec.PRORES, "XQ"): _prores("4444 XQ", "4444xq", 0.5, "yuv444p10le"),
    (Codec.DNXHR, "DNXHR 444"): _dnxhr("444", 0.5, "yuv444p10le"),
    (Codec.DNXHR, "DNXHR HQ"): _dnxhr("hq", 0.3, "yuv422p"),
    (Codec.DNXHR, "DNXHR SQ"): _dnxhr("sq", 0.2, "yuv422p"),
    (Codec.DNXHR, "DNXHR LB"): _dnxhr("lb", 0.05, "yuv422p"),
}


def encoder(codec: Codec, variant: str = "") -> Encoder:
    """The row of a codec, or of a variant of it where there is one."""
    return VARIANTS.get((codec, variant)) or ENCODERS[codec]
