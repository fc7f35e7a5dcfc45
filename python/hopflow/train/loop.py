"""The training loop: epochs, validation, the best model, and where the time went."""

from __future__ import annotations

import math
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hopflow.dataloading import DataLoader
from hopflow.train.base_task import Step
from hopflow.train.checkpoint import save_checkpoint
from hopflow.train.config import TrainConfig
from hopflow.train.data import check_device, not_finite
from hopflow.train.export import check_target
from hopflow.train.ranks import Ranks
from hopflow.train.records import EpochRecord, Interrupted, Observer, TrainResult, best_of
from hopflow.train.sampled import Diverged
from hopflow.train.samplers import KINDS
from hopflow.train.task import task_of
from hopflow.train.typed_model import TypedModel
from hopflow.train.typed_task import TypedTask

__all__ = ["STAGES", "EpochRecord", "Interrupted", "Observer", "TrainResult", "Trainer"]

STAGES = ("sample", "gather", "forward", "backward", "step", "validate")
# A resumed run may train longer and elsewhere, on more threads; the rest fixes its results.
# The data may have moved: they are known by their size.
# torchrun hands a Ctrl-C on to processes that have had it from the terminal.
_ONE_CTRL_C = 5.0
_MAY_CHANGE = {"epochs", "device", "num_workers", "root", "data", "memory", "edges"}


def _spare_path() -> Path:
    """Where an interrupted run without a place of its own is kept; replaces no other file."""
    folder = Path() if os.access(".", os.W_OK) else Path(tempfile.gettempdir())
    names = ("hopflow-interrupted.pt", *(f"hopflow-interrupted-{i}.pt" for i in range(2, 1000)))
    return next(
        (folder / name for name in names if not (folder / name).exists()), folder / names[0]
    )


