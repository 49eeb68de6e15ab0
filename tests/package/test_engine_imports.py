"""The engine runs without ComfyUI, torchvision or a network, and does nothing when imported."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.shared_reference import ROOT

IMPORT_EVERYTHING = """
import importlib, pkgutil, socket, sys

BANNED = ("comfy", "comfy_api", "comfy_execution", "folder_paths", "server", "nodes", "cv2", "torchvision", "mediapipe",
          "insightface", "decord", "face_alignment")

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BANNED:
            raise ImportError(f"{name} must not be needed")

def no_network(*args, **kwargs):
    raise AssertionError("the network was used at import")

sys.meta_path.insert(0, Refuse())
socket.socket.connect = socket.create_connection = no_network
import torch
state = torch.get_rng_state()
import latentsync_core
for module in pkgutil.walk_packages(latentsync_core.__path__, "latentsync_core."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert torch.equal(state, torch.get_rng_state())
print(*sorted(name for name in sys.modules if "." not in name))
"""


def test_every_module_imports_without_comfyui_torchvision_or_network():
    done = subprocess.run([sys.executable, "-c", IMPORT_EVERYTHING], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not loaded & {"transformers", "diffusers", "torchaudio"}, "heavy libraries are imported only when used"


def test_a_batchs_driver_lists_rows_without_torch(tmp_path):
    (tmp_path / "jobs.csv").write_text("video,audio,out,face\na.mp4,a.wav,a.mkv,person:1\n", "utf-8")
    code = (
        "import sys; from latentsync_core.cli.commands import _parser; from latentsync_core.cli.batches import "
        "batch_command; from latentsync_core.batch.local_workers import LocalWorkers; "
        "batch = batch_command.plan_batch(_parser().parse_args(sys.argv[1:])); LocalWorkers(batch.makers); "
        "print(len(batch.jobs), sorted({'torch', 'av', 'diffusers'} & sys.modules.keys()))"
    )
    arguments = ["batch", str(tmp_path / "jobs.csv"), "--devices", "cpu", "--speaker", "person:2=b.wav"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == "1 []"


def test_the_command_line_answers_help_at_once_without_torch():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "latentsync_core", "sync", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert done.returncode == 0
    assert "--video" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "numpy" in imported, "the listing is read right"
    assert "torch" not in imported
