"""Damaged and hostile files of weights: one sentence for each, nothing run, and no more memory than the file has."""

from __future__ import annotations

import ast
import json
import os
import pickle
import random
import re
import struct
import time
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from latentsync_core.cli.wording import WORDS
from latentsync_core.errors import ModelError
from latentsync_core.evaluation.syncnet import load_syncnet
from latentsync_core.models.checkpoints import weights_file
from latentsync_core.models.checkpoints.network_file import read_config
from latentsync_core.models.checkpoints.pickle_scan import scan_pickle
from latentsync_core.models.checkpoints.settings_file import MAX_CONFIG_BYTES, read_json_object
from latentsync_core.models.checkpoints.tensors import read_tensors
from latentsync_core.models.load_options import LoadOptions
from latentsync_core.models.loading.bundle import save_bundle
from latentsync_core.models.loading.digests import stored_sha256
from latentsync_core.models.loading.weights import load_model
from latentsync_core.models.whisper.encoder import WhisperEncoder
from tests.fuzz.seeds import smallest_model
from tests.shared_reference import ROOT
from tests.whisper_by_rule import openai_checkpoint

STATE = {f"layer.{index}.weight": torch.arange(12.0).reshape(3, 4) + index for index in range(6)}
MEGABYTE = 2**20
ON_CPU = LoadOptions(device="cpu")


def refusal(read: Callable[[], object]) -> str:
    """The one line that refuses what `read` reads, as the command line prints it."""
    with pytest.raises(ModelError) as error:
        read()
    sentence = error.value.worded(WORDS)
    assert sentence.isprintable(), sentence
    assert len(sentence) < 800, sentence
    return sentence


# --- mutations


def save_archive(path: Path) -> None:
    torch.save({"global_step": 7, "state_dict": STATE}, path)


def save_legacy(path: Path) -> None:
    torch.save({"global_step": 7, "state_dict": STATE}, path, _use_new_zipfile_serialization=False)


