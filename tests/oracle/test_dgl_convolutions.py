"""hopflow's further layers compute what DGL's do: recorded by ``record_convolutions.py``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from convolution_cases import Conv, convolutions
from test_dgl_parity import Recorded, assert_near, cotangent

import hopflow as hf
import hopflow.nn as hfnn

RECORD = Path(__file__).parent / "records" / "convolutions.npz"
CASES: dict[str, tuple[Conv, str]] = {
    f"{spec.cls}/{spec.name}/{form}": (spec, form)
    for spec in convolutions()
    for form in spec.forms
    if spec.recorded
}


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """The recorded results."""
    return Recorded(RECORD)


def make(recorded: Recorded, spec: Conv, form: str) -> hf.Graph:
    """The recorded graph or block, with the edges that a case wants."""
    given = recorded.below("graphs/graph" if form == "graph" else "graphs/block")
    num_src, num_dst = given["sizes"].tolist()
    edges = spec.rebuilt(given["src"].clone(), given["dst"].clone(), num_dst)
    if form == "graph":
        return hf.graph(edges, num_nodes=num_dst)
    return hf.create_block(edges, num_src_nodes=num_src, num_dst_nodes=num_dst)


def test_every_record_is_compared(recorded: Recorded) -> None:
    assert recorded.about["dgl"].startswith("2.")
    assert RECORD.stat().st_size < 100_000
    assert {k.split("/out/")[0] for k in recorded.tensors if "/out/" in k} == set(CASES)


@pytest.mark.parametrize("path", sorted(CASES))
def test_layer(recorded: Recorded, path: str) -> None:
    """With DGL's own state dict: results and the gradients of everything."""
    spec, form = CASES[path]
    layer = spec.make(getattr(hfnn, spec.cls))
    state = recorded.below(f"{path}/state")
    assert list(layer.state_dict()) == list(state)
    layer.load_state_dict(state)
    given = {k: x.clone().requires_grad_() for k, x in recorded.below(f"{path}/given").items()}
    out = spec.call(layer, make(recorded, spec, form), given)
    wanted = recorded.below(f"{path}/out")
    assert list(out) == list(wanted)
    for name, want in wanted.items():
        assert_near(name, out[name], want, 1e-5)
    used = [x for x in out.values() if x.requires_grad]
    torch.autograd.backward(used, [cotangent(x.shape) for x in used])
    for kind, leaves in (("grad", given), ("state_grad", dict(layer.named_parameters()))):
        wanted = recorded.below(f"{path}/{kind}")
        grads = {k: x.grad for k, x in leaves.items() if x.grad is not None}
        assert sorted(grads) == sorted(wanted)
        for name, want in wanted.items():
            assert_near(f"gradient of {name}", grads[name], want, 2e-4)
