"""Which batches of an epoch a process makes, alone or as one of several ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist

import hopflow.ops as ops


@dataclass(frozen=True)
class Turns:
    """The batches that are left of an epoch, dealt out to ranks in turn.

    Of what is left rank ``r`` of ``P`` takes the batches ``first + r``, ``first + r + P`` and so
    on: interleaved they are those of one process. A rank that would get none in the last round
    makes one of the epoch's first batches again, as padding.

    Attributes
    ----------
    first : int
        The first batch that is left.
    num_batches : int
        Batches of the whole epoch.
    rank, num_ranks : int
        This process, and how many there are.
    """

    first: int
    num_batches: int
    rank: int = 0
    num_ranks: int = 1

    def __len__(self) -> int:
        """Batches that each rank makes."""
        return (self.num_batches - self.first + self.num_ranks - 1) // self.num_ranks

    def number(self, step: int) -> int:
        """The number of the batch that is made in a step, 0 being the first."""
        number = self.first + step * self.num_ranks + self.rank
        return number % self.num_batches

    def numbers(self) -> list[int]:
        """The number of the batch in every step."""
        return [self.number(step) for step in range(len(self))]

    def is_padding(self, step: int) -> bool:
        """Whether the batch of a step is one that is there to fill up the last round."""
        return self.first + step * self.num_ranks + self.rank >= self.num_batches

    def done_after(self, step: int) -> int:
        """How many of the epoch's batches are done when all ranks are done with a step."""
        return min(self.first + (step + 1) * self.num_ranks, self.num_batches)

    def loss_weight(self, step: int, num_seeds: int, batch_size: int) -> float:
        """What to multiply the mean of a batch with before it is averaged over ranks.

        The average is then the mean over the seeds of all ranks, without those of padding.
        """
        if self.is_padding(step):
            return 0.0
        begin = (self.first + step * self.num_ranks) * batch_size
        in_round = min(self.done_after(step) * batch_size, num_seeds) - begin
        own = min(batch_size, num_seeds - self.number(step) * batch_size)
        return own * self.num_ranks / in_round


def this_rank() -> tuple[int, int]:
    """The number of this process in torch's default process group, and their number.

    Raises
    ------
    HopflowError
        There is no such group.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise ops.HopflowError(
            "use_ddp: expected a process group, got none; call"
            " torch.distributed.init_process_group() before the loop (torchrun sets what it needs)"
        )
    return dist.get_rank(), dist.get_world_size()


def gathered(value: Any) -> list[Any]:
    """A value of every rank's of the default process group; all ranks call this."""
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, value)
    return every


def agreed(
    what: str,
    ours: Mapping[str, Any],
    leads: Mapping[str, Any],
    gather: Callable[[Any], list[Any]] = gathered,
) -> dict[str, Any]:
    """What rank 0 leads with, once it is known that the ranks are alike; all ranks call this.

    Parameters
    ----------
    what : str
        The operand, for messages.
    ours : mapping
        What must be the same on every rank.
    leads : mapping
        What the ranks take from rank 0.
    gather : callable
        ``gather(value)`` returns those of all ranks.

    Raises
    ------
    ValueError
        Something is not the same; on every rank alike.
    """
    every = gather((dict(ours), dict(leads)))
    first, lead = every[0]
    for rank, (theirs, _) in enumerate(every):
        for name in {**first, **theirs}:
            if theirs.get(name) != first.get(name):
                raise ValueError(
                    f"{what}: expected the same on every rank, but {name} is"
                    f" {theirs.get(name)!r} on rank {rank} and {first.get(name)!r} on rank 0"
                )
    return dict(lead)
