"""Asks one process for one precision after the other: `python -m tests.helpers.precisions PRECISION…`.

Prints as JSON, for each: what its network says of itself, the SHA-256 of its answer when it was loaded and
at the end; or why it was refused.
"""

import hashlib
import json
import sys

import numpy as np

from verse_infer.errors import UsageError
from verse_infer.networks import load_networks
from verse_infer.weights import BUNDLED_WEIGHTS

IMAGE = np.random.default_rng(0).uniform(-0.5, 0.5, (64, 64, 64, 1)).astype(np.float32)


def answer_of(networks):
    return hashlib.sha256(networks.spine(IMAGE).tobytes()).hexdigest()


def main(precisions):
    said, loaded = [], []
    for precision in precisions:
        try:
            networks = load_networks(BUNDLED_WEIGHTS, "cpu", precision)
        except UsageError as error:
            said.append({"refused": str(error)})
            continue
        loaded.append((networks, {"precision": networks.runtime.precision}))
        said.append(loaded[-1][1])
        said[-1]["first"] = answer_of(networks)
    for networks, words in loaded:
        words["last"] = answer_of(networks)
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1:])