class Trainer:
    """Trains a model on batches of a graph: a model of layers, or on several types a
    :class:`TypedModel`.

    Parameters
    ----------
    config : TrainConfig
        What fixes the run.
    dataset : NodePropDataset or TypedNodePropDataset
        What :func:`hopflow.datasets.load` returned for ``config.data``.
    resume : dict, optional
        A checkpoint (:func:`load_checkpoint`); the run goes on where it was taken, with the results
        of a run that never stopped.
    save : path, optional
        Where to keep a checkpoint, written after every epoch and on Ctrl-C.

    Raises
    ------
    ValueError
        The data set does not fit, or the checkpoint is of a run with other settings.
    HopflowError
        The device is not there.

    Notes
    -----
    The run has a random stream of its own, fixed by ``config.seed``: it neither depends on torch's
    and hopflow's global generators nor moves them.

    Where there is a process group (torch.distributed), its ranks train together: every one makes a
    Trainer with the same arguments and runs it. Batches are shared out (``DataLoader`` with
    ``use_ddp``; ``batch_size`` is a rank's), gradients averaged by DistributedDataParallel with the
    weights that make them those of one process, metrics are of all ranks, nodes to validate are
    shared out, and rank 0 alone writes checkpoints. Results depend on the number of ranks too. A
    checkpoint may be taken up by any number of ranks; by as many the run goes on exactly.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: Any,
        *,
        resume: dict[str, Any] | None = None,
        save: str | os.PathLike[str] | None = None,
    ) -> None:
        self.config = config
        self.save = None if save is None else Path(save)
        if self.save is not None:
            check_target(self.save)
        self.device = device = check_device(config.device)
        self.ranks = Ranks.now()
        self.task = task_of(config, dataset)
        self.graph = self.task.graph
        if self.ranks.count > 1 and not KINDS[config.sampler].has_seeds:
            raise ValueError(
                f"sampler: {config.sampler} draws subgraphs of no given nodes, which several"
                " processes do not share out; expected neighbor, labor, shadow or ppr, or one"
                " process"
            )
        self._rng: dict[str, Tensor] = {}
        with self._own_randomness():
            self.model = self.task.model(self.task.sizes()).to(device)
            if not self.ranks.is_first:
                # Weights are alike; what is drawn from here on (dropout) is each rank's own.
                torch.manual_seed(config.seed + 0x9E3779B97F4A7C15 * self.ranks.rank % 2**63)
        self.optimizers = self.task.optimizers(self.model)
        self._parallel = self._in_parallel()
        loading = self.task.loading()
        self.loader = DataLoader(
            self.graph,
            loading.indices,
            loading.sampler,
            device=device,
            batch_size=loading.batch_size,
            shuffle=True,
            num_workers=config.num_workers,
            seed=config.seed,
            use_ddp=self.ranks.count > 1,
        )
        self.num_batches = loading.num_batches  # of an epoch, of all ranks
        self.history: list[EpochRecord] = []
        self.best_model: dict[str, Tensor] = {}
        self.seconds = dict.fromkeys(STAGES, 0.0)
        # Of the epoch under way: batches done, sums over their nodes or edges, time.
        self.progress = self._no_progress()
        self._stop = False
        if resume is not None:
            self._load(resume)

    def _in_parallel(self) -> nn.Module:
        """The model as it is called: where there are several ranks, averaging gradients."""
        if self.ranks.count == 1:
            return self.model
        several = isinstance(self.task, TypedTask)
        if several and self.device.type == "cuda" and self.model.sparse_parameters():  # type: ignore[operator]
            raise ValueError(
                "device: types without features have rows that are learned, whose sparse gradients"
                " NCCL does not average; expected cpu for several processes, got"
                f" {self.config.device!r}"
            )
        if several:
            cast(TypedModel, self.model).ties_tables = True
        # A batch may be without a relation's edges, and then without gradients for its weights.
        return DistributedDataParallel(self.model, find_unused_parameters=several)

    def _no_progress(self) -> dict[str, float]:
        own = dict.fromkeys(self.task.sum_names, 0.0)
        return {"batches": 0, "loss": 0.0, **own, "nodes": 0, "seconds": 0.0}

    def _state(self) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            **self.task.sizes(),
            "model": self.model.state_dict(),
            "best_model": self.best_model,
            "optimizer": self.optimizers[0].state_dict(),
            "more_optimizers": [optimizer.state_dict() for optimizer in self.optimizers[1:]],
            "history": [record.to_dict() for record in self.history],
            "progress": self.progress,
            "seconds": self.seconds,
            "loader": self.loader.state_dict(),
            "rng": self._rng_state(),
            "rank_rngs": self.ranks.gathered(self._rng_state()) if self.ranks.count > 1 else [],
        }

    def _rng_state(self) -> dict[str, Tensor]:
        state = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Weights and dropout inside draw from the run's own stream; the caller's comes back."""
        cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(cuda):
            if not self._rng:
                torch.manual_seed(self.config.seed)
            else:
                torch.set_rng_state(self._rng["cpu"])
            if "cuda" in self._rng and cuda:  # absent from a checkpoint made on the CPU
                torch.cuda.set_rng_state(self._rng["cuda"], self.device)
            try:
                yield
            finally:
                self._rng = self._rng_state()

    def _load(self, state: dict[str, Any]) -> None:
        ours = self.config.to_dict()
        theirs = TrainConfig.from_dict(state["config"]).to_dict()
        differing = [k for k in ours if k not in _MAY_CHANGE and ours[k] != theirs.get(k)]
        if differing:
            changes = ", ".join(f"{k} is {theirs.get(k)!r}, not {ours[k]!r}" for k in differing)
            raise ValueError(f"resume: the checkpoint is of another run ({changes})")
        for name, size in self.task.sizes().items():
            if state.get(name) != size:
                raise ValueError(
                    f"resume: the checkpoint is of data with {name} = {state.get(name)},"
                    f" {self.config.data} has {size}"
                )
        if self.config.epochs < len(state["history"]):
            raise ValueError(
                f"epochs: the checkpoint has {len(state['history'])} behind it, expected at least"
                f" as many, got {self.config.epochs}"
            )
        self.model.load_state_dict(state["model"])
        states = [state["optimizer"], *state.get("more_optimizers", [])]
        for optimizer, own in zip(self.optimizers, states):
            optimizer.load_state_dict(own)
        self.best_model = state["best_model"]
        self.history = [EpochRecord.from_dict(record) for record in state["history"]]
        self.progress = dict(state["progress"])
        self.seconds.update(state.get("seconds", {}))
        self.loader.load_state_dict(state["loader"])
        own = state.get("rank_rngs", [])
        if len(own) == self.ranks.count:
            self._rng = dict(own[self.ranks.rank])
        elif self.ranks.is_first:
            self._rng = dict(state["rng"])

    def run(self, observer: Observer | None = None) -> TrainResult:
        """Train up to the last epoch.

        Raises
        ------
        Interrupted
            Ctrl-C, after the batch under way; a checkpoint is written first. A second Ctrl-C stops
            at once.
        RuntimeError
            The loss is no longer a number; the checkpoint stays that of the epoch before.
        """
        observer = observer or Observer()
        with self._ctrl_c(), self._own_randomness():
            for epoch in range(len(self.history) + 1, self.config.epochs + 1):
                observer.start_epoch(epoch, self.num_batches, int(self.progress["batches"]))
                self._train_epoch(observer)
                record = self._validate(epoch)
                self.history.append(record)
                is_best = best_of(self.history, self.task.metrics[0]) is record
                if is_best:
                    self.best_model = deepcopy(self.model.state_dict())
                self.progress = self._no_progress()
                if self.save is not None:
                    self._write(self.save)
                observer.end_epoch(record, is_best)
        best = best_of(self.history, self.task.metrics[0])
        return TrainResult.of(best, self.history, self.seconds)

    def _write(self, path: Path) -> None:
        """Write a checkpoint, once for all ranks."""
        state = self._state()

        def write() -> None:
            if self.ranks.is_first:
                save_checkpoint(path, state)

        # Together: a launcher ends the other processes when one ends, not before the file is whole.
        self.ranks.together(write)

    def _train_epoch(self, observer: Observer) -> None:
        self.model.train()
        seconds, progress, ranks = self.seconds, self.progress, self.ranks
        if progress["batches"] >= self.num_batches:
            return  # the checkpoint was taken after the last batch
        batches = iter(self.loader)
        while True:
            begin = time.perf_counter()
            batch = next(batches, None)
            sampled = time.perf_counter()
            seconds["sample"] += sampled - begin
            if batch is None:
                return
            step = self.task.read(self.model, batch)
            gathered = time.perf_counter()
            loss, sums = self._step(step, gathered)
            stepped = time.perf_counter()
            last = step.blocks[-1]
            own = 0 if last.is_padding else step.count
            # Of all ranks; whoever was asked to stop stops all after the same batch.
            total, counted, stop, *sums = ranks.sums(
                [loss * own if own else 0.0, own, float(self._stop)]
                + [x if own else 0.0 for x in sums],
                self.device,
            )
            num_nodes, value = int(counted), total / counted if counted else 0.0
            if not math.isfinite(value):
                raise Diverged(
                    f"epoch {len(self.history) + 1}, batch {int(progress['batches']) + 1}: the loss"
                    f" is {value}; {self._why_not_finite()}"
                )
            done = time.perf_counter()
            seconds["gather"] += gathered - sampled
            seconds["step"] += done - stepped
            batches_done = progress["batches"] + ranks.count
            progress["batches"] = min(batches_done, self.num_batches)
            progress["loss"] += total
            for name, more in zip(self.task.sum_names, sums):
                progress[name] += more
            progress["nodes"] += num_nodes
            progress["seconds"] += done - begin
            observer.batch(value, num_nodes, progress["nodes"] / progress["seconds"])
            if stop or (ranks.count == 1 and self._stop):
                path = self.save or ranks.from_first(_spare_path())
                self._write(path)
                raise Interrupted(path)

    def _step(self, step: Step, begin: float) -> tuple[float, list[float]]:
        """Learn from a batch: its loss, and the sums of its nodes or edges."""
        if not step.count:  # a subgraph without a training node
            return 0.0, [0.0] * len(self.task.sum_names)
        seconds = self.seconds
        out = self._parallel(step.blocks, step.x)
        loss = self.task.loss(out, step)
        forward = time.perf_counter()
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        weighted = loss * step.blocks[-1].loss_weight if self.ranks.count > 1 else loss
        weighted.backward()  # type: ignore[no-untyped-call]
        backward = time.perf_counter()
        for optimizer in self.optimizers:
            optimizer.step()
        sums = self.task.sums(out.detach(), step)
        value = loss.item()
        seconds["forward"] += forward - begin
        seconds["backward"] += backward - forward
        seconds["step"] += time.perf_counter() - backward
        return value, sums

    def _validate(self, epoch: int) -> EpochRecord:
        begin = time.perf_counter()
        try:
            scores = self.task.evaluate(self.model, self.ranks)
        except Diverged as error:
            raise Diverged(f"epoch {epoch}: {error}; {self._why_not_finite()}") from None
        spent = time.perf_counter() - begin
        self.seconds["validate"] += spent
        progress = self.progress
        sums, count = [progress[name] for name in self.task.sum_names], progress["nodes"]
        own = self.task.training_scores(sums, count)
        return EpochRecord.of(
            epoch,
            progress["loss"] / max(count, 1),
            {**{f"train_{name}": value for name, value in own.items()}, **scores},
            progress["seconds"] + spent,
        )

    def _why_not_finite(self) -> str:
        lower = f"try a lower lr than {self.config.lr:g}, or normalize_features"
        return not_finite(self.graph) or lower

    def _accuracies(self) -> tuple[float, float]:
        """Of the nodes to validate and to test, where labels are classes."""
        scores = self.task.evaluate(self.model, self.ranks)
        return scores["valid_accuracy"], scores["test_accuracy"]

    @contextmanager
    def _ctrl_c(self) -> Iterator[None]:
        """Let the first Ctrl-C finish the batch: a step broken off half-way cannot be resumed."""
        self._stop = False
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        asked_at = 0.0

        def stop(*_: object) -> None:
            nonlocal asked_at
            if self.ranks.count > 1 and self._stop and time.monotonic() < asked_at + _ONE_CTRL_C:
                return
            if self._stop:
                signal.signal(signal.SIGINT, before)
                signal.raise_signal(signal.SIGINT)
                return
            self._stop, asked_at = True, time.monotonic()
            if self.ranks.count == 1:
                signal.signal(signal.SIGINT, before)

        signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
