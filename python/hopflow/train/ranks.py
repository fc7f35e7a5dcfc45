"""The ranks that train one model together: those of torch.distributed's default process group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

import hopflow as hf

T = TypeVar("T")
_OF_ALL = "hopflow_of_all_ranks"


def is_of_all(error: BaseException) -> bool:
    """Whether all ranks raised something where this one raised the error."""
    return bool(getattr(error, _OF_ALL, False))


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; alone without a process group.

    Attributes
    ----------
    rank, count : int
        Its number, and how many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def now(cls) -> Ranks:
        """The ranks of the default process group, if there is one."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def sums(self, values: list[float], device: torch.device) -> list[float]:
        """Sums over the ranks, in float64; one exchange."""
        if self.count == 1:
            return values
        # NCCL exchanges what is on the GPU, Gloo what is on the CPU.
        total = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return [float(x) for x in total.tolist()]

    def gathered(self, value: T, *, patient: bool = False) -> list[T]:
        """A value of every rank's, in their order; ``patient`` waits up to a day for them."""
        if self.count == 1:
            return [value]
        every: list[Any] = [None] * self.count
        group = dist.new_group(backend="gloo", timeout=timedelta(days=1)) if patient else None
        dist.all_gather_object(every, value, group=group)
        if group is not None:
            dist.destroy_process_group(group)
        return every

    def together(self, act: Callable[[], T], *, first_before: bool = False) -> T:
        """Do something on every rank; what fails on one fails on all.

        Parameters
        ----------
        act : callable
            What to do.
        first_before : bool
            Whether rank 0 does it before the others begin, which then find what it has left.

        Raises
        ------
        HopflowError
            It failed on another rank alone. What it raises here is raised. Either is marked, for
            :func:`is_of_all`: every rank raises something.
        """
        made: list[T] = []
        own: Exception | None = None

        def attempt() -> None:
            nonlocal own
            try:
                made.append(act())
            except Exception as error:
                own = error

        if self.is_first or not first_before:
            attempt()
        if first_before:
            # As long as it takes: rank 0 may be downloading.
            failed = any(self.gathered(own is not None, patient=True))
            if not self.is_first and not failed:
                attempt()
        told = self.gathered(None if own is None else f"{type(own).__name__}: {own}")
        for rank, text in enumerate(told):
            if text is not None:
                error = own or hf.HopflowError(f"rank {rank}: {text}")
                setattr(error, _OF_ALL, True)
                raise error
        return made[0]

    def shares(self, work: Tensor) -> list[int]:
        """Where the rows of each rank begin, and where those of the last end.

        Parameters
        ----------
        work : Tensor
            What all rows before a row cost, shape [N + 1], rising from 0.
        """
        total, num_rows = int(work[-1]), work.shape[0] - 1
        goals = torch.tensor([total * rank // self.count for rank in range(1, self.count)])
        inner = torch.searchsorted(work, goals.to(work.dtype)).clamp(max=num_rows).tolist()
        # Rank 0 has a row if there is any: what it finds tells the others what rows are like.
        return [0, *(max(end, min(1, num_rows)) for end in inner), num_rows]

    def share(self, rows: Tensor, begins: list[int]) -> None:
        """Let every rank have all rows, of each rank those that it has; in place, on the CPU."""
        if self.count == 1:
            return
        for rank in range(self.count):
            own = rows[begins[rank] : begins[rank + 1]]
            if own.numel():
                dist.broadcast(own, src=rank)

    def from_first(self, value: T) -> T:
        """Rank 0's value."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


ALONE = Ranks()
