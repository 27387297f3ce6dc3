"""The graph of one training step, forward, backward and update, for TensorBoard's Graphs page.

It is the flow that the judge replays, so every operation that both sides compute is in it.
(SummaryWriter.add_graph shows the forward pass alone, by way of torch.jit.trace, which torch has
deprecated.)
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

from torch_parity.compare.flow.nodes import Node, is_private, result
from torch_parity.compare.flow.phases import with_phases


def graph(nodes: Iterable[Node], trace: Mapping[str, np.ndarray]) -> GraphDef:
    """One node per operation, in a scope per phase and layer: backward/layer2/linear_backward.

    What the step is given (x, y, W1, masks...) stands under given/. trace tells the shapes of what
    the operations make.
    """
    made: dict[str, str] = {}
    drawn: list[NodeDef] = []
    taken: Counter[str] = Counter()
    for node, phase in with_phases(nodes):
        name = "/".join([phase, *([f"layer{node.layer}"] if node.layer else [])])
        name = f"{name}/{node.operation}"
        taken[name] += 1
        if taken[name] > 1:
            name += f"_{taken[name]}"
        for given in node.inputs:
            if given not in made:
                made[given] = f"given/{given}"
                drawn.append(NodeDef(name=made[given], op="given"))
        shapes = [trace[o] for o in node.outputs if not is_private(o)]
        drawn.append(
            NodeDef(
                name=name,
                op=node.operation,
                input=[made[i] for i in node.inputs],
                attr={"_output_shapes": _shapes(shapes)},
            )
        )
        for i, output in enumerate(node.outputs):
            made[result(node, output)] = f"{name}:{i}" if i else name
    return GraphDef(node=drawn)


def _shapes(tensors: list[np.ndarray]) -> AttrValue:
    dims = [[TensorShapeProto.Dim(size=n) for n in t.shape] for t in tensors]
    return AttrValue(list=AttrValue.ListValue(shape=[TensorShapeProto(dim=d) for d in dims]))
