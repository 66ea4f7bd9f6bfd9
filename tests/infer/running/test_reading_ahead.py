"""The next scan is read beside the present one, which never suffers from it."""

import os
import threading

import numpy as np
import pytest

from tests.infer.running.test_batch import FakePipeline, scans
from verse_infer.errors import InputError
from verse_infer.reading.ct_reading import memory_needed
from verse_infer.running import reading_ahead
from verse_infer.running.case_scan import read_scan, stamp_of
from verse_infer.running.case_work import CaseOptions, attempt_case
from verse_infer.running.cases import find_cases
from verse_infer.running.reading_ahead import CaseReader


class Readings:
    """What was read to its end, in order: (name, whether in its own turn). Errors for names."""

    def __init__(self):
        self.done, self.errors, self.ended = [], {}, threading.Event()

    def __call__(self, path, memory_limit):
        in_turn = threading.current_thread() is threading.main_thread()
        try:
            if path.name in self.errors and not in_turn:
                raise self.errors[path.name]
            scan = read_scan(path, memory_limit)
            self.done.append((path.name, in_turn))
            return scan
        finally:
            if not in_turn:
                self.ended.set()


@pytest.fixture
def readings(monkeypatch):
    made = Readings()
    monkeypatch.setattr(reading_ahead, "read_scan", made)
    return made


@pytest.fixture
def folder(tmp_path):
    return scans(tmp_path / "in", "a.nii", "b2.nii.gz")


def read_first(folder, limit=None):
    """A reader that has read a.nii, told that b2.nii.gz follows; nothing follows that."""
    reader = CaseReader()
    reader.following = folder / "b2.nii.gz"
    reader.read(folder / "a.nii", limit)
    reader.following = None
    return reader


def test_an_unchanged_scan_is_read_once_before_its_turn(folder, readings):
    scan = read_first(folder).read(folder / "b2.nii.gz", None)
    assert readings.done == [("a.nii", True), ("b2.nii.gz", False)]
    expected = read_scan(folder / "b2.nii.gz", None)
    assert np.array_equal(scan.ct.hu, expected.ct.hu)
    assert scan.ct.lattice == expected.ct.lattice
    assert scan.stamp == expected.stamp


def test_nothing_is_read_ahead_unless_told(folder, readings):
    reader, before = CaseReader(), threading.active_count()
    for name in ("a.nii", "b2.nii.gz"):
        reader.read(folder / name, None)
        assert threading.active_count() == before
    assert readings.done == [("a.nii", True), ("b2.nii.gz", True)]
    assert not reader.make_room()


def test_a_scan_that_changed_since_is_read_again(folder, readings):
    reader, path = read_first(folder), folder / "b2.nii.gz"
    assert readings.ended.wait(60)
    (scans(folder.parent / "other", "bbb.nii.gz") / "bbb.nii.gz").replace(path)
    os.utime(path, ns=(1, 1))
    scan = reader.read(path, None)
    assert readings.done[-1] == ("b2.nii.gz", True)
    assert scan.stamp == stamp_of(path)
    assert np.array_equal(scan.ct.hu, read_scan(path, None).ct.hu)


def test_a_scan_that_vanished_since_is_not_used(folder, readings):
    reader = read_first(folder)
    assert readings.ended.wait(60)
    (folder / "b2.nii.gz").unlink()
    with pytest.raises(InputError, match="no such file"):
        reader.read(folder / "b2.nii.gz", None)


def test_another_limit_or_another_file_is_read_in_its_turn(folder, readings):
    read_first(folder).read(folder / "b2.nii.gz", 2**40)
    assert readings.done[-1] == ("b2.nii.gz", True)
    reader = read_first(folder)
    reader.read(folder / "a.nii", None)
    assert readings.done[-1] == ("a.nii", True)
    reader.read(folder / "b2.nii.gz", None)
    assert readings.done[-1] == ("b2.nii.gz", True)


@pytest.mark.parametrize("error", [ValueError("bug"), MemoryError(), InputError("no scan")])
def test_what_goes_wrong_ahead_is_forgotten(folder, readings, error):
    readings.errors["b2.nii.gz"] = error
    read_first(folder).read(folder / "b2.nii.gz", None)
    assert readings.done == [("a.nii", True), ("b2.nii.gz", True)]


def test_a_broken_scan_is_refused_in_its_own_turn(folder):
    (folder / "b2.nii.gz").write_bytes(b"no scan")
    reader = read_first(folder)
    with pytest.raises(InputError, match=r"b2\.nii\.gz"):
        reader.read(folder / "b2.nii.gz", None)


def test_a_system_without_another_thread_reads_in_turn(folder, readings, monkeypatch):
    class NoFurtherThread(reading_ahead.ThreadPoolExecutor):
        def submit(self, *_):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(reading_ahead, "ThreadPoolExecutor", NoFurtherThread)
    reader = CaseReader()
    reader.following = folder / "b2.nii.gz"
    reader.read(folder / "a.nii", None)
    assert readings.done == [("a.nii", True)]
    assert not reader.make_room()


@pytest.mark.parametrize(("spare", "in_turn"), [(0, False), (-1, True)])
def test_only_a_scan_that_fits_beside_the_present_one_is_read_ahead(
    folder, readings, spare, in_turn
):
    first, second = (memory_needed(read_scan(path, None).ct) for path in sorted(folder.iterdir()))
    limit = first + second + spare
    read_first(folder, limit).read(folder / "b2.nii.gz", limit)
    assert readings.done == [("a.nii", True), ("b2.nii.gz", in_turn)]


def attempt_first(folder, pipeline, reader):
    cases = find_cases(folder, folder.parent / "out", "verse")
    return attempt_case(cases[0], pipeline, CaseOptions(folder.parent / "out"), reader)


def test_a_case_short_of_memory_gets_what_the_next_one_took(folder, readings):
    reader = CaseReader()
    reader.following = folder / "b2.nii.gz"
    pipeline = FakePipeline(MemoryError(), fails_at=0)
    assert attempt_first(folder, pipeline, reader).status == "succeeded"
    assert pipeline.runs == 2
    reader.read(folder / "b2.nii.gz", None)
    assert readings.done[-1] == ("b2.nii.gz", True)


def test_a_case_short_of_memory_by_itself_is_not_tried_again(folder):
    pipeline = FakePipeline(MemoryError(), fails_at=0)
    done = attempt_first(folder, pipeline, CaseReader())
    assert done.status == "failed"
    assert "out of memory" in done.error
    assert pipeline.runs == 1
