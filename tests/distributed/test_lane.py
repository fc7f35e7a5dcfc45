"""Messages between ranks arrive whole, with the numbers where they are small, apart where not."""

from __future__ import annotations

import random

import pytest
import torch
import torch.distributed as dist
from ranks import error_of

from hopflow.distributed.lane import Body, new_lane, tag_of
from hopflow.distributed.watch import Watch

DTYPES = [torch.int32, torch.int64, torch.uint8, torch.bfloat16]


def on_lane(rank, num, run):
    """What ``run(lane)`` returns, and the number of exchanges that it took."""
    watch = Watch(rank, num, "test")
    lane = new_lane(rank, num, watch, 20.0, 3)
    count, exchange = 0, lane.exchange

    def counted(*arguments):
        nonlocal count
        count += 1
        return exchange(*arguments)

    lane.exchange = counted
    try:
        return run(lane), count, lane.traffic
    finally:
        lane.close()
        watch.close()


def sizes_of(step, source, target, most):
    """Of the tensors in the message of a step, known to both ends."""
    draw = random.Random(step * 100 + source * 10 + target)
    return [draw.randint(0, most) for _ in range(draw.randint(0, 3))]


def tensor_of(size, i, source, target):
    dtype = DTYPES[i % len(DTYPES)]
    return (torch.arange(size) * 7 + source * 31 + target).remainder(101).to(dtype)


def exchanged(rank, num, mosts):
    """The first step whose message arrived wrong, or None."""

    def run(lane):
        for step, most in enumerate(mosts):
            bodies = [
                [tensor_of(n, i, rank, p) for i, n in enumerate(sizes_of(step, rank, p, most))]
                for p in range(num)
            ]
            numbers = torch.tensor([[step, p, rank] for p in range(num)])
            told, came = lane.tell(tag_of("step", step % 3), numbers, bodies, "ids")
            if told.tolist() != [[step, rank, p] for p in range(num)]:
                return step
            for p in range(num):
                for i, n in enumerate(sizes_of(step, p, rank, most)):
                    wanted = tensor_of(n, i, p, rank)
                    if not torch.equal(came[p].take(n, wanted.dtype), wanted):
                        return step
        return None

    return on_lane(rank, num, run)


@pytest.mark.parametrize("num", [1, 2, 3])
def test_every_message_arrives_whole(ranks, num):
    # None, small, more than there is room for, small again, far more than there ever is.
    mosts = [0, 5, 5, 5, 400, 5, 400, 7, 0, 30_000, 5, 30_000, 5, 5, 0, 1, 3000, 3000, 3000]
    for first_wrong, _, _ in ranks.run(exchanged, num, mosts, num=num):
        assert first_wrong is None


def counted(rank, num, sizes):
    def run(lane):
        for size in sizes:
            body = [[torch.zeros(size, dtype=torch.uint8)] for _ in range(num)]
            body[rank] = []
            lane.tell(7, torch.zeros((num, 0), dtype=torch.int64), body, "edges")

    return on_lane(rank, num, run)


@pytest.mark.parametrize(
    ("sizes", "exchanges", "unfilled"),
    [
        # The first follows nothing, the second is the first to follow such a message.
        ([1000] * 5, 2 + 2 + 1 + 1 + 1, 3 * 152),
        ([1000, 1000, 1104], 2 + 2 + 1, 48),  # somewhat more fits too
        ([1000, 1000, 2000, 2000, 1000], 2 + 2 + 2 + 1 + 1, 1152 + 304 + 1304),
        ([1 << 20] * 3, 3 * 2, 0),  # so much has an exchange of its own
        ([0] * 3, 3, 0),
    ],
)
def test_small_bodies_take_no_exchange_of_their_own(ranks, sizes, exchanges, unfilled):
    for _, count, traffic in ranks.run(counted, 2, sizes, num=2):
        assert count == exchanges
        assert traffic.edges == sum(sizes)
        assert traffic.headers == (3 + 3) * 8 * len(sizes) + unfilled


def at_odds(rank, num):
    """Ranks that differ after messages that left room: the room must not depend on what follows."""

    def run(lane):
        def tell(tag, size):
            body = [[torch.zeros(size, dtype=torch.int64)] for _ in range(num)]
            lane.tell(tag, torch.zeros((num, 1), dtype=torch.int64), body, "ids")

        for _ in range(3):
            tell(1, 10)
            tell(2, 500)
        error = error_of(lambda: tell(1, 10) if rank == 0 else tell(2, 500))
        dist.barrier()
        return error

    return on_lane(rank, num, run)


def test_ranks_at_another_step_are_told_so(ranks):
    for rank, (error, _, _) in enumerate(ranks.run(at_odds, 2, num=2)):
        assert f"rank {1 - rank} is at another step than rank {rank}" in error


def gone_wrong(rank, num):
    """An error in the middle of a message leaves a lane that says so."""

    def run(lane):
        none = torch.zeros((num, 1), dtype=torch.int64)
        lane.tell(1, none, [[]] * num, "ids")
        exchange = lane.exchange

        def interrupted(*arguments):
            exchange(*arguments).wait()
            raise KeyboardInterrupt

        lane.exchange = interrupted
        try:
            lane.tell(2, none, [[]] * num, "ids")
        except KeyboardInterrupt:
            lane.exchange = exchange
        too_many = torch.zeros((num, 4), dtype=torch.int64)
        return [
            error_of(lambda: lane.tell(3, too_many, [[]] * num, "ids")),
            error_of(lambda: lane.tell(3, none, [[]] * num, "ids")),
            error_of(lambda: Body(torch.zeros(8, dtype=torch.uint8)).take(3, torch.int32)),
        ]

    return on_lane(rank, num, run)


def test_a_message_that_is_not_through_closes_the_lane(ranks):
    for errors, _, _ in ranks.run(gone_wrong, 2, num=2):
        assert errors[0] == "ValueError: numbers: expected up to 3 a rank, got 4"
        assert "is closed, by close() or an earlier failure" in errors[1]
        assert errors[2] == "HopflowError: a rank sent 8 bytes where 16 or more were to come"


def shrinking(rank, num):
    def run(lane):
        for size in [50_000] * 2 + [0] * 400:
            body = [[torch.zeros(size, dtype=torch.uint8)] for _ in range(num)]
            lane.tell(7, torch.zeros((num, 0), dtype=torch.int64), body, "ids")
        before = lane.traffic.headers
        lane.tell(7, torch.zeros((num, 0), dtype=torch.int64), [[]] * num, "ids")
        return lane.traffic.headers - before

    return on_lane(rank, num, run)


def test_room_that_nobody_fills_shrinks(ranks):
    assert all(sent < 500 for sent, _, _ in ranks.run(shrinking, 2, num=2))
