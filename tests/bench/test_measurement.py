"""The benchmark as a whole, with tiny networks and a small scan."""

import json
from dataclasses import replace

import nibabel as nib
import pytest

from tests.helpers.tiny_weights import write_weights
from verse_bench import cli as bench
from verse_bench import measurement
from verse_bench.measurement import Setting, measure
from verse_bench.scans import BenchScan, make_scan, read_truth
from verse_infer.batch.case import attempt_case

SMALL = BenchScan("small", (48, 44, 60), (3.0, 3.0, 3.0), "L1", "L4")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return make_scan(SMALL, tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    write_weights(folder)
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    content["stages"]["vertebra_localisation"]["input_size"] = [16, 16, 112]
    content["stages"]["vertebra_segmentation"]["input_size"] = [64, 64, 64]
    manifest.write_text(json.dumps(content))
    return folder


def test_a_scan_shows_its_vertebrae_and_is_made_once(scan):
    image, truth = nib.load(scan), read_truth(scan)
    assert image.shape == SMALL.size
    assert image.header.get_zooms() == SMALL.spacing
    labels = [c.label for c in truth.centroids]
    assert labels == sorted(labels)
    assert {20, 21, 22, 23} <= set(labels)
    made = scan.stat().st_mtime_ns
    assert make_scan(SMALL, scan.parents[1]) == scan
    assert scan.stat().st_mtime_ns == made
    changed = replace(SMALL, spacing=(3.0, 3.0, 3.1))
    make_scan(changed, scan.parents[1])
    assert scan.stat().st_mtime_ns > made
    make_scan(SMALL, scan.parents[1])


@pytest.mark.parametrize("path", ["bundled", "paper", "reference"])
def test_every_path_is_measured_from_file_to_file(scan, weights, tmp_path, path):
    setting = Setting(path, weights, repeats=1, most=2 if path == "reference" else None)
    found = measure(scan, setting, tmp_path)
    vertebrae = len(read_truth(scan).centroids)
    assert (found.path, found.scan, found.vertebrae) == (path, "small", vertebrae)
    assert found.scaled == (path == "reference")
    assert sum(found.seconds.values()) <= found.total * 1.01
    done = 2 if path == "reference" else vertebrae
    assert found.calls["vertebra segmentation"].count == done
    assert found.calls["vertebra localisation"].count >= 1
    assert all(calls.flops > 0 for calls in found.calls.values())
    assert found.peak_bytes > 2**26
    assert (tmp_path / "small_seg.nii.gz").is_file()


def test_of_several_runs_the_one_of_median_time_counts(scan, weights, tmp_path, monkeypatch):
    seconds = iter([3.0, 1.0, 2.0])

    def attempted(*arguments):
        report = attempt_case(*arguments)
        return replace(report, seconds={**report.seconds, "total": next(seconds)})

    monkeypatch.setattr(measurement, "attempt_case", attempted)
    found = measure(scan, Setting("bundled", weights, runs=3, repeats=1), tmp_path)
    assert found.total == 2.0
    assert found.calls["vertebra segmentation"].count == found.vertebrae


def test_the_command_prints_the_table_and_writes_the_json(
    scan, weights, tmp_path, monkeypatch, capsys
):
    """All in this process, with the small scan in place of the large ones."""
    monkeypatch.setattr(bench, "LUMBAR", SMALL)
    monkeypatch.setattr(bench, "make_scan", lambda *_: scan)
    monkeypatch.setattr(bench, "_paper_weights", lambda _: weights)
    monkeypatch.setattr(
        bench, "run_command", lambda *_: {"scan": "small", "seconds": 1.0, "vertebrae": ["L1"]}
    )
    monkeypatch.setattr(bench, "_python", lambda words: bench.main(words[2:]))
    output = tmp_path / "bench.json"
    words = ["--quick", "--weights", str(weights), "--scratch", str(tmp_path)]
    bench.main([*words, "--output", str(output)])
    printed = capsys.readouterr().out
    assert "reference / this" in printed
    assert "small: 1.0 s, 1 vertebrae found" in printed
    content = json.loads(output.read_text())
    assert [one["path"] for one in content["measurements"]] == ["bundled", "paper", "reference"]
    assert content["growth"] == {}
    assert all("reached" in target for target in content["targets"])


def test_growth_takes_both_series(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "make_scan", lambda scan, _: scan.name)
    monkeypatch.setattr(bench, "measure_apart", lambda scan, *_: scan)
    plan = bench.Plan((), tmp_path, "cpu", tmp_path, None, growth=True)
    names = bench.measure_growth(plan)
    assert len(names["by_vertebrae"]) == 4
    assert names["by_volume"][0] == "eighth-volume"
