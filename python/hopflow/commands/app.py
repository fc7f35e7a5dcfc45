"""The command ``hopflow``: a thin shell around the modules that do the work."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tqdm import tqdm

import hopflow as hf
from hopflow.commands.bench import BenchOptions, list_cases, redraw
from hopflow.commands.bench import run as run_benchmarks
from hopflow.commands.doctor import examine, render
from hopflow.train import (
    EpochRecord,
    GraphSAGE,
    Observer,
    TrainConfig,
    Trainer,
    TrainResult,
    layerwise_inference,
    load_checkpoint,
)
from hopflow.train.data import accuracy, check_device, prepare
from hopflow.train.export import check_distinct, check_suffix, check_target, write_predictions
from hopflow.train.loop import STAGES, Interrupted

app = typer.Typer(
    help="Train graph neural networks on graphs too large for full-batch training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# Progress and errors go to stderr, so that a pipe gets results alone.
console = Console(stderr=True, highlight=False, soft_wrap=True)

DEFAULTS = TrainConfig()
_USER_ERRORS = (ValueError, TypeError, IndexError, KeyError, OSError, ImportError, hf.HopflowError)
# Types that a mistake of hopflow's own raises too: point to the traceback.
_MAYBE_OURS = (TypeError, IndexError, KeyError)


def _version(asked: bool) -> None:
    if asked:
        print(f"hopflow {hf.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and leave.")
    ] = False,
) -> None:
    pass


@contextmanager
def _readable_errors(debug: bool) -> Iterator[None]:
    """Turn what a user can mend into one line; exit with 2, or 1 for what the machine lacks."""
    try:
        yield
    except Interrupted as stop:
        console.print("[yellow]interrupted[/]; continue with: hopflow train --resume", end=" ")
        console.print(shlex.quote(str(stop.path)), markup=False)
        raise typer.Exit(130) from None
    except BrokenPipeError:
        raise  # for main(): the reader of a pipe has left
    except KeyboardInterrupt:  # before the first batch, or asked twice
        if debug:
            raise
        console.print("[yellow]interrupted[/]; nothing was saved just now")
        raise typer.Exit(130) from None
    except (*_USER_ERRORS, RuntimeError) as error:
        if debug or isinstance(error, typer.Exit):
            raise
        # A KeyError's text is the repr of its message.
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        console.print("[bold red]error:[/]", end=" ")
        console.print(str(text), markup=False)
        if isinstance(error, _MAYBE_OURS):
            console.print("--debug shows where it comes from")
        raise typer.Exit(2 if isinstance(error, _USER_ERRORS) else 1) from None


def _parse_fanout(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--fanout: expected ints such as 10,10, got {text!r}") from None


def _fanout_of(fanout: str | None, layers: int | None) -> tuple[int, ...]:
    if fanout is None:
        return DEFAULTS.fanout[:1] * (len(DEFAULTS.fanout) if layers is None else max(layers, 0))
    parsed = _parse_fanout(fanout)
    if layers is not None and len(parsed) == 1:
        return parsed * layers
    if layers is not None and len(parsed) != layers:
        raise ValueError(f"--fanout has {len(parsed)} numbers, but --layers is {layers}")
    return parsed


class _Progress(Observer):
    """A bar for the batches of an epoch and a line for each finished epoch."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._bar: Any = None

    def start_epoch(self, epoch: int, num_batches: int, first_batch: int) -> None:
        self._bar = tqdm(
            total=num_batches,
            initial=first_batch,
            desc=f"epoch {epoch}/{self._config.epochs}",
            unit="batch",
            leave=False,
            disable=None,  # no bar where there is no terminal
            dynamic_ncols=True,
        )

    def batch(self, loss: float, num_nodes: int, nodes_per_second: float) -> None:
        self._bar.set_postfix_str(f"loss {loss:.3f}, {nodes_per_second:,.0f} nodes/s", False)
        self._bar.update()

    def close(self) -> None:
        """Clear the bar's line, for what is printed next."""
        if self._bar is not None:
            self._bar.close()

    def end_epoch(self, record: EpochRecord, is_best: bool) -> None:
        self.close()
        console.print(
            f"epoch {record.epoch:>3}/{self._config.epochs}  loss {record.loss:.4f}"
            f"  train {_percent(record.train_accuracy)}  valid {_percent(record.valid_accuracy)}"
            f"  test {_percent(record.test_accuracy)}  {record.seconds:.1f} s"
            f"{'  [green]best[/]' if is_best else ''}"
        )


def _percent(share: float) -> str:
    return "     - " if math.isnan(share) else f"{100 * share:5.2f} %"


