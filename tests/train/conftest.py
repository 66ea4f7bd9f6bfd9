import keras
import pytest

from tests.helpers.training_cases import ball_case
from tests.helpers.trainings import FeedInProcess
from verse_train.data.feed import CaseGroup
from verse_train.data.prepared import save_prepared
from verse_train.training import run as training


@pytest.fixture
def float32_again():
    """Trainings set Keras's precision for the whole process."""
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def in_process(monkeypatch, float32_again):
    """Trainings of tiny networks that draw their samples in this process."""
    del float32_again
    monkeypatch.setattr(training, "Feed", FeedInProcess)
    monkeypatch.setattr(FeedInProcess, "started", ())


@pytest.fixture(scope="session")
def groups(tmp_path_factory):
    path = tmp_path_factory.mktemp("cases") / "case.npz"
    save_prepared(path, ball_case(("L1", "L2"), 8.0, (12, 12, 14), radius=14.0))
    return [CaseGroup((path,), 1.0)]
