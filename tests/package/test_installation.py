"""Installing the pack moves nothing that is installed, and what it installs runs; what is in the way is reported.

The one test with a network installs real packages into a real environment of a year ago (transformers 4.57.3,
huggingface-hub 0.36.2, no diffusers); `python -m benchmarks.installations` tries many more.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.installations import PACK, Environment, requirement_lines, run
from latentsync_core.required_packages import EXTRAS, PACKAGES, Package
from tests.installed_tree import project_facts

SCRIPT = PACK / "install.py"
YEAR_AGO = ("transformers==4.57.3", "huggingface-hub==0.36.2", "safetensors==0.6.2", "tokenizers==0.22.1")
# What they and ComfyUI need besides, from the running environment: any version will do.
SHARED = ("torch", "numpy", "pillow", "einops", "av", "tqdm", "psutil", "regex", "requests", "pyyaml", "packaging")
SHARED = (*SHARED, "fsspec", "hf-xet", "pip")

BUILD_AUTOENCODER = """
from latentsync_core.models.vae import SD_VAE_CONFIG, DiffusersCodec
DiffusersCodec.from_config(SD_VAE_CONFIG)
"""


@pytest.fixture(scope="module")
def year_old(tmp_path_factory) -> Environment:
    """An environment with a ComfyUI's packages of a year ago, without diffusers and imageio-ffmpeg."""
    made = Environment.create(tmp_path_factory.mktemp("year_old") / "venv", ["--no-deps", *YEAR_AGO], SHARED)
    made.link_package("accelerate")
    return made


@pytest.mark.slow
def test_installing_into_a_year_old_environment_moves_nothing_and_works(year_old, tmp_path):
    """Quick: test_the_newest_release_that_fits_is_added, without a network,
    Quick: test_packages_that_are_broken_or_too_old_are_reported_in_one_sentence_each,
    Quick: test_its_command_runs_the_command_line.
    """
    before, unmet = year_old.versions(), year_old.unmet()
    assert (before["transformers"], before["huggingface-hub"], before["safetensors"]) == ("4.57.3", "0.36.2", "0.6.2")

    for line in requirement_lines():
        run([year_old.python, "-m", "pip", "install", "--quiet", line])
        assert year_old.imports("transformers")
    refused = run([year_old.python, "-c", BUILD_AUTOENCODER], check=False, cwd=PACK)
    sentence = refused.stderr.strip().splitlines()[-1]
    assert "ToolError: diffusers is not installed (version 0.28.0 or newer will do)" in sentence
    assert sentence.endswith(f"run: {year_old.python} {SCRIPT}")

    run([year_old.python, "-I", SCRIPT])  # isolated, as Windows' portable Python runs
    after = year_old.versions()
    assert {name: after.get(name) for name in before} == before
    assert year_old.unmet() <= unmet
    assert after.keys() >= {"diffusers", "imageio-ffmpeg"}
    done = year_old.lip_sync(tmp_path / "out.mp4")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.mp4").stat().st_size > 0


def test_plain_lines_name_packages_that_need_no_other_and_take_any_version():
    for line in requirement_lines():
        assert re.fullmatch(r"[a-z\d-]+", line), "a bound would move an older version"
        assert not [need for need in importlib.metadata.requires(line) or () if "extra ==" not in need]


def test_the_project_file_states_the_same_lowest_versions():
    project = project_facts()["project"]
    assert project["dependencies"] == [package.requirement for package in PACKAGES if not package.optional]
    extras = {package.name: [package.requirement] for package in (*PACKAGES, *EXTRAS) if package.optional}
    assert project["optional-dependencies"] == extras


@pytest.mark.parametrize(
    ("version", "allowed"),
    [("0.25.0", True), ("0.25", True), ("0.42.1.dev0", True), ("v1.0+cu128", True), ("0.24.9", False), ("main", True)],
)
def test_versions_are_compared_by_their_numbers(version, allowed):
    assert Package("diffusers", "", "0.25.0").allows(version) is allowed


