from dataclasses import asdict, replace

import pytest

from verse_bench.measurement import Calls, Machine, Measurement, measurement_from, this_machine
from verse_bench.report import (
    best_rate,
    growth_figure,
    header,
    network_share,
    over_bare,
    rate,
    save_figure,
    table,
    targets,
    verdicts,
)

STAGES = ("spine localisation", "vertebra localisation", "vertebra segmentation")
#: 40 s in all: 1 + 6 + 30 s of stages, of which 30 s are in calls that take 29.6 s alone.
BUNDLED = Measurement(
    path="bundled",
    scan="whole-spine",
    voxels=10**8,
    vertebrae=24,
    precision="bfloat16",
    start=5.0,
    seconds={"read": 2.0, **dict(zip(STAGES, (1.0, 6.0, 30.0), strict=True)), "write": 1.0},
    total=40.0,
    cpu_seconds=60.0,
    load=0.5,
    scaled=False,
    calls={
        STAGES[0]: Calls(1, 0.5, 0.4, 10**10),
        STAGES[1]: Calls(4, 4.5, 4.2, 4 * 10**11),
        STAGES[2]: Calls(24, 25.0, 25.0, 24 * 10**11),
    },
    peak_bytes=2 * 2**30,
)
REFERENCE = replace(BUNDLED, path="reference", total=800.0, cpu_seconds=600.0, scaled=True)


def test_shares_and_rates():
    assert network_share(BUNDLED) == pytest.approx(0.75)
    assert over_bare(BUNDLED) == pytest.approx(37 / 29.6)
    assert rate(BUNDLED) == pytest.approx(2.81e12 / 30)
    assert best_rate([BUNDLED]) == pytest.approx(9.6e10)


def test_targets_are_reached_or_not():
    found = {t.text: t for t in targets([BUNDLED, REFERENCE])}
    seconds = found["bundled, whole-spine: reference / this, seconds"]
    assert (seconds.value, seconds.reached) == (20.0, True)
    cpu = found["bundled, whole-spine: reference / this, CPU seconds"]
    assert (cpu.value, cpu.reached) == (10.0, False)
    assert found["bundled, whole-spine: file to file, s"].reached
    assert found["bundled, whole-spine: peak memory, GiB"].value == pytest.approx(2.0)
    slow = replace(BUNDLED, total=46.0, peak_bytes=4 * 2**30)
    assert sum(not t.reached for t in targets([slow])) == 2
    assert targets([replace(BUNDLED, path="paper"), REFERENCE])[0].bound == 6.0


def test_the_table_says_what_is_scaled_up():
    text = table([BUNDLED, REFERENCE])
    assert "800.0*" in text
    assert "* scaled up" in text
    assert "75%" in text
    assert "scaled" not in table([BUNDLED])
    assert verdicts([BUNDLED, REFERENCE]).count("NO ") == 1
    assert "0.10 TFLOP/s" in header(Machine("a", 2, ("avx2",), 0.1, "2"), [BUNDLED])


def test_a_measurement_survives_json():
    assert measurement_from(asdict(BUNDLED)) == BUNDLED


def test_this_machine_is_described():
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.processor


def test_the_figure_fits_a_line_through_the_cpu_seconds(tmp_path):
    """60 s for 24 vertebrae and 20 s for 4: 2 s each, and 12 s besides."""
    few = replace(BUNDLED, vertebrae=4, cpu_seconds=20.0)
    figure = growth_figure([few, BUNDLED], [few, BUNDLED])
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "2.00 CPU seconds per vertebra + 12.0" in labels
    save_figure(figure, tmp_path / "docs" / "growth.png")
    assert (tmp_path / "docs" / "growth.png").stat().st_size > 1000
