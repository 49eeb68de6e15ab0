"""Finds the codec that a clip is in, with its profile, among those that can be written."""

from __future__ import annotations

from dataclasses import replace

from ...errors import OptionError
from ..clip import Clip
from .encoders import VARIANTS, Codec
from .writer_options import WriterOptions

SOURCE_CODECS = {  # ffmpeg's name of what a clip is in
    "h264": Codec.H264,
    "hevc": Codec.HEVC,
    "prores": Codec.PRORES,
    "dnxhd": Codec.DNXHR,
    "ffv1": Codec.FFV1,
}


def match_source(clip: Clip, options: WriterOptions) -> WriterOptions:
    """`options` with a codec and its variant in place of MATCH_SOURCE; any others as they are.

    HEVC is written with the source's own bits, ProRes and DNxHR in the source's profile. DNxHD, whose bit rates go with
    certain sizes, becomes DNxHR HQX.

    Raises:
        OptionError: the clip is in none of those codecs, or in memory.
    """
    if options.codec is not Codec.MATCH_SOURCE:
        return options
    codec = SOURCE_CODECS.get(clip.video_codec or "")
    if codec is None:
        found = f"{clip.name} is in {clip.video_codec}" if clip.video_codec else f"{clip.name} is in no codec"
        raise OptionError(
            f"{found}, which can't be written: choose one of "
            f"{', '.join(known.value for known in Codec if known is not Codec.MATCH_SOURCE)} as the codec."
        )
    variant = "source" if codec is Codec.HEVC else clip.video_profile or ""
    return replace(options, codec=codec, variant=variant if (codec, variant) in VARIANTS else "")