BROKEN = """
import torch
from latentsync_core.errors import ToolError
from latentsync_core.media.ffmpeg import ffmpeg_executable
from latentsync_core.models.unet.offload import offload
from latentsync_core.models.vae import SD_VAE_CONFIG, DiffusersCodec
from latentsync_core.models.whisper.encoder import WhisperEncoder
from latentsync_core.video.reading.probing import probe
from latentsync_core.sampling.denoising.denoise import denoise_window
from latentsync_core.sampling.denoising.solvers import make_scheduler
from latentsync_core.sampling.sampler_options import Scheduler

for use in (
    lambda: DiffusersCodec.from_config(SD_VAE_CONFIG),
    lambda: make_scheduler(Scheduler.UNIPC),
    lambda: WhisperEncoder.from_openai({"dims": {}, "model_state_dict": {}}),
    lambda: offload(torch.nn.Linear(1, 1), torch.device("cpu")),
    lambda: denoise_window(torch.nn.Linear(1, 1), *[torch.zeros(1)] * 5, steps=1, cfg=1.0),
    ffmpeg_executable,
    lambda: probe("clip.mp4"),
):
    try:
        use()
    except ToolError as problem:
        print(problem)
"""


def test_packages_that_are_broken_or_too_old_are_reported_in_one_sentence_each(tmp_path):
    """Stand-ins that fail as the real ones do where two of them don't fit each other."""
    lazy = (
        "try:\n    from json import absent\nexcept ImportError as cause:\n    raise RuntimeError('look up') from cause"
    )
    for name, version, body in (
        ("diffusers", "0.42.1", "raise ImportError(\"cannot import name 'resolve_revision'\")"),
        ("transformers", "4.20.0", ""),
        ("accelerate", "1.15.0", lazy),
        ("einops", "0.8.1", "raise OSError('DLL load failed')"),
        ("imageio_ffmpeg", "0.6.0", "raise ValueError('numpy.dtype size changed')"),
        ("av", "13.1.0", ""),
    ):
        installed(tmp_path, name, version)
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(body)
    (tmp_path / "clip.mp4").write_bytes(bytes(100))
    done = subprocess.run(
        [sys.executable, "-c", BROKEN],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(PACK)])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    vae, scheduler, whisper, offload, einops, ffmpeg, clip = done.stdout.splitlines()
    assert vae == scheduler
    assert "diffusers 0.42.1 is installed but can't be imported (cannot import name 'resolve_revision')" in vae
    assert whisper.startswith("transformers 4.20.0 is too old, version 4.25.1 or newer is needed")
    assert whisper.endswith(f"{SCRIPT} transformers")
    assert "accelerate 1.15.0" in offload
    assert "(cannot import name 'absent' from 'json'" in offload
    assert "einops 0.8.1 is installed but can't be imported (DLL load failed)" in einops
    assert "imageio-ffmpeg 0.6.0" in ffmpeg
    assert clip.startswith("av 13.1.0 is too old")


def test_constraints_hold_what_is_installed_and_what_its_owners_ask_of_the_rest(tmp_path, monkeypatch):
    installed(tmp_path, "torch", "2.13.0+cpu")
    installed(tmp_path, "Odd.Name", "2020b-dirty")
    installed(tmp_path, "huggingface_hub", "0.36.2")
    needs = ["huggingface-hub<1.0", "diffusers[torch]<0.40", "peft>=1; extra == 'lora'", "here @ file:///tmp/here", "x"]
    installed(tmp_path, "asker", "1.0", needs)
    (tmp_path / "remains-1.0.dist-info").mkdir()
    specification = importlib.util.spec_from_file_location("pack_installer", SCRIPT)
    install = importlib.util.module_from_spec(specification)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "pack_installer", install)
    specification.loader.exec_module(install)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    versions = install.installed_versions()
    assert versions == {"torch": "2.13.0+cpu", "odd-name": "2020b-dirty", "huggingface-hub": "0.36.2", "asker": "1.0"}
    lines = ["asker==1.0", "huggingface-hub==0.36.2", "torch==2.13.0+cpu", "diffusers<0.40"]
    assert install.constraints(versions) == lines
    lines = ["asker==1.0", "torch==2.13.0+cpu", "diffusers<0.40", "huggingface-hub<1.0"]
    assert install.constraints(versions, ["huggingface-hub"]) == lines


