"""One list of media suffixes holds all that are read, fetched and written."""

from __future__ import annotations

import pytest

from latentsync_core.errors import OptionError
from latentsync_core.files.media_suffixes import MEDIA_SUFFIXES
from latentsync_core.remote.store import SUFFIX_BY_MEDIA_TYPE
from latentsync_core.video.reading.picture_sequence import SEQUENCE_SUFFIXES
from latentsync_core.video.reading.pictures import PILLOW_SUFFIXES
from latentsync_core.video.writing.encoders import Codec
from latentsync_core.video.writing.encoding import output_path


def test_the_list_holds_every_suffix_that_something_here_knows():
    written = {codec.suffix for codec in Codec if codec.suffix}
    assert not {*PILLOW_SUFFIXES, *SEQUENCE_SUFFIXES, *SUFFIX_BY_MEDIA_TYPE.values(), *written} - MEDIA_SUFFIXES


def test_every_suffix_is_written_in_small_letters_with_its_dot():
    assert all(suffix == suffix.lower() and suffix[0] == "." and suffix[1:].isalnum() for suffix in MEDIA_SUFFIXES)


@pytest.mark.parametrize("name", ["take.mxf", "take.HEIC", "take.avif", "take.rmvb", "take.ec3"])
def test_a_result_is_not_called_like_other_media(name):
    with pytest.raises(OptionError, match=r"is written to a \.mp4 file"):
        output_path(name, Codec.H264)
