"""A whole weights folder of tiny networks."""

import keras
from msgspec import structs

from tests.helpers.training_cases import TINY
from verse_infer.weights import STAGES
from verse_train.export.entries import stage_entry
from verse_train.export.weights_folder import StageExport, export_weights
from verse_train.networks.architectures import build_network
from verse_train.sizes import Size

SMALL = {
    "vertebra_localisation": {"tile_overlap": 8},
    "vertebra_segmentation": {"crop_offset_mm": (0.0, 0.0, 0.0), "crops": ()},
}


def tiny_exports(ensemble=1):
    """Random networks of all stages, with the entries of the compact configuration."""
    exports = {}
    for stage in STAGES:
        entry, answer = stage_entry(Size.COMPACT, stage)
        # So small a crop does not reach as far from its middle as the real ones.
        options = structs.replace(entry.options, **SMALL.get(stage, {}))
        entry = structs.replace(entry, input_size=(16, 16, 16), options=options)
        networks = []
        for seed in range(ensemble):
            keras.utils.set_random_seed(seed)
            network = build_network(stage, TINY)
            _enlarge_outputs(network)
            networks.append(network)
        exports[stage] = StageExport(networks, entry, answer, TINY)
    return exports


def _enlarge_outputs(network):
    """New networks answer nearly the same everywhere: larger kernels, no biases."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv3D) and layer.use_bias:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * 30, bias * 0])


def write_weights(folder, ensemble=1, facts=None):
    exports = tiny_exports(ensemble)
    export_weights(folder, "tiny", exports, facts or {})
    return exports