def _time_table(result: TrainResult) -> Table:
    table = Table(title="where the time went", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("share", justify="right")
    total = sum(result.seconds.values())
    for stage in STAGES:
        seconds = result.seconds[stage]
        table.add_row(stage, f"{seconds:.2f}", f"{100 * seconds / max(total, 1e-12):.1f} %")
    table.add_section()
    table.add_row("total", f"{total:.2f}", "100.0 %")
    return table


def _json(value: Any) -> str:
    def plain(x: Any) -> Any:
        if isinstance(x, float) and not math.isfinite(x):
            return None
        if isinstance(x, dict):
            return {key: plain(item) for key, item in x.items()}
        return [plain(item) for item in x] if isinstance(x, (list, tuple)) else x

    return json.dumps(plain(value), indent=2)


def _load(config: TrainConfig) -> Any:
    with console.status(f"loading {escape(config.data)}"):
        return hf.datasets.load(config.data, config.root, split=config.split)


# typer reads the annotations at run time, hence Optional and not `|`.
Data = Annotated[str, typer.Option(help="A name, folder or file: arxiv-like, ogbn-arxiv, g.npz …")]
Root = Annotated[str, typer.Option(help="Folder for data sets that ogb downloads.")]
Split = Annotated[Optional[str], typer.Option(help="Which split of the data set to use.")]  # noqa: UP045
Debug = Annotated[bool, typer.Option(help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


@app.command()
def train(
    data: Data = DEFAULTS.data,
    root: Root = DEFAULTS.root,
    split: Split = DEFAULTS.split,
    undirected: Annotated[
        bool,
        typer.Option(
            "--undirected/--directed", help="Add the reverse of every edge, unless it is there."
        ),
    ] = DEFAULTS.undirected,
    normalize_features: Annotated[
        bool, typer.Option("--normalize-features", help="Divide each feature row by its sum.")
    ] = DEFAULTS.normalize_features,
    fanout: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Neighbours kept a layer, input first; -1 keeps all.  [default: 10,10]"),
    ] = None,
    layers: Annotated[
        Optional[int], typer.Option(help="Number of layers.  [default: that of --fanout]")  # noqa: UP045
    ] = None,
    hidden: Annotated[int, typer.Option(help="Width of the hidden layers.")] = DEFAULTS.hidden,
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
    as_json: Json = False,
    debug: Debug = False,
    *,
    context: typer.Context,
) -> None:
    """Train GraphSAGE by neighbour sampling; without options, on the built-in graph."""
    with _readable_errors(debug):
        given = {
            "data": data, "root": root, "split": split, "undirected": undirected,
            "normalize_features": normalize_features, "fanout": _fanout_of(fanout, layers),
            "hidden": hidden, "epochs": epochs, "batch_size": batch_size, "lr": lr,
            "weight_decay": weight_decay, "dropout": dropout, "seed": seed, "device": device,
            "num_workers": num_workers,
        }  # fmt: skip
        state = None
        if resume is not None:
            state = load_checkpoint(resume)
            typed = {name for name in given if _was_typed(context, name)}
            if layers is not None and layers != len(state["config"]["fanout"]):
                typed.add("fanout")
            given = {**state["config"], **{name: given[name] for name in typed}}
            save = save or resume
        config = TrainConfig.from_dict(given)
        # What can be refused is refused now, not when the training is done.
        check_device(config.device)
        check_distinct(data=config.data, save=save, plot=plot)
        for target in (save, plot):
            if target is not None:
                check_target(target)
        if save is not None and save.exists() and resume is None:
            load_checkpoint(save)  # anything else than a checkpoint is not replaced
            console.print(
                f"[yellow]note:[/] {escape(str(save))} is replaced; --resume continues it"
            )
        if plot is not None:
            from hopflow.train.plot import check_plot, plot_curves

            check_plot(plot)
        dataset = _load(config)
        trainer = Trainer(config, dataset, resume=state, save=save)
        graph = trainer.graph
        console.print(
            f"{escape(config.data)}: {graph.num_nodes():,} nodes, {graph.num_edges():,} edges,"
            f" {graph.ndata['feat'].shape[1]} features, {dataset.num_classes} classes;"
            f" {len(trainer.split['train']):,} training nodes"
        )
        with closing(_Progress(config)) as progress:
            result = trainer.run(progress)
        if plot is not None:  # before anything goes to a pipe that may have closed
            plot_curves(result, plot, f"GraphSAGE on {config.data}")
        out = _results(as_json)
        out.print(_time_table(result))
        out.print(
            f"[bold]test accuracy {_percent(result.test_accuracy).strip()}[/] at epoch"
            f" {result.best_epoch}, the best on validation"
            f" ({_percent(result.valid_accuracy).strip()})"
        )
        if save is not None:
            console.print(f"checkpoint: {escape(str(save))}")
        if plot is not None:
            console.print(f"plot: {escape(str(plot))}")
        if as_json:
            print(_json({"config": config.to_dict(), **asdict(result)}))


def _results(as_json: bool) -> Console:
    """Where results for people go: stdout, unless JSON has it."""
    return console if as_json else Console(highlight=False, soft_wrap=True)


def _was_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@app.command()
def infer(
    checkpoint: Annotated[Path, typer.Option(help="What `hopflow train --save` wrote.")],
    out: Annotated[Path, typer.Option(help="Predictions: .npy, .csv or .parquet.")],
    data: Annotated[
        Optional[str], typer.Option(help="Another graph with the same features.")  # noqa: UP045
    ] = None,
    root: Annotated[Optional[str], typer.Option(help="Folder of OGB's data sets.")] = None,  # noqa: UP045
    split: Split = None,
    logits: Annotated[bool, typer.Option("--logits", help="Write logits, not classes.")] = False,
    chunk_edges: Annotated[int, typer.Option(help="In-edges computed at a time.")] = 1 << 20,
    scratch: Annotated[
        Optional[Path], typer.Option(help="Keep hidden layers in files in this folder.")  # noqa: UP045
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Predict every node's class, layer by layer over full neighbourhoods, in bounded memory."""
    with _readable_errors(debug):
        check_suffix(out)
        check_target(out)
        check_distinct(checkpoint=checkpoint, out=out, data=data)
        state = load_checkpoint(checkpoint)
        overrides: dict[str, Any] = {} if data is None else {"data": data, "split": None}
        for name, value in (("root", root), ("split", split)):
            if value is not None:
                overrides[name] = value
        config = TrainConfig.from_dict({**state["config"], **overrides})
        dataset = _load(config)
        graph, parts = prepare(config, dataset, for_training=False)
        model = GraphSAGE(
            state["num_features"], config.hidden, state["num_classes"],
            num_layers=len(config.fanout), dropout=config.dropout,
        )  # fmt: skip
        model.load_state_dict(state["best_model"] or state["model"])
        num_layers = len(config.fanout)
        with tqdm(total=graph.num_nodes() * num_layers, unit="node", disable=None) as bar:
            update: Callable[[int], None] = bar.update
            result = layerwise_inference(
                model, graph, graph.ndata["feat"],
                chunk_edges=chunk_edges, scratch=scratch, on_nodes=update,
            )  # fmt: skip
        if not bool(result.isfinite().all()):
            raise ValueError(f"{checkpoint}: the model's outputs are not finite; it has diverged")
        write_predictions(result if logits else result.argmax(1), out)
        summary: dict[str, Any] = {"out": str(out), "num_nodes": graph.num_nodes()}
        if "label" in graph.ndata and "test" in parts:
            summary["test_accuracy"] = accuracy(result, graph.ndata["label"], parts["test"])
            console.print(f"test accuracy {_percent(summary['test_accuracy']).strip()}")
        console.print(f"predictions of {graph.num_nodes():,} nodes: {escape(str(out))}")
        if as_json:
            print(_json(summary))


@app.command()
def bench(
    cases: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(help="Cases, or how their names begin: loader, spmm.mean …  [default: all]"),
    ] = None,
    peer: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="An engine to compare with, dgl, graphbolt or pyg, as name=/its/python."),
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of every engine.")] = 2,
    repeats: Annotated[int, typer.Option(help="Timed runs of each case, at most.")] = 7,
    timeout: Annotated[float, typer.Option(help="Seconds for one step of one engine.")] = 900,
    out: Annotated[Path, typer.Option(help="Folder for results and report.")] = Path(
        "bench-results"
    ),
    cache: Annotated[
        Optional[Path], typer.Option(help="Folder that keeps the synthetic graphs.")  # noqa: UP045
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what takes minutes.")] = False,
    names: Annotated[bool, typer.Option("--list", help="Print the cases and leave.")] = False,
    report: Annotated[
        Optional[Path], typer.Option(help="Draw the report of a results.json again.")  # noqa: UP045
    ] = None,
    debug: Debug = False,
) -> None:
    """Time hopflow beside plain torch and other engines, and write a report with plots."""
    with _readable_errors(debug):
        if names:
            list_cases(_results(False))
            return
        if report is not None:
            written = redraw(report, _results(False))
        else:
            options = BenchOptions(
                cases=cases or (), peers=peer or (), threads=threads, repeats=repeats,
                timeout=timeout, out=out, cache=cache, quick=quick,
            )  # fmt: skip

            def say(text: str) -> None:
                console.print(text, markup=False)

            written = run_benchmarks(options, say, _results(False))
        console.print(f"report: {escape(str(written))}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show versions, CPU features, threads, OpenMP and CUDA, and what should be changed."""
    findings = examine()
    if as_json:
        print(_json(findings))
    else:
        render(findings, Console(highlight=False))


def main() -> None:
    """Entry point of the command."""
    try:
        app()
    except BrokenPipeError:
        # The reader of a pipe has left; nothing more to tell it.
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
