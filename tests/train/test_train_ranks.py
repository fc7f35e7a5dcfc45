"""One model trained by several processes: the run is one process's at the same global batch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
import typer
from ranks import error_of
from test_train import CONFIG, StopAfter, results
from torch.nn import functional

import hopflow as hf
from hopflow.commands import shared
from hopflow.dataloading import DataLoader
from hopflow.train import Trainer, layerwise_inference, load_checkpoint
from hopflow.train.loop import Interrupted
from hopflow.train.ranks import Ranks
from hopflow.train.task import task_of

NO_DROPOUT = replace(CONFIG, dropout=0.0, epochs=3, batch_size=100)
TYPED = replace(
    CONFIG, model="rgcn", epochs=2, batch_size=40, hidden=8, fanout=(3, 3), dropout=0.0, lr=0.01
)


def one_type():
    return hf.datasets.arxiv_like(
        num_nodes=1500, num_edges=6000, num_features=12, num_classes=4, cache=False
    )


def several_types():
    return hf.datasets.mag_like(scale=0.002, num_classes=5, num_features=12, cache=False)


def run(rank, config, typed=False, save=None, resume=None, stop=0):
    state = None if resume is None else load_checkpoint(resume)
    trainer = Trainer(config, several_types() if typed else one_type(), resume=state, save=save)
    observer = StopAfter(trainer, stop) if stop and rank == 1 else None
    try:
        history = results(trainer.run(observer).history)
    except Interrupted:
        history = "interrupted"
    weights = {name: x.detach() for name, x in trainer.model.state_dict().items()}
    return history, weights, dict(trainer.progress)


def alone_at_the_same_global_batch(config, num):
    """One process whose steps take the gradients of ``num`` batches: weights and training loss."""
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        task = task_of(config, one_type())
        model = task.model(task.sizes())
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    loader = DataLoader(
        task.graph, task.seeds(), task.sampler(), batch_size=config.batch_size, shuffle=True,
        seed=config.seed,
    )  # fmt: skip
    losses = []
    for _ in range(config.epochs):
        batches, whole, seen = list(loader), 0.0, 0
        for begin in range(0, len(batches), num):
            total, count = torch.zeros(()), 0
            for _, _, blocks in batches[begin : begin + num]:
                labels = task.batch_labels(blocks)
                out = model(blocks, task.inputs(model, blocks))
                total = total + functional.cross_entropy(out, labels, reduction="sum")
                count += labels.shape[0]
            optimizer.zero_grad()
            (total / count).backward()
            optimizer.step()
            whole, seen = whole + float(total.detach()), seen + count
        losses.append(whole / seen)
    return model.state_dict(), losses


@pytest.mark.parametrize("num", [2, 4])
def test_weights_are_those_of_one_process_at_the_same_global_batch(ranks, num):
    of_ranks = ranks.run(run, NO_DROPOUT, num=num)
    weights, losses = alone_at_the_same_global_batch(NO_DROPOUT, num)
    for history, own, _ in of_ranks:
        assert history == of_ranks[0][0]
        assert all(torch.equal(own[name], x) for name, x in of_ranks[0][1].items())
        # float32, whose sums come in another order; Adam turns rounding into steps.
        for name, x in weights.items():
            torch.testing.assert_close(own[name], x, rtol=2e-3, atol=2e-4)
        assert [r["loss"] for r in history] == pytest.approx(losses, rel=1e-3)


def test_validation_is_of_all_nodes(ranks):
    (history, weights, _), _ = ranks.run(run, NO_DROPOUT, num=2)
    task = task_of(NO_DROPOUT, one_type())
    model = task.model(task.sizes())
    model.load_state_dict(weights)
    logits = task.predict(model)
    valid = task.split["valid"]
    right = (logits[valid].argmax(1) == task.labels[valid]).double().mean()
    assert history[-1]["valid_accuracy"] == pytest.approx(float(right))


def shared_out(rank, typed):
    config = TYPED if typed else NO_DROPOUT
    task = task_of(config, several_types() if typed else one_type())
    torch.manual_seed(1)
    model = task.model(task.sizes())
    return task.predict(model, chunk_edges=300, ranks=Ranks.now()), task.predict(model)


@pytest.mark.parametrize("typed", [False, True])
def test_inference_in_shares_is_that_of_one(ranks, typed):
    for ours, alone in ranks.run(shared_out, typed, num=3):
        torch.testing.assert_close(ours, alone, rtol=1e-5, atol=1e-6)


def tiny(rank):
    graph = hf.graph(([0, 1], [1, 0]), num_nodes=2)
    torch.manual_seed(0)
    model = hf.train.GraphSAGE(3, 4, 2, num_layers=2, dropout=0.0)
    x = torch.randn(2, 3)
    ours = layerwise_inference(model, graph, x, ranks=Ranks.now())
    return ours, layerwise_inference(model, graph, x)


def test_more_ranks_than_nodes(ranks):
    for ours, alone in ranks.run(tiny, num=4):
        torch.testing.assert_close(ours, alone)


class Made:
    """A data set of several types."""

    num_classes = 3

    def __init__(self, graph, labels):
        self.graph, self.labels = graph, labels

    def __getitem__(self, index):
        return self.graph, self.labels

    def get_idx_split(self):
        return {name: {"b": torch.arange(60)} for name in ("train", "valid", "test")}


def sparse_types(rank, model):
    """Types c -> a -> b: a batch of b without an a never uses the rows learned for c."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, (9,), generator=generator)
    graph = hf.heterograph(
        {("a", "to", "b"): (ids, torch.arange(9)), ("c", "of", "a"): (ids, ids)},
        {"a": 5, "b": 60, "c": 5},
    )
    graph.nodes["b"].data["feat"] = torch.randn(60, 4, generator=generator)
    dataset = Made(graph, {"b": torch.randint(3, (60, 1), generator=generator)})
    config = replace(TYPED, model=model, batch_size=8, undirected=False, heads=2)
    trainer = Trainer(config, dataset)
    return [r["loss"] for r in results(trainer.run().history)]


