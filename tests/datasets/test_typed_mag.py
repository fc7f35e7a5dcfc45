"""The synthetic graph of several types: its structure, its cache, and that types help."""

import numpy as np
import pytest
import torch

from hopflow.datasets import load, loading, mag, mag_like

SMALL = {"scale": 0.002, "num_features": 16, "num_classes": 24}
SIZES = {"author": 1_134_649, "field_of_study": 59_965, "institution": 8_740, "paper": 736_389}
LINKS = {
    ("author", "affiliated_with", "institution"): 1_043_998,
    ("author", "writes", "paper"): 7_145_660,
    ("paper", "cites", "paper"): 5_416_271,
    ("paper", "has_topic", "field_of_study"): 7_505_078,
}


def arrays_of(dataset):
    graph, labels = dataset[0]
    ends = [end for r in graph.canonical_etypes for end in graph.edges(etype=r)]
    paper = graph.nodes["paper"].data
    split = [part["paper"] for part in dataset.get_idx_split().values()]
    return [*ends, paper["feat"], paper["year"], labels["paper"], *split]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(arrays_of(first), arrays_of(second), strict=False))


def check_structure(dataset, *, scale, num_features=128, num_classes=349):
    graph, labels = dataset[0]
    assert graph.ntypes == sorted(SIZES)
    assert graph.canonical_etypes == sorted(LINKS)
    for ntype, count in SIZES.items():
        assert graph.num_nodes(ntype) == round(count * scale)
    for relation, count in LINKS.items():
        src, dst = (end.numpy() for end in graph.edges(etype=relation))
        assert len(src) == round(count * scale)
        assert len(np.unique(src * graph.num_nodes(relation[2]) + dst)) == len(src)  # no edge twice
    for etype in ("affiliated_with", "writes", "has_topic"):
        assert graph.in_degrees(etype=etype).min() >= 1
    assert graph.out_degrees(etype="writes").min() >= 1
    assert graph.out_degrees(etype="has_topic").min() >= 1
    paper = graph.nodes["paper"].data
    src, dst = graph.edges(etype="cites")
    assert (paper["year"][src] >= paper["year"][dst]).all()
    assert paper["feat"].shape == (graph.num_nodes("paper"), num_features)
    assert paper["feat"].dtype == torch.float32
    if num_classes > 1:
        assert abs(float(paper["feat"].var()) - 1) < 0.1
    assert paper["year"].dtype == torch.int64
    assert [ntype for ntype in graph.ntypes if graph.nodes[ntype].data] == ["paper"]
    assert labels["paper"].shape == (graph.num_nodes("paper"), 1)
    assert 0 <= int(labels["paper"].min()) <= int(labels["paper"].max()) < num_classes
    assert dataset.num_classes == num_classes
    split = {key: part["paper"] for key, part in dataset.get_idx_split().items()}
    together = torch.cat(list(split.values())).sort().values
    assert torch.equal(together, torch.arange(graph.num_nodes("paper")))
    years = [(2010, 2017), (2018, 2018), (2019, 2019)]
    for part, (low, high) in zip(split.values(), years, strict=True):
        assert int(paper["year"][part].min()) >= low
        assert int(paper["year"][part].max()) <= high


@pytest.mark.parametrize(
    "sizes",
    [
        SMALL,
        {"scale": 0.01},
        {"scale": 0.001, "num_features": 1, "num_classes": 1},
        {"scale": 0.001, "num_classes": 349, "num_features": 8},
    ],
)
def test_structure(sizes):
    check_structure(mag_like(seed=1, cache=False, **sizes), **sizes)


def test_tails_are_heavy():
    graph, labels = mag_like(scale=0.02, num_features=1, cache=False)[0]
    for etype in ("cites", "has_topic", "affiliated_with"):
        degrees = graph.in_degrees(etype=etype).float()
        assert degrees.max() > 20 * degrees.mean()
    degrees = graph.out_degrees(etype="writes").float()
    assert degrees.max() > 50 * degrees.mean()
    counts = torch.bincount(labels["paper"][:, 0], minlength=349)
    assert counts.min() > 0
    assert counts.max() > 10 * counts.min()


def test_seed_decides():
    first = mag_like(seed=5, cache=False, **SMALL)
    assert same(first, mag_like(seed=5, cache=False, **SMALL))
    assert not same(first, mag_like(seed=6, cache=False, **SMALL))


def test_the_same_on_every_machine():
    """Sums that would change with the order or the generator; raise _VERSION with them."""
    graph, labels = mag_like(seed=0, cache=False, **SMALL)[0]
    found = [int((src * 31 + dst * 17).sum()) for src, dst in
             (graph.edges(etype=r) for r in graph.canonical_etypes)]  # fmt: skip
    assert found == [74013068, 680109625, 397100785, 353054847]
    label = labels["paper"][:, 0]
    assert int((label * torch.arange(len(label))).sum()) == 12053895


