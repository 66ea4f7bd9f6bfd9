import keras
import pytest

from tests.helpers.training_cases import TINY, TINY_LIGHT, TINY_PLAIN, ball_case
from tests.helpers.trainings import FeedInProcess
from verse_train.data.feed import CaseGroup
from verse_train.data.prepared import save_prepared
from verse_train.networks.architectures import SIZES, NetworkSize
from verse_train.training import run as training


@pytest.fixture
def tiny_sizes(monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", TINY)
    monkeypatch.setitem(SIZES, "tiny light", TINY_LIGHT)
    monkeypatch.setitem(SIZES, "plain", TINY_PLAIN)
    monkeypatch.setitem(SIZES, "least", NetworkSize((2,), 2, 0.1, False, True))
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def in_process(monkeypatch, tiny_sizes):
    """Trainings of tiny networks that draw their samples in this process."""
    del tiny_sizes
    monkeypatch.setattr(training, "Feed", FeedInProcess)
    monkeypatch.setattr(FeedInProcess, "started", ())


@pytest.fixture(scope="session")
def groups(tmp_path_factory):
    path = tmp_path_factory.mktemp("cases") / "case.npz"
    save_prepared(path, ball_case(("L1", "L2"), 8.0, (12, 12, 14), radius=14.0))
    return [CaseGroup((path,), 1.0)]
