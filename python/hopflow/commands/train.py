"""``hopflow train``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.markup import escape

from hopflow.commands.progress import Progress, scores_text, time_table
from hopflow.commands.shared import (
    DEFAULTS,
    Data,
    Debug,
    Edges,
    Json,
    Memory,
    Root,
    Split,
    TargetType,
    as_text,
    console,
    load,
    process_group,
    readable_errors,
    results,
)
from hopflow.dataloading import NeighborSampler
from hopflow.dataloading.kept_rows import disk_columns
from hopflow.storage.sizes import size_text
from hopflow.train import TrainConfig, Trainer, load_checkpoint
from hopflow.train.config import MODELS, NO_FANOUTS, Fanout
from hopflow.train.data import check_device
from hopflow.train.export import check_distinct, check_target
from hopflow.train.plan import plan_run
from hopflow.train.ranks import Ranks
from hopflow.train.targets import ACCURACY


def train(
    data: Data = DEFAULTS.data,
    root: Root = DEFAULTS.root,
    scale: Annotated[
        float, typer.Option(help="Size of mag-like, 1 being that of ogbn-mag.")
    ] = DEFAULTS.scale,
    split: Split = DEFAULTS.split,
    task: Annotated[
        str,
        typer.Option(
            help="node: predict labels of nodes; link: which pairs have an edge, with edges held"
            " out."
        ),
    ] = DEFAULTS.task,
    target: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="What labels are: classes, multilabel or regression.  [default: what their dtype"
            " and shape say]"
        ),
    ] = DEFAULTS.target,
    negatives: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Of links: pairs without an edge, drawn for each edge.  [default: 1]"),
    ] = DEFAULTS.negatives,
    model: Annotated[
        str,
        typer.Option(
            help="sage, gcn, gat, gatv2 or gin; on a graph of several types sage, rgcn or hgt. gcn,"
            " gat and gatv2 see each node among its own neighbours; no model needs in-edges."
        ),
    ] = DEFAULTS.model,
    aggregator: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Of sage: mean, gcn, pool or lstm; of gin: sum, mean or max.  [default: the first]"
        ),
    ] = DEFAULTS.aggregator,
    target_type: TargetType = DEFAULTS.target_type,
    undirected: Annotated[
        bool,
        typer.Option(
            "--undirected/--directed",
            help="Add the reverse of every edge, of several types of every relation, unless it is"
            " there.",
        ),
    ] = DEFAULTS.undirected,
    normalize_features: Annotated[
        bool, typer.Option("--normalize-features", help="Divide each feature row by its sum.")
    ] = DEFAULTS.normalize_features,
    sampler: Annotated[
        str,
        typer.Option(
            help="neighbor or labor: neighbours layer by layer; shadow: the subgraph around seeds;"
            " ppr: that of their nodes of largest PageRank; cluster: that of some clusters; saint:"
            " that of nodes drawn."
        ),
    ] = DEFAULTS.sampler,
    ppr_neighbors: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Of ppr: the most nodes around a seed.  [default: 32]"),
    ] = DEFAULTS.ppr_neighbors,
    ppr_alpha: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Of ppr: near 1 these nodes are near.  [default: 0.15]"),
    ] = DEFAULTS.ppr_alpha,
    ppr_epsilon: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Of ppr: error of scores; halved, twice the work.  [default: 0.0001]"),
    ] = DEFAULTS.ppr_epsilon,
    clusters: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Of cluster: how many.  [default: 10 for each batch]"),
    ] = DEFAULTS.clusters,
    saint_mode: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Of saint: draw by walk, node or edge.  [default: walk]"),
    ] = DEFAULTS.saint_mode,
    budget: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Of saint: draws a batch, of walks ROOTS,STEPS.  [default: what brings about"
            " --batch-size training nodes]"
        ),
    ] = None,
    fanout: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Neighbours kept a layer, input first; -1 keeps all. By relation: cites=10+*=5,10"
            " for 10 of cites and 5 of each other.  [default: 10,10]"
        ),
    ] = None,
    layers: Annotated[
        Optional[int], typer.Option(help="Number of layers.  [default: that of --fanout]")  # noqa: UP045
    ] = None,
    hidden: Annotated[int, typer.Option(help="Width of the hidden layers.")] = DEFAULTS.hidden,
    heads: Annotated[
        int, typer.Option(help="Attention heads of gat, gatv2 and hgt.")
    ] = DEFAULTS.heads,
    bases: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            help="Matrices that rgcn mixes those of its relations of.  [default: each its own]"
        ),
    ] = DEFAULTS.bases,
    epochs: Annotated[int, typer.Option(help="Passes over the training nodes.")] = DEFAULTS.epochs,
    batch_size: Annotated[int, typer.Option(help="Training nodes a batch.")] = DEFAULTS.batch_size,
    lr: Annotated[float, typer.Option(help="Adam's learning rate.")] = DEFAULTS.lr,
    weight_decay: Annotated[float, typer.Option(help="L2 penalty.")] = DEFAULTS.weight_decay,
    dropout: Annotated[float, typer.Option(help="Rate of dropout.")] = DEFAULTS.dropout,
    seed: Annotated[int, typer.Option(help="Fixes weights, order, samples.")] = DEFAULTS.seed,
    device: Annotated[str, typer.Option(help="Where to train.")] = DEFAULTS.device,
    num_workers: Annotated[
        int, typer.Option(help="Threads that prepare batches ahead.")
    ] = DEFAULTS.num_workers,
    memory: Memory = DEFAULTS.memory,
    edges: Edges = DEFAULTS.edges,
    evaluation: Annotated[
        str,
        typer.Option(
            help="How to validate and test: full, over all neighbours of every node; or sampled,"
            " as in training, for graphs larger than memory."
        ),
    ] = DEFAULTS.evaluation,
    save: Annotated[
        Optional[Path], typer.Option(help="Checkpoint, written after every epoch.")  # noqa: UP045
    ] = None,
    resume: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Go on from a checkpoint, with its settings and, unless --save is given, into it."
        ),
    ] = None,
    plot: Annotated[
        Optional[Path], typer.Option(help="Draw loss and accuracies into this image.")  # noqa: UP045
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds that a process waits for the others of torchrun.")
    ] = 300.0,
    as_json: Json = False,
    debug: Debug = False,
    *,
    context: typer.Context,
) -> None:
    """Train a model on batches of a graph; without options, GraphSAGE on the built-in graph.

    Under torchrun its processes train together: torchrun --nproc-per-node 2 -m hopflow train
    """
    with readable_errors(debug):
        is_free = sampler == "shadow" or sampler in NO_FANOUTS
        if sampler in NO_FANOUTS and fanout is not None:
            raise ValueError(
                f"--fanout: sampler {sampler} takes all edges of its subgraphs; expected --layers"
            )
        given = {
            "data": data, "root": root, "scale": scale, "split": split, "task": task,
            "target": target, "negatives": negatives, "model": model, "aggregator": aggregator,
            "sampler": sampler, "clusters": clusters, "saint_mode": saint_mode,
            "budget": _budget_of(budget), "layers": layers if is_free else None,
            "ppr_neighbors": ppr_neighbors, "ppr_alpha": ppr_alpha, "ppr_epsilon": ppr_epsilon,
            "target_type": target_type, "undirected": undirected,
            "normalize_features": normalize_features,
            "fanout": _fanout_of(fanout, None if is_free else layers),
            "hidden": hidden, "heads": heads, "bases": bases, "epochs": epochs,
            "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay, "dropout": dropout,
            "seed": seed, "device": device, "num_workers": num_workers, "memory": memory,
            "edges": edges, "evaluation": evaluation,
        }  # fmt: skip
        state = None
        if resume is not None:
            state = load_checkpoint(resume)
            typed = {name for name in given if _was_typed(context, name)} - {"layers"}
            before = TrainConfig.from_dict(state["config"])
            if layers is not None and layers != before.num_layers:
                typed.add("fanout" if before.layers is None else "layers")
                given["layers"] = layers
            given = {**state["config"], **{name: given[name] for name in typed}}
            save = save or resume
        config = TrainConfig.from_dict(given)
        # What can be refused is refused now, not when the training is done.
        if not 0 < timeout < 1e9:
            raise ValueError(f"timeout: expected seconds > 0, got {timeout:g}")
        check_device(config.device)
        check_distinct(data=config.data, save=save, plot=plot)
        for file in (save, plot):
            if file is not None:
                check_target(file)
        if save is not None and save.exists() and resume is None:
            load_checkpoint(save)  # anything else than a checkpoint is not replaced
            console.print(
                f"[yellow]note:[/] {escape(str(save))} is replaced; --resume continues it"
            )
        if plot is not None:
            from hopflow.train.plot import check_plot

            check_plot(plot)
        with process_group(config.device, timeout):
            _run(config, state, save, plot, as_json)


def _run(
    config: TrainConfig,
    state: dict[str, Any] | None,
    save: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Train, alone or as one of several ranks, and tell of it."""
    ranks = Ranks.now()
    # What is downloaded or generated once is there for the others.
    dataset = ranks.together(lambda: load(config), first_before=True)
    trainer = ranks.together(lambda: Trainer(config, dataset, resume=state, save=save))
    several = f"; {ranks.count} processes" if ranks.count > 1 else ""
    task, metrics = trainer.task, trainer.task.metrics
    console.print(
        f"{task.describe()}; {task.num_training:,} training {task.unit}{several}", markup=False
    )
    if metrics[0] is not ACCURACY:
        reported = ", ".join(metric.title for metric in metrics)
        console.print(f"loss: {task.loss_name}; reported: {reported}", markup=False)
    for note in trainer.task.notes(trainer.model):
        console.print(f"[yellow]note:[/] {escape(note)}")
    if ranks.count == 1 and type(trainer.loader.graph_sampler) is NeighborSampler:
        _tell_plan(trainer)
    with closing(Progress(config, task, ranks)) as progress:
        result = trainer.run(progress)
    if not ranks.is_first:
        return
    if plot is not None:  # before anything goes to a pipe that may have closed
        from hopflow.train.plot import plot_curves

        plot_curves(
            result, plot, f"{MODELS[config.model]} on {config.data}",
            metric=metrics[0], loss_name=task.loss_name,
        )  # fmt: skip
    out = results(as_json)
    out.print(time_table(result))
    first, found = metrics[:1], result.to_dict()
    best = scores_text(first, found, "valid").removeprefix(f"valid {first[0].title} ")
    out.print(
        f"[bold]{scores_text(metrics, found, 'test')}[/] at epoch {result.best_epoch},"
        f" the best on validation ({best})"
    )
    report = trainer.loader.report()
    if ranks.count == 1 and report.waiting_share >= _MUCH:
        console.print(f"loader, in the last epoch: {report.advice}", markup=False, highlight=False)
    if save is not None:
        console.print(f"checkpoint: {escape(str(save))}")
    if plot is not None:
        console.print(f"plot: {escape(str(plot))}")
    if as_json:
        print(as_text({"config": config.to_dict(), **result.to_dict()}))


