"""Batches of small scans through a pipeline whose results are known."""

import json
import time

import nibabel as nib
import numpy as np

from verse_infer.batch.case import CaseOptions, attempt_case
from verse_infer.batch.discovery import find_cases
from verse_infer.batch.report import RunSettings
from verse_infer.batch.run import BatchOptions, held, run_batch
from verse_infer.ct import Centroid
from verse_infer.pipeline import CaseResult

SETTINGS = RunSettings({"m": "0"}, "/CPU:0", "float32", {"labelling": None})


class FakePipeline:
    """Finds L1 in the middle of every CT; counts its runs; fails where told to."""

    def __init__(self, error=None, fails_at=-1, slow_s=0.0):
        self.runs, self.error, self.fails_at, self.slow_s = 0, error, fails_at, slow_s
        self.given = []

    def run(self, ct, centroids=None):
        self.runs += 1
        self.given.append(centroids)
        time.sleep(self.slow_s)
        if self.runs - 1 == self.fails_at:
            raise self.error
        x, y, z = ct.lattice.corners().mean(axis=0).tolist()
        mask = np.zeros(ct.hu.shape, np.uint8)
        mask[2:5, 2:5, 2:5] = 20
        return CaseResult((Centroid(20, (x, y, z), 0.9),), mask, ct.flags, {"stage": 0.1})


def scans(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(len(name)).integers(-900, 1500, (8, 9, 10))
        nib.Nifti1Image(values.astype(np.int16), np.diag([1, 1, 2, 1])).to_filename(path)
    return root


def run(source, output, pipeline, resume=True, settings=SETTINGS, **options):
    cases = find_cases(source, output, options.get("convention", "verse"))
    case_options = CaseOptions(output, **options)
    output.mkdir(parents=True, exist_ok=True)
    with held(output):
        return run_batch(
            cases,
            lambda case: attempt_case(case, pipeline, case_options),
            settings,
            BatchOptions(output, resume, options.get("centroids_from")),
        )


def report(output):
    return json.loads((output / "run.json").read_text())


def files(output):
    return sorted(p.relative_to(output).as_posix() for p in output.rglob("*") if p.is_file())
