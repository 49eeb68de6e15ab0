"""Finished patches live on disk and outlive an interrupted run."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import warnings
from types import SimpleNamespace

import pytest
import torch

from latentsync_core.errors import OutputError
from latentsync_core.sampling.patch_store import PatchStore, gather_patches


def test_what_was_put_comes_back(tmp_path):
    patches = torch.randn(3, 4, 8, 8)
    with PatchStore("key", 5, (4, 8, 8), torch.float32, tmp_path) as store:
        for frame, patch in zip((4, 0, 2), patches, strict=True):
            store.put(frame, patch)
        assert torch.equal(store.get([0, 2, 4]), patches[[1, 2, 0]])
        assert store.finished.tolist() == [True, False, True, False, True]


def test_half_precision_rounds_once(tmp_path):
    patch = torch.randn(4, 8, 8)
    with PatchStore("key", 1, (4, 8, 8), folder=tmp_path) as store:
        store.put(0, patch)
        assert torch.equal(store.get([0])[0], patch.half().float())


def test_a_store_opened_again_still_has_what_was_finished(tmp_path):
    with PatchStore("key", 9, (4, 2, 2), folder=tmp_path) as store:
        store.put(3, torch.ones(4, 2, 2))
    with PatchStore("key", 9, (4, 2, 2), folder=tmp_path) as again:
        assert again.finished.nonzero()[0].tolist() == [3]
        assert again.get([3]).unique().tolist() == [1.0]


def test_a_store_opened_again_needs_no_more_room_than_is_missing(tmp_path, monkeypatch):
    frames, bytes_of_one = 64, 4 * 64 * 64 * 2
    with PatchStore("key", frames, (4, 64, 64), folder=tmp_path) as store:
        for frame in range(frames - 1):
            store.put(frame, torch.ones(4, 64, 64))
    with (tmp_path / "key.patches").open("r+b") as file:
        os.fsync(file.fileno())  # some file systems allocate late
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * bytes_of_one))
    with PatchStore("key", frames, (4, 64, 64), folder=tmp_path) as again:
        assert again.finished.sum() == frames - 1
    with pytest.raises(OutputError, match="no room for the finished faces"):
        PatchStore("other", frames, (4, 64, 64), folder=tmp_path)


def test_another_key_or_length_starts_empty(tmp_path):
    with PatchStore("key", 9, (4, 2, 2), folder=tmp_path) as store:
        store.put(3, torch.ones(4, 2, 2))
    for key, frames in (("other", 9), ("key", 10)):
        with PatchStore(key, frames, (4, 2, 2), folder=tmp_path) as other:
            assert not other.finished.any()


def test_a_store_whose_patches_were_removed_starts_empty(tmp_path):
    with PatchStore("key", 2, (4, 2, 2), folder=tmp_path) as store:
        store.put(1, torch.ones(4, 2, 2))
    (tmp_path / "key.patches").unlink()
    with PatchStore("key", 2, (4, 2, 2), folder=tmp_path) as again:
        assert not again.finished.any()


def test_an_unfinished_frame_is_an_error(tmp_path):
    with PatchStore("key", 2, (4, 2, 2), folder=tmp_path) as store, pytest.raises(KeyError, match="1"):
        store.get([1])


def test_without_a_folder_nothing_is_left_behind():
    store = PatchStore("key", 2, (4, 2, 2))
    folder = store._folder
    assert folder.is_dir()
    store.close()
    assert not folder.exists()


def test_a_place_that_cannot_hold_it_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        PatchStore("key", 2, (4, 2, 2), folder=tmp_path / "file" / "below")


def test_a_temporary_store_goes_with_its_object_and_warns_of_nothing():
    store = PatchStore("key", 2, (4, 2, 2))
    folder = store._folder
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        del store
        gc.collect()
    assert not folder.exists()


def test_a_store_in_a_folder_stays_until_it_is_finished_and_then_goes_with_its_object(tmp_path):
    store = PatchStore("key", 2, (4, 2, 2), folder=tmp_path)
    store.put(1, torch.ones(4, 2, 2))
    del store
    gc.collect()
    again = PatchStore("key", 2, (4, 2, 2), folder=tmp_path)
    assert again.finished.tolist() == [False, True], "an interrupted run's"
    again.remove_when_closed()
    assert again.get([1]).unique().tolist() == [1.0]
    del again
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_store_removes_its_own_files_only(tmp_path):
    first = PatchStore("key", 2, (4, 2, 2), folder=tmp_path, remove_on_close=True)
    for file in tmp_path.iterdir():
        file.unlink()
    with PatchStore("key", 2, (4, 2, 2), folder=tmp_path) as second:
        second.put(0, torch.ones(4, 2, 2))
        first.close()
        first.close()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_place_that_cannot_hold_it_leaves_no_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OutputError, match="finished faces"):
        PatchStore("no/such/place", 2, (4, 2, 2))
    assert not list(tmp_path.iterdir())


def test_the_patches_of_parts_come_together_under_their_keys_and_what_was_there_stays(tmp_path):
    whole, (one, other) = tmp_path / "whole", (tmp_path / "1", tmp_path / "2")
    whole.mkdir()
    for folder, key, frame, value in (
        (one, "key", 1, 1.0), (one, "line", 0, 2.0), (other, "key", 3, 3.0), (whole, "key", 3, 9.0)
    ):  # fmt: skip
        with PatchStore(key, 5, (4, 2, 2), folder=folder) as store:
            store.put(frame, torch.full((4, 2, 2), value))
    (other / "torn.finished").write_bytes(b"\x01")
    gather_patches(one, whole)
    gather_patches(other, whole)
    with PatchStore("key", 5, (4, 2, 2), folder=whole) as store:
        assert store.finished.tolist() == [False, True, False, True, False]
        assert store.get([1, 3])[:, 0, 0, 0].tolist() == [1.0, 9.0]
    with PatchStore("line", 5, (4, 2, 2), folder=whole) as store:
        assert store.get([0]).unique().tolist() == [2.0]
    assert not (whole / "torn.patches").exists()
