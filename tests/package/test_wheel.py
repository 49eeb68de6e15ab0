"""`pip install .` installs the engine, its assets and the command latentsync-dub, and nothing of the pack around it."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from latentsync_core.required_packages import EXTRAS, PACKAGES
from tests.installed_tree import copy_files, project_facts, run_python, tracked_files

MAX_BYTES = 64_000_000  # of the wheel, and of what it unpacks to
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
# The installed command, under its name.
COMMAND = "import sys; sys.argv[0] = '/usr/bin/latentsync-dub'; from latentsync_core.cli.commands import run; run()"
# A lip-sync, and then, in the same process, the networks that a lip-sync doesn't open.
LIP_SYNC_AND_OPEN_NETWORKS = """
import sys
from latentsync_core.cli.commands import main
assert main(sys.argv[1:]) == 0
from latentsync_core.evaluation.syncnet import load_syncnet
from latentsync_core.trepa.video_encoder import load_video_encoder
print(load_syncnet().config.face_size, load_video_encoder().config.size)
"""
MISSING = """
from latentsync_core.required_packages import importing
with importing("diffusers"):
    import diffusers
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from the files under version control in another folder."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    copy_files(tracked_files(), source)
    command = [sys.executable, "-c", BUILD, str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Deprecat" not in done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """The wheel as pip unpacks it."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    return folder


def in_dist_info(wheel: Path, name: str) -> str:
    """The text of a file of the wheel's metadata."""
    with zipfile.ZipFile(wheel) as file:
        return file.read(next(one for one in file.namelist() if one.endswith(f".dist-info/{name}"))).decode()


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    return Parser().parsestr(in_dist_info(wheel, "METADATA"))


def test_the_wheel_holds_the_whole_engine_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    assert names == {name for name in tracked_files() if name.startswith("latentsync_core/")}
    assert "latentsync_core/py.typed" in names
    assert in_dist_info(wheel, "top_level.txt").split() == ["latentsync_core"]


def test_the_wheel_stays_small(wheel):
    with zipfile.ZipFile(wheel) as file:
        unpacked = sum(one.file_size for one in file.infolist())
    assert wheel.stat().st_size < unpacked < MAX_BYTES


def test_the_metadata_names_version_licences_and_what_the_engine_needs(metadata):
    assert metadata["Name"] == "comfyui-latentsync-dub"
    assert metadata["Version"] == project_facts()["project"]["version"]
    assert metadata["License-Expression"] == "Apache-2.0"
    licences = set(metadata.get_all("License-File"))
    assert licences >= {"LICENSE", "THIRD_PARTY_NOTICES", "latentsync_core/assets/nano/LICENSE.whisper"}
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert needed == [package.requirement for package in PACKAGES if not package.optional]
    assert set(metadata.get_all("Provides-Extra")) == {
        package.name for package in (*PACKAGES, *EXTRAS) if package.optional
    }


def test_its_command_runs_the_command_line(wheel, site, tmp_path):
    entries = configparser.ConfigParser()
    entries.read_string(in_dist_info(wheel, "entry_points.txt"))
    assert dict(entries["console_scripts"]) == {"latentsync-dub": "latentsync_core.cli.commands:run"}
    helped = run_python(["-c", COMMAND, "--help"], tmp_path, site)
    assert helped.stdout.startswith("usage: latentsync-dub [-h] COMMAND"), helped.stderr


@pytest.mark.slow
def test_installed_alone_it_lip_syncs_from_another_folder(site, tmp_path):
    """Quick: test_the_wheel_holds_the_whole_engine_and_nothing_else, test_its_command_runs_the_command_line."""
    sample = site / "latentsync_core" / "assets" / "sample"
    media = ["--video", str(sample / "scene.mp4"), "--audio", str(sample / "voice_en.flac"), "--out", "out.mp4"]
    arguments = ["sync", *media, "--model", "nano", "--steps", "1", "--end", "0.2", "--json"]
    done = run_python(["-c", LIP_SYNC_AND_OPEN_NETWORKS, *arguments], tmp_path, site)
    assert done.returncode == 0, done.stderr
    *report, opened = done.stdout.splitlines()
    assert json.loads("\n".join(report))["synced_frames"] > 0
    assert (tmp_path / "out.mp4").stat().st_size > 0
    assert opened == "(64, 64) 64"


def test_installed_alone_a_missing_package_is_answered_with_a_pip_command(site, tmp_path):
    done = run_python(["-S", "-c", MISSING], tmp_path, site)  # -S: none of the installed packages
    sentence = done.stderr.strip().splitlines()[-1]
    assert "diffusers is not installed" in sentence
    requirement = next(package.requirement for package in PACKAGES if package.name == "diffusers")
    assert re.search(rf"to add it, run: .+ -m pip install '?\"?{re.escape(requirement)}'?\"?$", sentence), sentence
