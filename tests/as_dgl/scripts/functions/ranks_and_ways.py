"""PageRank and shortest ways with push, pull and send_and_recv, against networkx."""

import argparse

import dgl
import dgl.function as fn
import networkx as nx
import torch


def pagerank(g, damping, steps):
    """Built-in functions over the whole graph."""
    n = g.num_nodes()
    g.ndata["pv"] = torch.full((n,), 1 / n)
    degree = g.out_degrees().float()
    for _ in range(steps):
        g.ndata["share"] = g.ndata["pv"] / degree
        g.update_all(fn.copy_u("share", "m"), fn.sum("m", "sum"))
        g.ndata["pv"] = (1 - damping) / n + damping * g.ndata["sum"]
    return g.ndata.pop("pv")


def pagerank_by_mailbox(g, damping, steps):
    """The same from functions of the user's, every node pulling for itself."""
    n = g.num_nodes()
    g.ndata["pv"] = torch.full((n,), 1 / n)
    g.ndata["deg"] = g.out_degrees().float()

    def message(edges):
        return {"pv": edges.src["pv"] / edges.src["deg"]}

    def reduce(nodes):
        return {"pv": (1 - damping) / n + damping * nodes.mailbox["pv"].sum(1)}

    for _ in range(steps):
        g.pull(g.nodes(), message, reduce)
    return g.ndata.pop("pv")


def distances(g, source):
    """Bellman-Ford: in every round those that came nearer push to their successors."""
    g.ndata["d"] = torch.full((g.num_nodes(),), float("inf"))
    g.ndata["d"][source] = 0

    def relax(nodes):
        return {"d": torch.minimum(nodes.data["d"], nodes.mailbox["m"].min(1)[0])}

    active = torch.tensor([source])
    rounds = 0
    while len(active):
        before = g.ndata["d"].clone()
        g.push(active, fn.u_add_e("d", "length", "m"), relax)
        active = (g.ndata["d"] < before).nonzero().flatten()
        rounds += 1
    print(f"{rounds} rounds")
    return g.ndata.pop("d")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--damping", type=float, default=0.85)
    parser.add_argument("--nodes", type=int, default=120)
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    torch.manual_seed(0)
    nxg = nx.connected_watts_strogatz_graph(args.nodes, 6, 0.2, seed=1)
    g = dgl.from_networkx(nxg)
    g.edata["length"] = torch.rand(g.num_edges()) + 0.1
    ranks = pagerank(g, args.damping, args.steps)
    by_mailbox = pagerank_by_mailbox(g, args.damping, args.steps)
    truth = nx.pagerank(nxg, alpha=args.damping, tol=1e-9)
    truth = torch.tensor([truth[i] for i in range(args.nodes)])
    right = [torch.isclose(x, truth, rtol=1e-3) for x in (ranks, by_mailbox)]
    for u, v, length in zip(*(x.tolist() for x in (*g.edges(), g.edata["length"]))):
        # Both directions of a pair have lengths of their own.
        nxg = nxg if nxg.is_directed() else nxg.to_directed()
        nxg[u][v]["length"] = length
    found = distances(g, 0)
    truth = nx.single_source_dijkstra_path_length(nxg, 0, weight="length")
    truth = torch.tensor([truth[i] for i in range(args.nodes)])
    right.append(torch.isclose(found, truth, rtol=1e-4))
    # What is written into the graph for one edge is there for its reverse as well.
    g.send_and_recv(g.edges(), fn.copy_e("length", "m"), fn.max("m", "longest"))
    longest = torch.stack([g.edata["length"][g.in_edges(v, form="eid")].max() for v in g.nodes()])
    right.append(torch.isclose(g.ndata["longest"], longest))
    print(f"Values as networkx has them {torch.cat(right).float().mean().item():.4f}")
