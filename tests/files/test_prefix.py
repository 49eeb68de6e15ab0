"""Prefixes of output files stay below their folder, on every system."""

import os

import pytest

from latentsync_core.errors import OptionError
from latentsync_core.files.prefix import file_prefix


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("LatentSync/dub", "LatentSync/dub"),
        ("a\\b", "a/b"),
        ("", ""),
        ("scène 5 – prise 2", "scène 5 – prise 2"),
        ("v1.2/take.3", "v1.2/take.3"),
        ("%date:yyyy-MM-dd%/%width%", "%date:yyyy-MM-dd%/%width%"),
        ("-dash", "-dash"),
        ("console/nullable", "console/nullable"),
        ("..dub", "..dub"),
        ("./dub", "./dub"),
    ],
)
def test_a_good_prefix_is_kept(prefix, path):
    assert file_prefix(prefix, windows=False) == path


@pytest.mark.parametrize("windows", [True, False])
@pytest.mark.parametrize(
    "prefix",
    [
        "/etc/dub", "\\\\server\\share\\dub", "C:\\dub", "c:dub", "D:/dub", "../dub", "a/../../dub", "..\\dub", "a/..",
        ".. /dub", "a/... /b", "nul\0", "line\nbreak", "tab\t", "escape\x1b[2J", "undecodable\udcff",
        "a" * 5000, "é" * 100, "CON", "con.txt", "a/NUL/b", "LPT1", "com9.mov", "aux ",
    ],
)  # fmt: skip
def test_a_prefix_that_leaves_the_folder_or_is_no_name_is_refused(prefix, windows):
    with pytest.raises(OptionError, match="write a name such as") as error:
        file_prefix(prefix, windows)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("prefix", ["take?", "ab:stream", 'quo"te', "pipe|", "star*", "trailing.", "folder /dub"])
def test_names_that_windows_lacks_are_refused_there_alone(prefix):
    assert file_prefix(prefix, windows=False) == prefix
    with pytest.raises(OptionError, match="Windows"):
        file_prefix(prefix, windows=True)


def test_the_running_system_decides():
    assert (os.name == "nt") == (not _taken("take?"))


def _taken(prefix: str) -> bool:
    try:
        file_prefix(prefix)
    except OptionError:
        return False
    return True
