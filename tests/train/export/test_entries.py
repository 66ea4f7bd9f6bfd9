import pytest
from msgspec import structs

from verse_infer.anatomy import LABELS
from verse_infer.labelling import ChainRule, SequenceRule
from verse_infer.weights import BUNDLED_WEIGHTS, STAGES, crop_of, read_manifest
from verse_train.config import CONFIGS
from verse_train.export.entries import stage_entry


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("stage", STAGES)
def test_entries_repeat_what_the_networks_were_trained_with(name, stage):
    entry, _ = stage_entry(name, stage)
    config = CONFIGS[name][stage]
    assert entry.models == ()
    assert entry.spacing_mm == config.spacing_mm
    assert entry.smoothing_mm == config.smoothing_mm
    assert entry.intensity_divisor == 2048.0
    assert all(n % 16 == 0 for n in entry.input_size)
    assert entry.heads == {"output": 26 if stage == "vertebra_localisation" else 1}


@pytest.mark.parametrize("stage", STAGES)
def test_the_bundled_weights_have_what_export_writes(stage):
    bundled = read_manifest(BUNDLED_WEIGHTS).stages.present()[stage]
    assert structs.replace(bundled, models=()) == stage_entry("compact", stage)[0]


@pytest.mark.parametrize(
    ("name", "answers"),
    [("paper", ["as is", "as is", "sigmoid"]), ("compact", ["as is", "shares", "sigmoid"])],
)
def test_logits_are_finished_where_networks_give_logits(name, answers):
    assert [stage_entry(name, stage)[1] for stage in STAGES] == answers


@pytest.mark.parametrize("name", CONFIGS)
def test_each_stage_has_the_options_that_inference_asks_for(name):
    options = [stage_entry(name, stage)[0].options for stage in STAGES]
    assert options[0].z_margin_mm > 0
    assert 0 < options[1].tile_overlap < stage_entry(name, STAGES[1])[0].input_size[2]
    assert options[1].min_distance >= 1
    assert isinstance(options[1].labelling.chosen(), ChainRule)
    assert options[2].centroid_sigma == CONFIGS[name][STAGES[2]].sigma


@pytest.mark.parametrize("name", CONFIGS)
def test_a_small_scan_has_as_much_air_around_it_as_in_training(name):
    """Instance normalisation lost the spine in scans of 20 cm, on a lattice that fitted them."""
    config, entry = CONFIGS[name][STAGES[0]], stage_entry(name, STAGES[0])[0]
    assert entry.input_size == config.sample_size


@pytest.mark.parametrize("name", CONFIGS)
def test_a_vertebra_is_shown_as_in_training(name):
    config, entry = CONFIGS[name][STAGES[2]], stage_entry(name, STAGES[2])[0]
    assert entry.input_size == config.sample_size
    assert entry.options.crop_offset_mm == config.crop_offset_mm
    for label in LABELS:
        assert crop_of(entry.crops, label) == config.crop(label)


def test_the_papers_size_is_labelled_as_published_the_compact_one_by_bodies():
    paper, compact = (stage_entry(name, STAGES[1])[0].options for name in ("paper", "compact"))
    assert paper.labelling.chosen() == ChainRule()
    assert paper.bodies is None
    assert compact.bodies.threshold > 0
    rule = compact.labelling.chosen()
    assert rule.threshold == 0  # a body is a candidate for every vertebra
    assert rule.response_floor > 0
    assert compact.labelling.chosen("sequence") == SequenceRule()
