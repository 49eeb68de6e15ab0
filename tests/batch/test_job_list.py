"""Lists of jobs are read as spreadsheets and scripts write them; what is no list is refused with the reason."""

from __future__ import annotations

import json
import time

import pytest

from latentsync_core.batch.job_list import Job, read_job_list
from latentsync_core.errors import OptionError

ROW = (("video", "a.mp4"), ("audio", "a.wav"), ("mux-audio", "mix.wav"))


@pytest.mark.parametrize(
    "content",
    [
        b"video,audio,mux_audio\na.mp4,a.wav,mix.wav\n",
        b"Video;Audio;Mux audio;Seed\r\na.mp4;a.wav;mix.wav;\r\n",
        b"\xef\xbb\xbf--video\t--audio\t--mux-audio\na.mp4\ta.wav\tmix.wav",
        "video,audio,mux-audio\na.mp4,a.wav,mix.wav\n".encode("utf-16"),
        b'video,audio,mux-audio\n"a.mp4"," a.wav ","mix.wav"\n\n,,\n',
    ],
    ids=["plain", "semicolons, CRLF, an empty cell", "byte order mark, tabs", "UTF-16", "quotes, empty rows"],
)
def test_every_spreadsheets_csv_gives_the_same_row(tmp_path, content):
    path = tmp_path / "jobs.csv"
    path.write_bytes(content)
    assert read_job_list(path) == [Job(1, ROW)]


def test_a_value_may_hold_the_delimiter_a_line_break_and_a_repeated_column(tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text('video,speaker,speaker\n"a, b.mp4",person:1=x.wav,"person:2=y\n.wav"\nc.mp4,,\n', "utf-8")
    assert read_job_list(path) == [
        Job(1, (("video", "a, b.mp4"), ("speaker", "person:1=x.wav"), ("speaker", "person:2=y\n.wav"))),
        Job(2, (("video", "c.mp4"),)),
    ]


def test_json_keeps_numbers_switches_and_lists(tmp_path):
    path = tmp_path / "jobs.json"
    row = {"video": "a.mp4", "seed": 7, "cfg": 1.5, "offload": True, "marks": None, "speaker": ["left=a.wav", "b=c"]}
    path.write_text(json.dumps([row, {}]), "utf-8")
    settings = (("video", "a.mp4"), ("seed", "7"), ("cfg", "1.5"), ("offload", "true"))
    assert read_job_list(path) == [Job(1, (*settings, ("speaker", "left=a.wav"), ("speaker", "b=c")))]


def test_a_folders_clips_get_the_sound_of_their_name(tmp_path):
    for name in ("b.mp4", "b.wav", "a.MOV", "a.flac", "c.mkv", "notes.txt", ".hidden.mp4", "lone.wav"):
        (tmp_path / name).touch()
    found = [
        [(name, value.removeprefix(f"{tmp_path}/")) for name, value in job.settings] for job in read_job_list(tmp_path)
    ]
    assert found == [
        [("video", "a.MOV"), ("audio", "a.flac")],
        [("video", "b.mp4"), ("audio", "b.wav")],
        [("video", "c.mkv")],
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("jobs.csv", b"", "holds no job"),
        ("jobs.csv", b"video,audio\n", "holds no job"),
        ("jobs.csv", b"video,audio\na.mp4,a.wav,b.wav\n", "Row 1 of jobs.csv has 3 values, but there are 2 columns"),
        ("jobs.csv", b"video,\na.mp4,a.wav\n", "'a.wav' in row 1 of jobs.csv stands in a column without a name"),
        ("jobs.csv", b'video\n"a.mp4\n', "is no CSV file"),
        ("jobs.csv", b"video\nd\xe9j\xe0.mp4\n", "not UTF-8 at byte 7"),
        ("jobs.json", b"{}", "has to be a list of objects"),
        ("jobs.json", b"[1]", "has to be a list of objects"),
        ("jobs.json", b'[{"video": {}}]', "'video' of row 1 is an object"),
        ("jobs.json", b"[{", "is no JSON file"),
        ("jobs.json", b"[" * 100_000, "is no JSON file"),
        ("jobs.txt", b"video", "is no list of jobs"),
    ],
)
def test_what_is_no_list_is_refused_with_the_reason(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OptionError, match=reason):
        read_job_list(tmp_path / name)


@pytest.mark.parametrize("name", ["missing.csv", "nul\0.csv", "x" * 300 + ".csv"])
def test_a_list_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(OptionError, match=r"There is no|can't be read"):
        read_job_list(tmp_path / name)


def test_ten_thousand_rows_are_read_in_a_fraction_of_the_time_that_a_batch_may_take_to_start(tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text(
        "video,audio,out,seed\n" + "".join(f"a{n}.mp4,a.wav,b{n}.mp4,{n}\n" for n in range(10_000)), "utf-8"
    )
    started = time.process_time()
    assert len(read_job_list(path)) == 10_000
    assert time.process_time() - started < 2
