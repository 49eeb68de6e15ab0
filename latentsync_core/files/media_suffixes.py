"""The suffixes of media: what names of inputs and results may end in. Reading goes by a file's content instead."""

from __future__ import annotations

VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".mk3d", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".m2v",
    ".vob", ".mxf", ".gxf", ".wmv", ".asf", ".flv", ".f4v", ".ogv", ".dv", ".3gp", ".3g2", ".wtv", ".rm", ".rmvb",
    ".y4m", ".nut", ".ivf", ".obu", ".h264", ".264", ".h265", ".265", ".hevc", ".vvc", ".mjpg", ".mjpeg",
})  # fmt: skip
SOUND_SUFFIXES = frozenset({
    ".wav", ".w64", ".aiff", ".aif", ".aifc", ".caf", ".au", ".mp3", ".mp2", ".m4a", ".m4b", ".aac", ".flac", ".ogg",
    ".oga", ".opus", ".wma", ".mka", ".ac3", ".eac3", ".ec3", ".dts", ".thd", ".amr", ".wv", ".ape", ".tta", ".tak",
})  # fmt: skip
PICTURE_SUFFIXES = frozenset({
    ".png", ".apng", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif", ".dpx",
})  # fmt: skip
MEDIA_SUFFIXES = VIDEO_SUFFIXES | SOUND_SUFFIXES | PICTURE_SUFFIXES
