"""The model card that an export gets without one: what trainings record, and what is left open."""

import json
from dataclasses import replace

import pytest

from tests.helpers.tiny_weights import write_weights
from tests.helpers.training_cases import LEAST
from tests.helpers.trainings import config_of, settings
from verse_infer.errors import UsageError
from verse_infer.weights import BUNDLED_WEIGHTS, STAGES
from verse_train import cli as command
from verse_train.config import CONFIGS
from verse_train.export.model_card import model_card, steps_done
from verse_train.export.weights_folder import CARD_NAME
from verse_train.training.run import PATIENTS, train

SPINE = STAGES[0]
LEFT_OPEN = ("Licences", "Scores", "Limits")


@pytest.fixture
def trained(tmp_path, groups, in_process):
    """Folder of a training of 3 steps on the patient `balls`."""
    del in_process
    train(config_of(SPINE, 3, LEAST), groups, settings(tmp_path / "run", 3))
    return tmp_path / "run"


def card_of(*folders, facts=None):
    return model_card("mine", "compact", dict.fromkeys(STAGES, folders), facts or {})


def test_a_training_is_told_by_its_steps_and_patients(trained):
    card = card_of(trained)
    assert card.startswith("# Model card: mine\n")
    assert "Configuration `compact`." in card
    for stage in STAGES:
        assert f"- {stage}: trained for 3 steps; patients (1): balls\n" in card


def test_steps_of_a_start_count(trained, tmp_path, groups):
    after = replace(settings(tmp_path / "after", 1), start=trained)
    train(config_of(SPINE, 4, LEAST), groups, after)
    assert steps_done(tmp_path / "after") == 4


def test_patients_that_were_not_recorded_are_said_to_be_so(trained):
    (trained / PATIENTS).unlink()
    assert "trained for 3 steps; patients not recorded" in card_of(trained)


def test_networks_taken_over_are_told_by_the_name_of_their_weights(trained, tmp_path):
    write_weights(tmp_path / "weights")
    card = card_of(tmp_path / "weights", trained)
    assert card.count("taken over from the weights tiny;") == len(STAGES)
    assert card.count("trained for 3 steps") == len(STAGES)


def test_facts_are_given_and_what_is_unknown_is_to_be_filled_in(trained):
    card = card_of(trained, facts={"date": "2026-11-22", "held_out": ["p1", "Ü2"]})
    assert "Date: 2026-11-22\n" in card
    assert '- held_out: ["p1", "Ü2"]\n' in card
    for heading in LEFT_OPEN:
        assert f"## {heading}\n\n**To be filled in: " in card
    assert "Date: **To be filled in: date**" in card_of(trained)
    assert "## Facts" not in card_of(trained)


def test_a_folder_without_a_training_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"expected a training's folder with last.keras"):
        card_of(tmp_path)


@pytest.fixture
def export(trained, tmp_path, monkeypatch):
    """export(*options) -> exit code and the card written; stages 2 and 3 are the bundled ones."""
    monkeypatch.setitem(CONFIGS["compact"], SPINE, config_of(SPINE, 1, LEAST))
    sources = {stage: trained if stage == SPINE else BUNDLED_WEIGHTS for stage in STAGES}

    def run(*options):
        stages = [
            w for s, folder in sources.items() for w in ("--" + s.replace("_", "-"), str(folder))
        ]
        output = ["--name", "mine", "--output", str(tmp_path / "out")]
        code = command.main(["export", *stages, *output, *map(str, options)])
        card = tmp_path / "out" / CARD_NAME
        return code, card.read_text() if card.exists() else None

    return run


def test_an_export_without_a_card_gets_one_of_what_is_known(export, tmp_path):
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps({"date": "2026-11-22"}))
    code, card = export("--facts", facts)
    assert code == 0
    assert "spine_localisation: trained for 3 steps; patients (1): balls" in card
    assert "vertebra_localisation: taken over from the weights compact-" in card
    assert "Date: 2026-11-22" in card


def test_an_export_keeps_the_card_it_is_given(export, tmp_path):
    (tmp_path / "own.md").write_text("my own")
    assert export("--card", tmp_path / "own.md") == (0, "my own")


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_facts_that_are_no_json_object_are_refused(export, tmp_path, content):
    (tmp_path / "facts.json").write_text(content)
    assert export("--facts", tmp_path / "facts.json") == (2, None)
