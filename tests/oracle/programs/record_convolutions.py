"""Record what DGL computes in ``convolution_cases.py``, for ``test_dgl_convolutions.py``.

Run with an interpreter that has DGL; hopflow need not be there::

    python tests/oracle/programs/record_convolutions.py tests/oracle/records/convolutions.npz

The file has the form of ``fixtures.npz``, see ``record.py``. Below a case's path are the ``state``
of the layer and the ``given`` operands, the results ``out`` and the gradients ``grad`` and
``state_grad`` of all of them.
"""

from __future__ import annotations

import sys

import dgl
import dgl.nn.pytorch as dglnn
import record
import torch
from convolution_cases import Conv, convolutions
from record import cotangent, features, graphs, put_all
from record_layers import fill


def rebuilt(spec: Conv, graph: dgl.DGLGraph) -> dgl.DGLGraph:
    """The graph or block with the edges that a case wants."""
    num_src, num_dst = graph.num_src_nodes(), graph.num_dst_nodes()
    edges = spec.rebuilt(*graph.edges(), num_dst)
    if not graph.is_block:
        return dgl.graph(edges, num_nodes=num_dst)
    return dgl.create_block(edges, num_src_nodes=num_src, num_dst_nodes=num_dst)


def record_case(spec: Conv, form: str, graph: dgl.DGLGraph) -> None:
    """One call, with its gradients."""
    rows = {"u": graph.num_src_nodes(), "v": graph.num_dst_nodes(), "e": graph.num_edges()}
    layer = spec.make(getattr(dglnn, spec.cls))
    fill(layer)
    given = spec.leaves(form, lambda side, shape: features(rows[side], shape))
    for x in given.values():
        x.requires_grad_()
    path = f"{spec.cls}/{spec.name}/{form}"
    put_all(f"{path}/state", layer.state_dict())
    put_all(f"{path}/given", given)
    out = spec.call(layer, graph, given)
    put_all(f"{path}/out", out)
    used = [x for x in out.values() if x.requires_grad]
    torch.autograd.backward(used, [cotangent(x.shape) for x in used])
    for name, leaves in (("grad", given), ("state_grad", dict(layer.named_parameters()))):
        put_all(f"{path}/{name}", {k: x.grad for k, x in leaves.items() if x.grad is not None})


def main() -> None:
    """Record everything into the file that the command line names."""
    made = graphs()
    for spec in convolutions():
        for form in spec.forms if spec.recorded else ():
            record_case(spec, form, rebuilt(spec, made["graph" if form == "graph" else "block"]))
    record.save(sys.argv[1], {})
    print(f"{len(record.recorded)} tensors from DGL {dgl.__version__}")


if __name__ == "__main__":
    main()