@pytest.fixture
def made_up(tmp_path) -> Environment:
    """An environment with a real pip and packages that are only their metadata; pip finds others in `tmp_path`."""
    made = Environment.create(tmp_path / "venv", (), ["pip"])
    for package in PACKAGES:
        if package.name not in ("diffusers", "torchaudio"):
            installed(made.site_packages, package.name, package.min_version or "2.0")
    return made


def run_script(environment: Environment, wheels: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """install.py there, with no other packages to be had than those in `wheels`."""
    settings = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
    command = [environment.python, str(SCRIPT), *names]
    return subprocess.run(command, env=settings, capture_output=True, text=True, cwd=wheels)


def test_the_newest_release_that_fits_is_added(made_up, tmp_path):
    wheel(tmp_path, "diffusers", "0.42.1", ["huggingface-hub>=1.32"])
    wheel(tmp_path, "diffusers", "0.37.1", ["huggingface-hub>=0.25", "zipp"])
    wheel(tmp_path, "diffusers", "0.30.0", ["huggingface-hub"])
    wheel(tmp_path, "zipp", "4.1.2")
    wheel(tmp_path, "torchaudio", "2.0")  # its builds belong to torch's, so that it is never added
    wheel(tmp_path, "huggingface-hub", "2.4.0")
    before = made_up.versions()
    done = run_script(made_up, tmp_path)
    assert "installing diffusers==0.37.1, zipp==4.1.2" in done.stdout
    assert made_up.versions() == before | {"diffusers": "0.37.1", "zipp": "4.1.2"}


def test_where_nothing_fits_nothing_changes_and_what_is_in_the_way_is_printed(made_up, tmp_path):
    wheel(tmp_path, "diffusers", "0.42.1", ["huggingface-hub>=1.32"])
    wheel(tmp_path, "huggingface-hub", "2.4.0")
    before = made_up.versions()
    done = run_script(made_up, tmp_path)
    assert done.returncode == 1
    assert "nothing fits the packages that are installed, so nothing was changed" in done.stdout
    assert "diffusers 0.42.1 depends on huggingface-hub>=1.32" in done.stdout
    assert "moves huggingface-hub 0.25.0 to 2.4.0" in done.stdout
    assert "-m pip install --only-binary :all: 'diffusers>=0.28.0'" in done.stdout
    assert made_up.versions() == before


@pytest.mark.slow
def test_a_package_that_is_named_is_exchanged_and_no_other(made_up, tmp_path):
    """Quick: test_constraints_hold_what_is_installed_and_what_its_owners_ask_of_the_rest,
    Quick: test_the_newest_release_that_fits_is_added.
    """
    installed(made_up.site_packages, "diffusers", "0.42.1", ["huggingface-hub>=1.32"])
    wheel(tmp_path, "diffusers", "0.37.1", ["huggingface-hub>=0.25"])
    wheel(tmp_path, "huggingface-hub", "2.4.0")
    before = made_up.versions()
    done = run_script(made_up, tmp_path)
    assert "diffusers 0.42.1" in done.stdout
    assert f"run: {made_up.python} {SCRIPT} diffusers" in done.stdout
    assert made_up.versions() == before
    run_script(made_up, tmp_path, "diffusers")
    assert made_up.versions() == before | {"diffusers": "0.37.1"}


def test_without_torch_nothing_is_installed():
    done = subprocess.run([sys.executable, "-S", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 1
    assert "has no torch; run this with ComfyUI's own Python" in done.stdout


def installed(folder: Path, name: str, version: str, needs: list[str] = ()) -> None:
    """Writes the metadata of an installed package."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(metadata(name, version, needs))
    (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n")


def wheel(folder: Path, name: str, version: str, needs: list[str] = ()) -> None:
    """Writes a wheel of a package without modules."""
    stem = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as file:
        file.writestr(f"{stem}.dist-info/METADATA", metadata(name, version, needs))
        file.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{stem}.dist-info/RECORD", "")


def metadata(name: str, version: str, needs: list[str]) -> str:
    """The core metadata of a package."""
    return "\n".join(
        [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *map("Requires-Dist: {}".format, needs)]
    )