def save_safetensors(path: Path) -> None:
    save_file(STATE, path)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The bytes with one thing wrong: bits flipped, cut short, overwritten, taken out, put in, or copied elsewhere."""
    changed, at = bytearray(data), rng.randrange(len(data))
    kind = rng.randrange(6)
    if kind == 0:
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del changed[at:]
    elif kind == 2:
        length = rng.randint(1, 16)
        changed[at : at + length] = rng.randbytes(length)
    elif kind == 3:
        del changed[at : at + rng.randint(1, 64)]
    elif kind == 4:
        changed[at:at] = rng.randbytes(rng.randint(1, 64))
    else:
        source = rng.randrange(len(data))
        changed[at : at + 100] = data[source : source + 100]
    return bytes(changed)


@pytest.mark.parametrize(
    ("save", "suffix", "count"),
    [(save_archive, ".pt", 400), (save_legacy, ".pt", 200), (save_safetensors, ".safetensors", 300)],
)
def test_a_mutated_file_is_read_or_refused_in_one_line(save, suffix, count, tmp_path):
    path = tmp_path / f"mutated{suffix}"
    save(path)
    whole, rng, outcomes, sentences = path.read_bytes(), random.Random(13), Counter(), set()
    for _ in range(count):
        path.write_bytes(mutated(whole, rng))
        try:
            for tensor in read_tensors(path).values():
                tensor.sum()
            outcomes["read"] += 1
        except ModelError as problem:
            outcomes["refused"] += 1
            sentences.add(str(problem))
    assert all(map(str.isprintable, sentences)), "a sentence is one line"
    assert outcomes["refused"] > count / 2
    assert outcomes["read"] > 0, "a changed weight is none that could be noticed"


@pytest.mark.parametrize("content", [b"not weights at all, but a text", bytes(range(7, 256)), b"PK\3\4" + bytes(60)])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_text_and_noise_are_refused_under_either_suffix(content, suffix, tmp_path):
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    assert str(path) in refusal(lambda: read_tensors(path))


# --- pickles that are made to do harm


def archive(path: Path, pickled: bytes, records: dict[str, bytes] | None = None, packed: bool = False) -> Path:
    """A .pt file around a pickle."""
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("archive/data.pkl", pickled)
        for name, content in ({"version": b"3\n"} | (records or {})).items():
            file.writestr(f"archive/{name}", content)
    return path


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    data = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def storage(values: int, key: str = "0") -> bytes:
    return b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(values) + b"tQ"


def tensor(stored: int, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """The operations that make a tensor out of a storage which claims `stored` values."""
    lists = [b"(" + b"".join(map(number, entries)) + b"t" for entries in (size, stride)]
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(stored) + number(offset) + b"".join(lists)
    return call + b"\x89ccollections\nOrderedDict\n)RtR"


def entry(operations: bytes) -> bytes:
    """A pickle of {"w": what `operations` leave}."""
    return b"\x80\x02}(" + text("w") + operations + b"u."


def nested_tuples(depth: int) -> bytes:
    """A dictionary whose key is a tuple of two tuples of two tuples ...: to hash it takes 2 ** depth steps."""
    level = b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(depth))
    return b"\x80\x02}(" + b"K\x01" + level + b"K\x01u."


HOSTILE = {
    "bytearray of ten gigabytes": entry(b"cbuiltins\nbytearray\n(" + number(10**10) + b"tR"),
    "call of print": entry(b"cbuiltins\nprint\n(" + text("the pickle was run") + b"tR"),
    "call of a name from the stack": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    "tensor made by its class": entry(b"ctorch\nTensor\n(" + number(10**10) + b"tR"),
    "tensor class": entry(b"ctorch\nFloatTensor\n(" + number(10**10) + b"tR"),
    "storage made by its class": entry(b"ctorch.storage\nUntypedStorage\n(" + number(10**10) + b"tR"),
    "tuples that take years to hash": nested_tuples(60),
    "more values than stored": entry(tensor(4, (10**6,), (1,))),
    "one value shown a billion times": entry(tensor(4, (10**9,), (0,))),
    "numbers beyond 64 bits": entry(tensor(4, (2**70,), (2**70,))),
    "below nothing": entry(tensor(4, (-1,), (1,))),
    "from before the storage": entry(tensor(4, (4,), (1,), offset=-8)),
    "beyond the storage": entry(tensor(4, (4,), (1,), offset=2)),
    "storage larger than its record": entry(tensor(10**9, (4,), (1,))),
    "storage below nothing": entry(tensor(-5, (4,), (1,))),
    "storage that is not there": entry(tensor(4, (4,), (1,)).replace(text("0"), text("9"))),
    "storage outside of the archive": entry(tensor(4, (4,), (1,)).replace(text("0"), text("../../etc/passwd"))),
    "sparse tensor": entry(b"ctorch._utils\n_rebuild_sparse_tensor\n(tR"),
    "tensor without a storage": entry(b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n(tR"),
    "endless text": b"\x80\x02X\xff\xff\xff\xff" + b"a" * 100,
    "stack run empty": b"\x80\x02uuuu.",
    "memo that is not there": b"\x80\x02h\x07.",
    "too many steps": b"\x80\x02" + b"}" * 310_000 + b".",
    "too long": b"\x80\x02" + text("a" * 17 * MEGABYTE) + b".",
    "no end": b"\x80\x02}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused_before_it_is_loaded(name, tmp_path, capsys):
    path = archive(tmp_path / "hostile.pt", HOSTILE[name], {"data/0": bytes(16)})
    before = time.process_time()
    if name != "too many steps":  # which tracing would take ten times as long
        tracemalloc.start()
    try:
        assert str(path) in refusal(lambda: read_tensors(path))
        assert tracemalloc.get_traced_memory()[1] < 150 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert time.process_time() - before < 30
    assert "was run" not in capsys.readouterr().out


def test_a_pickle_that_remembers_a_mark_as_a_value_is_refused_as_the_loader_refuses_it():
    mark, put, to_tuple, stop = b"(", b"q\x00", b"t", b"."
    scan_pickle(BytesIO(b"\x80\x02" + mark + to_tuple + put + stop), print)
    remembered_mark = b"\x80\x02" + mark + put + to_tuple + stop
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(remembered_mark)
    with pytest.raises(ValueError, match="a mark where a value is due"):
        scan_pickle(BytesIO(remembered_mark), print)


def test_the_same_pickle_without_harm_is_read(tmp_path):
    path = archive(tmp_path / "good.pt", entry(tensor(4, (2, 2), (2, 1))), {"data/0": struct.pack("<4f", 1, 2, 3, 4)})
    assert read_tensors(path)["w"].tolist() == [[1, 2], [3, 4]]


def legacy(content: bytes, keys: bytes = b"\x80\x02].") -> bytes:
    """A file as PyTorch before 1.6 wrote it: pickles in a row, then the storages."""
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    system = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, protocol=2)
    return magic + pickle.dumps(1001, protocol=2) + system + content + keys


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - {"storage larger than its record", "storage that is not there"}))
def test_the_old_form_of_a_hostile_pickle_is_refused_too(name, tmp_path, capsys):
    path = tmp_path / "hostile.pt"
    path.write_bytes(legacy(HOSTILE[name]))
    assert str(path) in refusal(lambda: read_tensors(path))
    assert "was run" not in capsys.readouterr().out


def test_an_old_file_that_claims_more_than_it_has_is_refused(tmp_path):
    path = tmp_path / "claims.pt"
    path.write_bytes(legacy(entry(tensor(10**9, (4,), (1,)))))
    assert "claims more than it holds" in refusal(lambda: read_tensors(path))


def test_a_compressed_archive_is_not_unpacked(tmp_path):
    path = archive(tmp_path / "bomb.pt", entry(text("a" * 100 * MEGABYTE)), packed=True)
    assert path.stat().st_size < MEGABYTE
    tracemalloc.start()
    try:
        assert "being compressed" in refusal(lambda: read_tensors(path))
        assert tracemalloc.get_traced_memory()[1] < 50 * MEGABYTE
    finally:
        tracemalloc.stop()


def test_an_archive_whose_list_of_files_is_endless_is_refused(tmp_path):
    """What a reader takes for the list is most of the file."""
    path = tmp_path / "listing.pt"
    size = 40 * MEGABYTE
    with path.open("wb") as file:
        file.write(b"PK\3\4")
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, size - 4, 4, 0))
    tracemalloc.start()
    try:
        refusal(lambda: read_tensors(path))
        assert tracemalloc.get_traced_memory()[1] < 80 * MEGABYTE
    finally:
        tracemalloc.stop()


# --- safetensors that lie


def safetensors(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(encoded) if length is None else length).to_bytes(8, "little") + encoded + data)
    return path


def facts(shape: list, offsets: list, dtype: str = "F32") -> dict:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


LYING = {
    "a header beyond the file": (facts([4], [0, 16]), bytes(16), 10**6),
    "a header of exabytes": (facts([4], [0, 16]), bytes(16), 2**63),
    "no header": (b"", bytes(16), 0),
    "a shape that overflows": (facts([2**62, 2**62], [0, 16]), bytes(16), None),
    "an empty tensor of endless shape": (facts([0, 2**63], [0, 0]), b"", None),
    "more values than bytes": (facts([400], [0, 16]), bytes(16), None),
    "places before the data": (facts([4], [-16, 0]), bytes(16), None),
    "places beyond the data": (facts([4], [16, 32]), bytes(16), None),
    "a shape in words": (facts(["four"], [0, 16]), bytes(16), None),
    "a shape of fractions": (facts([4.5], [0, 16]), bytes(16), None),
    "an unknown kind of number": (facts([4], [0, 16], "F7"), bytes(16), None),
    "a list for a header": ([1, 2, 3], bytes(16), None),
    "a header that nests": (b"[" * 100_000 + b"]" * 100_000, b"", None),
    "text that is not UTF-8": (b'{"\xff": 1}', bytes(16), None),
    "not a number": (b'{"w": NaN}     ', bytes(16), None),
    "bytes of nobody between tensors": (facts([4], [4, 20]), bytes(24), None),
}


@pytest.mark.parametrize("name", LYING)
def test_a_safetensors_header_that_lies_is_refused(name, tmp_path):
    header, data, length = LYING[name]
    path = safetensors(tmp_path / "lying.safetensors", header, data, length)
    assert str(path) in refusal(lambda: read_tensors(path))
    assert read_config(path) is None


def test_a_safetensors_header_of_a_hundred_megabytes_is_not_read(tmp_path):
    path = tmp_path / "long.safetensors"
    with path.open("wb") as file:
        file.write((90 * MEGABYTE).to_bytes(8, "little") + b"{")
        file.truncate(100 * MEGABYTE)
    tracemalloc.start()
    try:
        assert "header" in refusal(lambda: read_tensors(path))
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "config", ['{"a": ' * 20_000, "NaN", "[1]", '"text"', '{"audio_encoder": 5, "visual_encoder": 6}']
)
def test_a_config_inside_a_file_is_untrusted_too(config, tmp_path):
    path = tmp_path / "syncnet.safetensors"
    save_file(STATE, path, metadata={"config": config})
    refusal(lambda: load_syncnet(path))


# --- descriptions of networks


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return save_bundle(smallest_model(), tmp_path_factory.mktemp("bundles") / "bundle")


@pytest.fixture
def described(bundle, tmp_path) -> Callable[..., Path]:
    """A bundle with the same weights and another description: `described(resolution=0)`, `described({"unet": ...})`."""

    def make(content: dict | None = None, raw: bytes | None = None, **changes: object) -> Path:
        folder = tmp_path / "described"
        folder.mkdir(exist_ok=True)
        for file in bundle.glob("*.safetensors"):
            (folder / file.name).unlink(missing_ok=True)
            os.link(file, folder / file.name)
        description = json.loads((bundle / "model.json").read_text())
        for part, value in (content or {}).items():
            description[part] = description[part] | value
        (folder / "model.json").write_bytes(raw or json.dumps(description | changes).encode())
        return folder

    return make


@pytest.mark.parametrize(
    "raw",
    [
        b"no JSON",
        b"[1, 2]",
        b'"text"',
        b"\xff\xfe\x00",
        b"{" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"format": NaN}',
        b'{"format": 1e999}',
        b'{"resolution": ' + b"9" * 5000 + b"}",
        b" " * (MAX_CONFIG_BYTES + 1),
    ],
    ids=["text", "list", "string", "UTF-16", "open", "nested", "NaN", "infinite", "digits", "long"],
)
def test_a_description_that_is_none_is_refused(raw, described):
    folder = described(raw=raw)
    assert str(folder / "model.json") in refusal(lambda: load_model(folder, ON_CPU))


def test_a_description_of_a_gigabyte_is_not_read(described):
    folder = described()
    os.truncate(folder / "model.json", 2**30)  # a hole, which takes no room
    tracemalloc.start()
    try:
        assert "too many" in refusal(lambda: read_json_object(folder / "model.json", "write it again"))
        assert tracemalloc.get_traced_memory()[1] < 8 * MEGABYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [None, True, 0, -1, 10**12, 0.5, "text", [], [1], {}, {"a": 1}])
@pytest.mark.parametrize("field", ["name", "resolution", "demonstration", "unet", "vae", "whisper"])
def test_a_field_of_another_kind_is_refused(field, value, described):
    if (field, value) in (("name", "text"), ("demonstration", True)):
        return  # as it should be
    refusal(lambda: load_model(described(**{field: value}), ON_CPU))


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "a" * 5000])
def test_a_name_that_spoils_a_terminal_is_refused(name, described):
    assert "name" in refusal(lambda: load_model(described(name=name), ON_CPU))


AWKWARD_VALUES = [None, True, 0, -1, 10**12, 10**30, 0.5, "text", [], [10**12], [None], [[1]], {}, {"a": 1}]


@pytest.mark.parametrize("part", ["unet", "vae", "whisper"])
def test_awkward_values_in_a_networks_config_load_the_network_or_are_refused(part, described, bundle):
    """Every setting in turn, each with every awkward value: none allocates, none hangs, none ends in a traceback."""
    config = json.loads((bundle / "model.json").read_text())[part]
    sentences = []
    for number, key in enumerate(config):
        for value in AWKWARD_VALUES[number % 7 :: 7]:
            try:
                load_model(described({part: {key: value}}), ON_CPU)
            except ModelError as problem:
                sentences.append(str(problem))
    assert all(map(str.isprintable, sentences))
    assert len(sentences) > len(config)


@pytest.mark.parametrize(
    ("part", "change", "word"),
    [
        ("unet", {"block_out_channels": [32 * 10**9]}, "at most"),
        ("unet", {"layers_per_block": 10**9}, "at most"),
        ("unet", {"cross_attention_dim": 10**12}, "at most"),
        ("unet", {"in_channels": 10**15}, "at most"),
        ("vae", {"block_out_channels": [32 * 10**12]}, "at most"),
        ("vae", {"layers_per_block": 10**9}, "at most"),
        ("whisper", {"n_audio_layer": 10**9}, "at most"),
        ("whisper", {"n_audio_ctx": 10**12}, "at most"),
        ("whisper", {"n_audio_state": 10**12}, "at most"),
    ],
)
def test_a_network_larger_than_its_weights_is_refused_before_it_is_built(part, change, word, described):
    before = time.process_time()
    assert word in refusal(lambda: load_model(described({part: change}), ON_CPU))
    assert time.process_time() - before < 20


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"temporal_position_encoding_max_len": 10**9}, "at most"),
        ({"num_transformer_block": 10**9}, "at most"),
        ({"num_attention_heads": 0}, "motion"),
        ({"attention_block_types": ["Temporal_Self"] * 100_000}, "at most"),
    ],
)
def test_endless_motion_modules_are_refused(change, word, described, bundle):
    motion = json.loads((bundle / "model.json").read_text())["unet"]["motion_module_kwargs"]
    folder = described({"unet": {"motion_module_kwargs": motion | change}})
    refusal(lambda: load_model(folder, ON_CPU))


@pytest.mark.parametrize("shape", [(10**12, 0, 3, 3), (0, 10**12), (10**6, 10**6, 0)])
def test_a_checkpoint_whose_empty_tensors_are_endless_is_refused(shape, tmp_path):
    path = tmp_path / "unet.pt"
    state = {"conv_in.weight": torch.zeros(4), "down_blocks.0.resnets.0.conv1.weight": torch.zeros(shape)}
    torch.save(state | {"up_blocks.0.motion_modules.0.pos_encoder.pe": torch.zeros(1, 10**6, 1)}, path)
    refusal(lambda: load_model(path, LoadOptions(device="cpu", resolution=256)))


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.complex64])
def test_weights_that_are_no_floats_are_refused(kind, bundle, described, tmp_path):
    from safetensors.torch import load_file

    folder = described()
    state = load_file(bundle / "unet.safetensors")
    state["conv_in.weight"] = torch.ones(state["conv_in.weight"].shape, dtype=kind)
    (folder / "unet.safetensors").unlink()
    save_file(state, folder / "unet.safetensors")
    refusal(lambda: load_model(folder, ON_CPU))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["model_state_dict"].update({5: torch.zeros(1)}),
        lambda c: c["model_state_dict"].update({"encoder.conv1.weight": "text"}),
        lambda c: c["model_state_dict"].update({"encoder.conv1.weight": torch.zeros(64, 80, 3, dtype=torch.int32)}),
        lambda c: c["dims"].update(n_audio_state=2, n_audio_head=1),
        lambda c: c["dims"].update(n_audio_layer=10**9),
        lambda c: c["dims"].update(n_mels=10**12),
        lambda c: c["dims"].update(n_mels=float("nan")),
        lambda c: c.update(dims=[1, 2]),
        lambda c: c.update(model_state_dict={}),
    ],
)
def test_an_awkward_whisper_checkpoint_is_refused(change, tmp_path):
    checkpoint = openai_checkpoint()
    change(checkpoint)
    torch.save(checkpoint, tmp_path / "tiny.pt")
    refusal(lambda: WhisperEncoder.from_pretrained(tmp_path / "tiny.pt"))


# --- names


@pytest.mark.parametrize(
    "name",
    ["nul\0.pt", "nul\0", "undecodable\udcff.pt", "a" * 5000, "a/" * 3000, "/dev/zero", "/proc/self/mem", "~", "%s"],
)
def test_a_name_that_no_model_has_is_refused(name):
    refusal(lambda: load_model(name, ON_CPU))
    refusal(lambda: read_tensors(Path(name)))
    refusal(lambda: read_json_object(Path(name), "give another"))


def test_a_file_whose_name_is_not_utf8_is_named(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/weights\xff.pt"))
    save_archive(path)
    assert "rename" in refusal(lambda: read_tensors(path))


def test_a_note_that_never_ends_counts_as_none(tmp_path):
    path = tmp_path / "weights.pt"
    save_archive(path)
    for note in (b"[" * 100_000, b"7", b"\xff", b"{}", b" " * 10**6):
        (tmp_path / "weights.pt.checked.json").write_bytes(note)
        assert stored_sha256(path) is None


# --- which PyTorch


def test_a_pickle_is_not_opened_by_a_pytorch_that_it_could_run_code_in(tmp_path, monkeypatch):
    save_archive(tmp_path / "weights.pt")
    save_legacy(tmp_path / "old.pt")
    save_safetensors(tmp_path / "weights.safetensors")
    monkeypatch.setattr(weights_file, "torch_version", lambda: (2, 5))
    for name in ("weights.pt", "old.pt"):
        sentence = refusal(lambda name=name: read_tensors(tmp_path / name))
        assert "CVE-2025-32434" in sentence
        assert ".safetensors" in sentence
    assert read_tensors(tmp_path / "weights.safetensors").keys() == STATE.keys()


def test_pickles_are_loaded_in_one_place_and_as_data_only():
    """Everything that reads weights goes through weights_file.py."""
    loads = {}
    for folder in ("latentsync_core", "nodes", "training", "dev", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text("utf-8")
            if not re.search(r"\b(torch|pickle)\W+loads?\b", text):
                continue
            for call in ast.walk(ast.parse(text)):
                if isinstance(call, ast.Call) and ast.unparse(call.func) in (
                    "torch.load",
                    "pickle.load",
                    "pickle.loads",
                ):
                    loads[path.relative_to(ROOT).as_posix()] = ast.unparse(call)
    assert list(loads) == ["latentsync_core/models/checkpoints/weights_file.py"]
    assert "weights_only=True" in loads["latentsync_core/models/checkpoints/weights_file.py"]