@pytest.mark.parametrize("model", ["rgcn", "hgt", "sage"])
def test_types_that_a_batch_does_not_reach(ranks, model):
    first, second = ranks.run(sparse_types, model, num=2)
    assert first == second
    assert first[-1] < first[0]


@pytest.mark.parametrize("model", ["rgcn", "hgt", "sage"])
def test_several_types(ranks, model):
    first, second = ranks.run(run, replace(TYPED, model=model), True, num=2)
    assert first[0] == second[0]
    assert first[0][-1]["loss"] < first[0][0]["loss"]
    assert all(torch.equal(second[1][name], x) for name, x in first[1].items())


@pytest.mark.parametrize("stop", [0, 3])
def test_resumed_by_as_many_ranks_exactly(ranks, tmp_path, stop):
    config = replace(CONFIG, epochs=3, batch_size=100)  # with dropout
    whole = ranks.run(run, config, num=2)
    path = tmp_path / "run.pt"
    first = config if stop else replace(config, epochs=2)
    begun = ranks.run(run, first, False, path, None, stop, num=2)
    if stop:
        assert [history for history, _, _ in begun] == ["interrupted"] * 2
        # Rank 1 was asked after a batch, and all stop after the next.
        assert begun[0][2]["batches"] == 2 * (stop + 1)
    rest = ranks.run(run, config, False, None, path, num=2)
    assert rest[0][0] == whole[0][0]
    assert all(torch.equal(rest[1][1][name], x) for name, x in whole[1][1].items())


@pytest.mark.parametrize("num", [1, 3])
def test_resumed_by_another_number_of_ranks(ranks, tmp_path, num):
    path = tmp_path / "run.pt"
    ranks.run(run, NO_DROPOUT, False, path, None, 2, num=2)
    if num == 1:
        of_ranks = [run(0, NO_DROPOUT, False, None, path)]
    else:
        of_ranks = ranks.run(run, NO_DROPOUT, False, None, path, num=num)
    for history, _, _ in of_ranks:
        assert history == of_ranks[0][0]
        assert len(history) == NO_DROPOUT.epochs


def diverging(rank):
    def bad():
        Trainer(replace(NO_DROPOUT, lr=1e30, epochs=2), one_type()).run()

    return error_of(bad)


def test_what_diverges_does_so_on_all_ranks(ranks):
    first, second = ranks.run(diverging, num=2)
    assert first == second
    assert first.startswith("Diverged: epoch")


