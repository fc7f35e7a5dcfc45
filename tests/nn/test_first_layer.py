"""The first layer on rows that stay in the parent's column."""

import pickle

import pytest
import torch

import hopflow as hf
from hopflow.structure.frame import InheritedRows, take_rows
from hopflow.structure.table_rows import TableRows

pytestmark = pytest.mark.cpu_only


def graph_of(dtype=torch.float32, width=20, seed=0):
    torch.manual_seed(seed)
    ends = torch.randint(300, (2, 2400))
    graph = hf.graph((ends[0], ends[1]), num_nodes=300)
    graph.ndata["feat"] = torch.randn(300, width).to(dtype)
    return graph


def loader_of(graph, fanouts=(3, 3), num_workers=0, **options):
    sampler = hf.dataloading.NeighborSampler(list(fanouts), **options)
    return hf.dataloading.DataLoader(
        graph, torch.arange(300), sampler, batch_size=30, num_workers=num_workers, seed=1
    )


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("bias", [True, False])
def test_the_same_bits_and_gradients(num_workers, idtype, bias):
    graph = graph_of().int() if idtype == torch.int32 else graph_of()
    conv = hf.nn.SAGEConv(20, 32, "mean", bias=bias)
    used = 0
    for input_nodes, _, blocks in loader_of(graph, num_workers=num_workers):
        rows = blocks[0].src_rows("feat")
        assert isinstance(rows, TableRows)
        assert rows.shape == (blocks[0].num_src_nodes(), 20)
        used += conv._reads_table(blocks[0], rows, None)
        found = []
        # Not srcdata: what is read of one batch the next ones bring along.
        for feat in (rows, graph.ndata["feat"][input_nodes.long()]):
            conv.zero_grad()
            out = conv(blocks[0], feat)
            out.square().sum().backward()
            found.append([out.detach(), *(p.grad for p in conv.parameters())])
        assert all(map(torch.equal, *found))
    assert used


@pytest.mark.parametrize("aggregator", hf.nn.conv.sage.AGGREGATORS)
@pytest.mark.parametrize("fanouts", [(30, 2), (2, 2)])
def test_every_aggregator_and_any_number_of_edges(aggregator, fanouts):
    graph = graph_of()
    conv = hf.nn.SAGEConv(20, 8, aggregator)
    for _, _, blocks in loader_of(graph, fanouts):
        one = conv(blocks[0], blocks[0].src_rows("feat"))
        assert torch.equal(one, conv(blocks[0], blocks[0].srcdata["feat"]))


def test_dropout_weights_and_autocast_take_a_copy():
    graph = graph_of()
    _, _, blocks = next(iter(loader_of(graph)))
    block, rows = blocks[0], blocks[0].src_rows("feat")
    conv = hf.nn.SAGEConv(20, 32, "mean", feat_drop=0.5)
    assert not conv._reads_table(block, rows, None)
    assert conv.eval()._reads_table(block, rows, None)
    weight = torch.rand(block.num_edges())
    assert not conv._reads_table(block, rows, weight)
    assert torch.equal(conv(block, rows, weight), conv(block, block.srcdata["feat"], weight))
    with torch.autocast("cpu", torch.bfloat16):
        assert not conv._reads_table(block, rows, None)
    assert not conv.double()._reads_table(block, rows, None)


def test_what_is_at_hand_or_cannot_be_read_in_place_comes_gathered():
    graph = graph_of()
    loader = loader_of(graph, num_workers=1, prefetch_node_feats=["feat"])
    for _, _, blocks in loader:
        assert isinstance(blocks[0].src_rows("feat"), torch.Tensor)
    _, _, blocks = next(iter(loader_of(graph)))
    _ = blocks[0].srcdata["feat"]  # gathered already
    assert isinstance(blocks[0].src_rows("feat"), torch.Tensor)
    blocks[0].srcdata["own"] = torch.zeros(blocks[0].num_src_nodes(), 2)
    assert isinstance(blocks[0].src_rows("own"), torch.Tensor)
    for column in (
        graph_of().ndata["feat"].requires_grad_(),
        torch.randn(300),
        torch.randn(20, 300).t(),
        hf.storage.encode(torch.randn(300, 20)),
    ):
        graph.ndata["feat"] = column
        _, _, blocks = next(iter(loader_of(graph)))
        rows = blocks[0].src_rows("feat")
        assert isinstance(rows, torch.Tensor)
        assert torch.equal(rows, blocks[0].srcdata["feat"])
    with pytest.raises(KeyError, match="no source node column 'none'"):
        blocks[0].src_rows("none")