def _tell_plan(trainer: Trainer) -> None:
    """Say what an epoch will cost, and fill the caches of columns on disk."""
    on_disk = disk_columns(trainer.graph)
    if any(column.capacity for column in on_disk.values()):
        with console.status("choosing the rows to cache"):
            trainer.loader.keep_expected_rows()
    parameters = sum(x.nbytes for x in trainer.model.parameters())
    if parameters > _MOST_PARAMETERS:
        return  # the plan's steps are those of a copy of the model
    with console.status("sampling batches for a plan"):
        plan = plan_run(trainer)
    console.print(f"plan: {plan}", markup=False, highlight=False)
    if not plan.fits:
        console.print(
            "[yellow]warning:[/] memory will not do: the run needs"
            f" {size_text(plan.memory_bytes)} and the machine can give it"
            f" {size_text(plan.available or 0)}; a graph folder (hopflow convert) with --memory"
            " keeps features on disk"
        )


_MOST_PARAMETERS = 256 << 20  # bytes of a model that is copied for a plan
_MUCH = 0.2  # share of an epoch: who waits so long for batches wants to know what for


def _was_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def parse_fanout(text: str) -> tuple[Fanout, ...]:
    """Fanouts by layer, as ``--fanout`` has them."""
    try:
        return tuple(_parse_layer(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"--fanout: expected ints such as 10,10, got {text!r}; for a layer by relation"
            " NAME=5+OTHER=3+*=0"
        ) from None


def _parse_layer(text: str) -> Fanout:
    if "=" not in text:
        return int(text)
    named: dict[str, int] = {}
    for part in text.split("+"):
        name, _, number = part.rpartition("=")
        if not name.strip() or name.strip() in named:
            raise ValueError(part)
        named[name.strip()] = int(number)
    return named


def _budget_of(text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--budget: expected ints such as 2000 or 500,2, got {text!r}") from None


def _fanout_of(fanout: str | None, layers: int | None) -> tuple[Fanout, ...]:
    if fanout is None:
        return DEFAULTS.fanout[:1] * (len(DEFAULTS.fanout) if layers is None else max(layers, 0))
    parsed = parse_fanout(fanout)
    if layers is not None and len(parsed) == 1:
        return parsed * layers
    if layers is not None and len(parsed) != layers:
        raise ValueError(f"--fanout has {len(parsed)} numbers, but --layers is {layers}")
    return parsed