def together(rank):
    def fail():
        if rank == 1:
            raise LookupError("only here")
        return rank

    order = []
    found = [
        error_of(lambda: Ranks.now().together(fail)),
        error_of(lambda: Ranks.now().together(fail, first_before=True)),
        Ranks.now().together(lambda: order.append(time.monotonic()), first_before=True),
    ]
    return found, order


def test_what_fails_on_one_rank_fails_on_all(ranks):
    (first, early), (second, late) = ranks.run(together, num=2)
    assert first[:2] == ["HopflowError: rank 1: LookupError: only here"] * 2
    assert second[:2] == ["LookupError: only here"] * 2
    assert early[0] < late[0]


# --- the command ---


_started = []


def torchrun(*options, num=2, program=("-m", "hopflow"), **more):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(num),
        "--standalone", *program, "train", "--scale", "0.003", "--data", "mag-like",
        "--epochs", "2", "--hidden", "8", "--fanout", "2,2", "--batch-size", "200", *options,
    ]  # fmt: skip
    package = os.path.dirname(os.path.dirname(hf.__file__))
    env = {**os.environ, "PYTHONPATH": package, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
        start_new_session=True, **more,
    )  # fmt: skip
    _started.append(running)
    return running


@pytest.fixture(autouse=True)
def _ended():
    yield
    for process in _started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    _started.clear()


def test_under_torchrun_one_process_speaks(tmp_path):
    path = tmp_path / "run.pt"
    running = torchrun("--json", "--save", str(path), "--plot", str(tmp_path / "run.png"))
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    found = json.loads(out)  # one object
    assert len(found["history"]) == 2
    assert err.count("2 processes") == err.count("epoch   2/2") == err.count("checkpoint:") == 1
    assert load_checkpoint(path)["config"]["epochs"] == 2
    assert (tmp_path / "run.png").stat().st_size > 1000


def test_a_mistake_is_told_once_however_late_rank_0_is(tmp_path):
    program = tmp_path / "late.py"
    program.write_text(
        "import os, time\n"
        "from hopflow.commands.app import main\n"
        "time.sleep(0 if int(os.environ['RANK']) else 4)\n"
        "main()\n"
    )
    running = torchrun("--model", "gpt", program=[str(program)])
    _, err = running.communicate(timeout=120)
    assert running.returncode != 0
    assert err.count("model: expected one of sage, rgcn, hgt, gcn, gat, gatv2, gin, got 'gpt'") == 1


def test_a_mistake_of_one_rank_alone_is_told_by_it(monkeypatch, capsys):
    monkeypatch.setattr(shared, "launched_rank", lambda: 1)
    monkeypatch.setattr(shared, "_PATIENCE", 0.1)
    monkeypatch.setattr(shared.console, "quiet", True)
    with pytest.raises(typer.Exit) as stop, shared.readable_errors(False):
        raise ValueError("only here")
    assert stop.value.exit_code == 2
    assert "rank 1: error: only here" in capsys.readouterr().err


def test_what_goes_wrong_with_one_rank_in_the_loop_is_told_before_its_group_is_gone(
    monkeypatch, capsys
):
    gone = []
    for name, act in (("init_process_group", None), ("destroy_process_group", gone.append)):
        monkeypatch.setattr(shared.dist, name, lambda *_, act=act, **__: act and act(told()))
    monkeypatch.setattr(shared, "launched_rank", lambda: 1)
    monkeypatch.setattr(shared.console, "quiet", False)
    told = lambda: capsys.readouterr().err  # noqa: E731
    begin = time.monotonic()
    with (
        pytest.raises(typer.Exit),
        shared.readable_errors(False),
        shared.process_group("cpu", 1.0),
    ):
        raise OSError("only here")
    assert gone == ["rank 1: error: only here\n"]
    assert told() == ""  # once
    assert time.monotonic() - begin < 10  # without waiting for rank 0


def test_ctrl_c_leaves_a_checkpoint_that_goes_on(tmp_path):
    path = tmp_path / "run.pt"
    running = torchrun("--epochs", "10000", "--save", str(path))
    deadline = time.monotonic() + 100
    while not path.exists():
        assert time.monotonic() < deadline
        assert running.poll() is None, running.communicate()[1]
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    _, err = running.communicate(timeout=60)
    assert "interrupted" in err, err
    state = load_checkpoint(path)
    done = len(state["history"])
    again = torchrun("--resume", str(path), "--epochs", str(done + 1), "--json")
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert len(json.loads(out)["history"]) == done + 1
