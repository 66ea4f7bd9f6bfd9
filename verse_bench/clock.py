"""Networks that note how long each of their calls takes, and what a call costs in arithmetic."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_infer.networks import Function, Network, Networks, SavedModel
from verse_infer.weights import Stage

Floats = NDArray[np.float32]
#: What to say instead of a network's output: (n, z, y, x, outputs), and the same.
Answer = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a network. shape: n, z, y, x, channels of its input."""

    stage: Stage
    seconds: float
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Clock:
    """Collects the calls of networks that are timed by it."""

    calls: list[Call] = field(default_factory=list)

    def of(self, stage: Stage) -> tuple[Call, ...]:
        """The calls of one stage."""
        return tuple(call for call in self.calls if call.stage == stage)

    def timed(self, networks: Networks, answers: dict[Stage, Answer] | None = None) -> Networks:
        """The same networks, timed. answers: replaces what networks of random weights would say."""
        stages = {
            stage: self._timed_network(stage, network, (answers or {}).get(stage))
            for stage, network in networks.stages.items()
        }
        return replace(networks, stages=stages)

    def _timed_network(
        self, stage: Stage, network: Network[Any], answer: Answer | None
    ) -> Network[Any]:
        def timed(function: Function) -> Function:
            def run(tensor: Any) -> dict[str, Floats]:
                started = time.perf_counter()
                # A GPU's call returns before its work is done; looking at the outputs waits for it.
                outputs = {name: np.asarray(memoryview(t)) for name, t in function(tensor).items()}
                seconds = time.perf_counter() - started
                self.calls.append(Call(stage, seconds, tuple(tensor.shape)))
                return {name: answer(o) if answer else o for name, o in outputs.items()}

            return run

        return replace(network, functions=tuple(map(timed, network.functions)))


def bare_seconds(network: Network[Any], shape: tuple[int, ...], repeats: int) -> float:
    """The median of so many calls of a network alone; shape: n, z, y, x, channels."""
    images = np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        network.run_batch(images)
        found.append(time.perf_counter() - started)
    return float(np.median(found))


def convolution_flops(network: Network[Any], shape: tuple[int, ...]) -> int:
    """Multiplications and additions of all convolutions in one call of a loaded network.

    shape: n, z, y, x, channels of the input. What else a network does (pooling, enlarging,
    normalising) is little arithmetic and not counted.
    """
    return sum(
        _flops(function.signature, shape)
        for function in network.functions
        if isinstance(function, SavedModel)
    )


#: Where a kernel is used as a whole: at every voxel that a convolution gives, or a transposed one takes.
_KERNEL_PLACES: dict[str, Callable[[Any], Any]] = {
    "Conv3D": lambda convolution: convolution.outputs[0],
    "Conv3DBackpropInputV2": lambda transposed: transposed.inputs[2],
}


def _flops(signature: Any, shape: tuple[int, ...]) -> int:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    definition = convert_variables_to_constants_v2(signature).graph.as_graph_def()
    inputs = [node.name for node in definition.node if node.op == "Placeholder"]
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, shape)
        tf.graph_util.import_graph_def(definition, input_map={f"{inputs[0]}:0": image})
    total = 0
    for operation in graph.get_operations():
        if operation.type in _KERNEL_PLACES:
            kernel = operation.inputs[1].shape.as_list()
            places = _KERNEL_PLACES[operation.type](operation).shape.as_list()[:-1]
            total += 2 * int(np.prod(kernel)) * int(np.prod(places))
    return total