def test_no_gather_is_made():
    graph = graph_of()
    conv = hf.nn.SAGEConv(20, 32, "mean")
    loader = loader_of(graph, num_workers=2)
    for _ in range(3):
        for _, _, blocks in loader:
            conv(blocks[0], blocks[0].src_rows("feat"))
            assert not blocks[0]._src_frame.is_read("feat")
    # What is wanted of the destinations alone is brought along.
    assert [key[0] for key in loader._reads.columns()] == [1]


def test_training_is_the_same():
    graph = graph_of()
    found = []
    for take in (lambda block: block.src_rows("feat"), lambda block: block.srcdata["feat"]):
        torch.manual_seed(3)
        layers = torch.nn.ModuleList(
            [hf.nn.SAGEConv(20, 32, "mean"), hf.nn.SAGEConv(32, 4, "mean")]
        )
        optimizer = torch.optim.Adam(layers.parameters())
        for _, output_nodes, blocks in loader_of(graph, num_workers=2):
            hidden = layers[0](blocks[0], take(blocks[0])).relu()
            loss = torch.nn.functional.cross_entropy(layers[1](blocks[1], hidden), output_nodes % 4)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        found.append([p.detach().clone() for p in layers.parameters()])
    assert all(map(torch.equal, *found))


def test_own_rows_are_the_columns_whatever_was_put_beside_them():
    graph = graph_of()
    conv = hf.nn.SAGEConv(20, 32, "mean")
    for change in ("put", "delete", "read and change"):
        _, _, (block, _) = next(iter(loader_of(graph)))
        expected = conv(block, graph.ndata["feat"][block.srcdata[hf.NID]])
        rows = block.src_rows("feat")
        if change == "put":
            block.dstdata["feat"] = torch.zeros(block.num_dst_nodes(), 20)
        elif change == "delete":
            del block.dstdata["feat"]
        else:
            block.dstdata["feat"].zero_()
        assert torch.equal(conv(block, rows), expected)


def test_rows_of_another_block_are_refused():
    graph = graph_of()
    batches = iter(loader_of(graph))
    blocks = [next(batches)[2][0] for _ in range(2)]
    conv = hf.nn.SAGEConv(20, 32, "mean")
    with pytest.raises(ValueError, match="feat: expected one row for each of the"):
        conv(blocks[0], blocks[1].src_rows("feat"))


def test_hooks_on_the_dropout_are_called():
    _, _, blocks = next(iter(loader_of(graph_of())))
    conv = hf.nn.SAGEConv(20, 32, "mean")
    calls = []
    conv.feat_drop.register_forward_hook(lambda *_: calls.append(1))
    conv(blocks[0], blocks[0].src_rows("feat"))
    assert calls == [1]


def test_a_pickle_has_the_rows_and_other_devices_a_copy():
    graph = graph_of()
    _, _, blocks = next(iter(loader_of(graph)))
    rows = blocks[0].src_rows("feat")
    assert torch.equal(pickle.loads(pickle.dumps(rows)), rows.tensor())
    elsewhere = InheritedRows("feat", graph.ndata["feat"], lambda: rows.ids.to("meta"), take_rows)
    assert elsewhere.in_table() is None


def test_blocks_of_several_types_have_none():
    typed = hf.heterograph({("a", "x", "b"): ([0], [1]), ("b", "y", "a"): ([0], [1])})
    sampler = hf.dataloading.NeighborSampler([2])
    loader = hf.dataloading.DataLoader(typed, {"a": torch.tensor([1])}, sampler)
    _, _, (block,) = next(iter(loader))
    with pytest.raises(ValueError, match="expected a block of one type"):
        block.src_rows("feat")
