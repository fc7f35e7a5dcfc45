"""What a graph made in inference mode has: all of it serves a backward pass later."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf

MAKERS = {
    "node_subgraph": lambda g: hf.node_subgraph(g, [0, 2]),
    "of_a_part": lambda g: hf.node_subgraph(hf.node_subgraph(g, [0, 2, 3]), [0, 1]),
    "edge_subgraph": lambda g: hf.edge_subgraph(g, [0, 2]),
    "edges_of_all_nodes": lambda g: hf.edge_subgraph(g, [0, 2], relabel_nodes=False),
    "in_subgraph": lambda g: hf.in_subgraph(g, [0, 2]),
    "in_subgraph_relabelled": lambda g: hf.in_subgraph(g, [0, 2], relabel_nodes=True),
    "out_subgraph": lambda g: hf.out_subgraph(g, [0, 2]),
    "khop_in_subgraph": lambda g: hf.khop_in_subgraph(g, [0], 1)[0],
    "khop_out_subgraph": lambda g: hf.khop_out_subgraph(g, [0], 1)[0],
    "remove_nodes": lambda g: hf.remove_nodes(g, [0], store_ids=True),
    "remove_edges": lambda g: hf.remove_edges(g, [0], store_ids=True),
    "add_self_loop": hf.add_self_loop,
    "remove_self_loop": hf.remove_self_loop,
    "add_reverse_edges": lambda g: hf.add_reverse_edges(g, copy_edata=True),
    "to_simple": lambda g: hf.to_simple(g, copy_ndata=True, copy_edata=True, return_counts="n"),
    "to_simple_sums": lambda g: hf.to_simple(g, copy_edata=True, aggregator="sum"),
    "reorder_graph": lambda g: hf.reorder_graph(
        g, node_permute_algo="custom", permute_config={"nodes_perm": [3, 2, 1, 0]}
    ),
    "select_topk": lambda g: hf.sampling.select_topk(g, 1, "x"),
    "sample_neighbors": lambda g: hf.sampling.sample_neighbors(g, [0, 1], 1),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_columns_and_ids_serve_a_backward_pass(make):
    graph = hf.graph(([0, 1, 2, 2, 3], [1, 2, 0, 1, 3]))
    graph.ndata["x"] = torch.arange(4.0, requires_grad=True)
    graph.edata["x"] = torch.arange(5.0, requires_grad=True)
    with torch.inference_mode():
        made = make(graph)
    weight = torch.ones(10, requires_grad=True)
    for columns in (made.ndata, made.edata):
        for name, value in columns.items():
            assert not value.is_inference(), name
            if name in (hf.NID, hf.EID):
                value = weight[value.long()]
            (value * weight[: value.shape[0]]).sum().backward()
    assert weight.grad.sum() > 0


def test_rows_of_a_trained_column_made_in_inference_mode_carry_its_gradient():
    graph = hf.graph(([0, 1, 2], [1, 2, 0]))
    graph.ndata["x"] = x = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        made = hf.node_subgraph(graph, [0, 2])
    made.ndata["x"].sum().backward()
    assert x.grad.tolist() == [1, 0, 1]