def test_reverse_relations():
    graph, _ = mag_like(cache=False, add_reverse=True, **SMALL)[0]
    assert len(graph.canonical_etypes) == 8
    for src, name, dst in LINKS:
        assert graph.to_canonical_etype(f"rev_{name}") == (dst, f"rev_{name}", src)
        there, back = graph.edges(etype=name), graph.edges(etype=f"rev_{name}")
        assert torch.equal(there[0], back[1])
        assert torch.equal(there[1], back[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 0.0009}, "scale: expected at least 0.001, got 0.0009"),
        ({"scale": float("nan")}, "scale: expected at least 0.001, got nan"),
        ({"num_features": 0}, "num_features: expected at least 1, got 0"),
        ({"num_classes": 0}, r"num_classes: expected 1 to 736 \(half of the papers\), got 0"),
        ({"num_classes": 737}, r"num_classes: expected 1 to 736 \(half of the papers\), got 737"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
    ],
)
def test_wrong_sizes(change, message):
    with pytest.raises(ValueError, match=message):
        mag_like(cache=False, **{**SMALL, **change})


def test_cache(tmp_path, monkeypatch):
    calls, real = [], mag._generate
    monkeypatch.setattr(mag, "_generate", lambda *a, **k: calls.append(a) or real(*a, **k))
    first = mag_like(cache_dir=tmp_path, **SMALL)
    assert same(first, mag_like(cache_dir=tmp_path, **SMALL))
    reversed_, _ = mag_like(cache_dir=tmp_path, add_reverse=True, **SMALL)[0]
    assert reversed_.num_edges("rev_cites") == first[0][0].num_edges("cites")
    assert len(calls) == 1
    (file,) = tmp_path.iterdir()
    assert file.name.startswith("mag-like-v1-")
    file.write_bytes(file.read_bytes()[:1000])
    assert same(first, mag_like(cache_dir=tmp_path, **SMALL))
    assert len(calls) == 2


def test_by_name(monkeypatch):
    asked = {}
    monkeypatch.setattr(loading, "mag_like", lambda **options: asked.update(options))
    load("mag-like", seed=3, add_reverse=True)
    assert asked == {"seed": 3, "add_reverse": True}
    with pytest.raises(ValueError, match="split= does not apply to mag-like"):
        load("mag-like", split="time")
    with pytest.raises(ValueError, match="add_reverse= does not apply to arxiv-like"):
        load("arxiv-like", add_reverse=True)


def test_types_help():
    """Linear discriminants on means over neighbours: of papers alone, and through all types."""
    dataset = mag_like(scale=0.05, cache=False)
    graph, labels = dataset[0]
    label = labels["paper"][:, 0]
    split = {key: part["paper"] for key, part in dataset.get_idx_split().items()}
    feat = graph.nodes["paper"].data["feat"]

    def mean(rows, src, dst, num_dst):
        total = torch.zeros(num_dst, rows.shape[1]).index_add_(0, dst, rows[src])
        return total / torch.bincount(dst, minlength=num_dst).clamp(min=1)[:, None]

    def through(etype, ntype, *, is_source):
        src, dst = graph.edges(etype=etype)
        paper, other = (dst, src) if is_source else (src, dst)
        held = mean(feat, paper, other, graph.num_nodes(ntype))
        return mean(held, other, paper, len(feat))

    def accuracy(inputs):
        train, test = split["train"], split["test"]
        inputs = (inputs - inputs[train].mean(0)) / inputs[train].std(0)
        counts = torch.bincount(label[train], minlength=349).float()
        centres = torch.zeros(349, inputs.shape[1]).index_add_(0, label[train], inputs[train])
        centres /= counts.clamp(min=1)[:, None]
        rest = inputs[train] - centres[label[train]]
        spread = rest.T @ rest / len(train) + 1e-3 * torch.eye(rest.shape[1])
        weights = torch.linalg.solve(spread, centres.T)
        bias = (counts / counts.sum()).clamp(min=1e-9).log() - (centres.T * weights).sum(0) / 2
        return float(((inputs[test] @ weights + bias).argmax(1) == label[test]).float().mean())

    src, dst = graph.edges(etype="cites")
    src, dst = torch.cat([src, dst]), torch.cat([dst, src])
    alone = [feat]
    for _ in range(2):
        alone.append(mean(alone[-1], src, dst, len(feat)))
    typed = [
        through("writes", "author", is_source=True),
        through("has_topic", "field_of_study", is_source=False),
    ]
    of_papers, of_all = accuracy(torch.cat(alone, 1)), accuracy(torch.cat([*alone, *typed], 1))
    assert 0.10 < accuracy(feat) < of_papers + 0.05
    assert of_papers + 0.10 < of_all < 0.60
