"""Rows gathered from a file."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from helpers import IDS

from hopflow import ops

pytestmark = pytest.mark.cpu_only

READERS = ["threads", *(["io_uring"] if ops.best_reader() == "io_uring" else [])]
WAYS = [(reader, direct) for reader in READERS for direct in (True, False)]


def file_of(folder, num_rows, row_bytes, first_byte=0, tail=0, seed=0):
    """A file of random rows, with bytes before and behind them."""
    rows = np.random.default_rng(seed).integers(0, 256, (num_rows, row_bytes), dtype=np.uint8)
    file = folder / f"rows-{num_rows}-{row_bytes}-{first_byte}-{tail}"
    file.write_bytes(b"\xaa" * first_byte + rows.tobytes() + b"\xbb" * tail)
    return file, torch.from_numpy(rows)


def opened(file, rows, **options):
    options.setdefault("first_byte", 0)
    return ops.DiskRows(file, rows.dtype, rows.shape, **options)


def ids_of(count, num_rows, seed=0, dtype=torch.int64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(num_rows, (count,), generator=generator).to(dtype)


@pytest.mark.parametrize(("reader", "direct"), WAYS)
@pytest.mark.parametrize(
    ("row_bytes", "first_byte", "tail"),
    [(1, 0, 0), (7, 9, 0), (256, 80, 3), (400, 8, 99), (4096, 0, 0), (5003, 1, 0), (70000, 9, 9)],
)  # fmt: skip
@pytest.mark.parametrize("capacity", [0, 9, 10_000])
def test_reads_the_rows(tmp_path, reader, direct, row_bytes, first_byte, tail, capacity):
    num_rows = 60 if row_bytes > 1000 else 3000
    file, rows = file_of(tmp_path, num_rows, row_bytes, first_byte, tail)
    disk = opened(
        file, rows, first_byte=first_byte, capacity=capacity, direct=direct, reader=reader
    )
    for seed in range(3):
        ids = torch.cat([ids_of(700, num_rows, seed), torch.tensor([0, num_rows - 1, 0])])
        assert torch.equal(disk.read(ids), rows[ids])
    every = torch.arange(num_rows)
    assert torch.equal(disk.read(every), rows)
    assert torch.equal(disk.read(every.flip(0)), rows.flip(0))
    assert disk.use().rows == 3 * 703 + 2 * num_rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
@pytest.mark.parametrize("id_dtype", IDS)
def test_dtypes_shapes_and_ids_with_gaps(tmp_path, dtype, id_dtype):
    x = torch.randn(50, 3, 5).mul(3).to(dtype)
    file = tmp_path / "x"
    file.write_bytes(x.view(torch.uint8).numpy().tobytes())
    disk = ops.DiskRows(file, dtype, x.shape)
    ids = ids_of(80, 50, dtype=id_dtype)
    assert disk.read(ids).dtype == dtype
    assert torch.equal(disk.read(ids), x[ids.long()])
    assert torch.equal(disk.read(ids[::3]), x[ids[::3].long()])


def test_nothing_to_read(tmp_path):
    file, rows = file_of(tmp_path, 10, 16)
    none = torch.empty(0, dtype=torch.int64)
    assert opened(file, rows, capacity=4).read(none).shape == (0, 16)
    assert ops.DiskRows(file, torch.float32, (10, 0)).read(torch.tensor([9, 0])).shape == (2, 0)
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    disk = ops.DiskRows(empty, torch.float32, (0, 4), capacity=3)
    assert disk.read(none).shape == (0, 4)
    with pytest.raises(IndexError, match="expected 0 <= id < 0"):
        disk.read(torch.tensor([0]))


def test_neighbours_are_read_at_once(tmp_path):
    file, rows = file_of(tmp_path, 100_000, 64)
    disk = opened(file, rows)
    assert torch.equal(disk.read(torch.arange(100_000)), rows)
    # 64 KiB at a time.
    assert disk.use().requests <= 6_400_000 // (64 << 10) + 2
    before = disk.use()
    disk.read(torch.tensor([5, 6, 7, 5, 40_000, 40_010, 90_000]))
    assert disk.use().requests - before.requests == 3


@pytest.mark.parametrize("capacity", [1, 60, 1000])
def test_the_clock_keeps_what_is_used(tmp_path, capacity):
    file, rows = file_of(tmp_path, 1000, 32)
    disk = opened(file, rows, capacity=capacity)
    hot = torch.arange(0, 1000, 25)  # 40 rows, wanted all the time
    hits = 0
    for seed in range(30):
        before = disk.use().hits
        assert torch.equal(disk.read(hot), rows[hot])
        hits += disk.use().hits - before
        others = ids_of(15, 1000, seed)
        assert torch.equal(disk.read(others), rows[others])
    assert 0 < disk.num_cached <= capacity
    # A queue would lose all of them to the others every fourth time.
    assert hits >= 29 * 40 * 0.97 if capacity >= 60 else hits <= 30
    if capacity == 1000:
        disk.read(torch.arange(1000))
        before = disk.use()
        assert torch.equal(disk.read(torch.arange(1000)), rows)
        assert disk.use().requests == before.requests


def test_a_fixed_set_is_all_that_is_kept(tmp_path):
    file, rows = file_of(tmp_path, 500, 24)
    disk = opened(file, rows, capacity=100)
    disk.read(torch.arange(500))
    kept = torch.randperm(500, generator=torch.Generator().manual_seed(0))[:100]
    disk.keep(kept)
    assert disk.num_cached == 0
    for _ in range(2):
        assert torch.equal(disk.read(torch.arange(500)), rows)
    assert disk.num_cached == 100
    before = disk.use()
    assert torch.equal(disk.read(kept), rows[kept])
    assert disk.use().hits - before.hits == 100
    with pytest.raises(ValueError, match="room for 100 rows, got 101"):
        disk.keep(torch.arange(101))
    with pytest.raises(IndexError):
        disk.keep(torch.tensor([500]))


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("capacity", [0, 30, 200])
def test_what_is_written_is_read(tmp_path, capacity, fixed):
    file, rows = file_of(tmp_path, 200, 40, first_byte=80)
    disk = opened(file, rows, first_byte=80, capacity=capacity, writable=True)
    if fixed and capacity:
        disk.keep(torch.arange(0, 200, 7)[:capacity])
    expected = rows.clone()
    for seed in range(6):
        disk.read(ids_of(60, 200, seed))
        ids = ids_of(25, 200, 100 + seed)
        new = torch.randint(256, (25, 40), generator=torch.Generator().manual_seed(seed))
        new = new.to(torch.uint8)
        disk.write(ids, new)
        for i, row in zip(ids.tolist(), new):
            expected[i] = row  # of equal ids the last
        assert torch.equal(disk.read(torch.arange(200)), expected)
    disk.flush()
    again = opened(file, rows, first_byte=80)
    assert torch.equal(again.read(torch.arange(200)), expected)
    assert file.read_bytes()[:80] == b"\xaa" * 80


def test_many_threads_read_and_one_writes(tmp_path):
    """A row is seen as it was before a write or after it, whatever the cache does meanwhile."""
    num_rows = 400
    file = tmp_path / "rows"
    file.write_bytes(bytes(num_rows * 64))
    disk = ops.DiskRows(file, torch.int64, (num_rows, 8), capacity=150, writable=True)
    least = torch.zeros(num_rows, dtype=torch.int64)  # what every reader must see by now
    most = torch.zeros(num_rows, dtype=torch.int64)
    problems, done = [], threading.Event()

    def read(seed):
        round_ = 0
        while not done.is_set() and not problems:
            ids = ids_of(100, num_rows, 1000 * seed + round_)
            round_ += 1
            low = least[ids]
            got = disk.read(ids)
            if not (got == got[:, :1]).all():
                problems.append("parts of two values")
            if (got[:, 0] < low).any() or (got[:, 0] > most[ids]).any():
                problems.append("a value that is gone, or never was")

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        for value in range(1, 150):
            ids = torch.unique(ids_of(50, num_rows, value))
            most[ids] = value
            disk.write(ids, torch.full((ids.shape[0], 8), value))
            least[ids] = value
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert problems == []


def test_errors_before_anything_is_read(tmp_path):
    file, rows = file_of(tmp_path, 20, 16)
    disk = opened(file, rows)
    with pytest.raises(IndexError, match=r"ids\[1\] is 20, expected 0 <= id < 20"):
        disk.read(torch.tensor([3, 20]))
    with pytest.raises(IndexError, match="-1"):
        disk.read(torch.tensor([-1]))
    with pytest.raises(TypeError, match="ids"):
        disk.read(torch.tensor([1.0]))
    with pytest.raises(ValueError, match="for reading alone"):
        disk.write(torch.tensor([1]), rows[:1])
    writable = opened(file, rows, writable=True)
    with pytest.raises(TypeError, match=r"rows: expected torch.uint8, got torch.int64"):
        writable.write(torch.tensor([1]), rows[:1].long())
    with pytest.raises(ValueError, match=r"rows: expected shape \[2, 16\], got \[1, 16\]"):
        writable.write(torch.tensor([1, 2]), rows[:1])
    with pytest.raises(IndexError):
        writable.write(torch.tensor([20]), rows[:1])
    with pytest.raises(ValueError, match="reader: expected auto, io_uring, threads, got 'uring'"):
        opened(file, rows, reader="uring")
    with pytest.raises(ops.HopflowError, match="No such file"):
        ops.DiskRows(tmp_path / "none", torch.uint8, (1, 1))
    with pytest.raises(ops.HopflowError, match="expected at least 336 bytes, got 320"):
        ops.DiskRows(file, torch.uint8, (21, 16))
    with pytest.raises(ValueError, match="at least 1 dimension"):
        ops.DiskRows(file, torch.uint8, ())


@pytest.mark.parametrize(("reader", "direct"), WAYS)
def test_a_file_cut_while_open_is_an_error_and_no_crash(tmp_path, reader, direct):
    file, rows = file_of(tmp_path, 2000, 512)
    disk = opened(file, rows, reader=reader, direct=direct)
    os.truncate(file, 700 * 512 + 100)
    for _ in range(2):
        with pytest.raises(ops.HopflowError, match="the file has become shorter"):
            disk.read(torch.arange(0, 2000, 10))
    below = torch.arange(0, 690, 3)
    assert torch.equal(disk.read(below), rows[below])


def test_a_forked_child_reads_too(tmp_path):
    file, rows = file_of(tmp_path, 300, 64)
    disk = opened(file, rows, capacity=100, writable=True)
    ids = ids_of(200, 300)
    disk.read(ids)
    expected = rows[ids].numpy().tobytes()  # torch's own threads are not there in a child
    child = os.fork()
    if child == 0:
        code = 1
        try:
            same = disk.read(ids).numpy().tobytes() == expected
            try:
                disk.write(ids[:1], rows[:1])
            except ops.HopflowError:
                code = 0 if same else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert torch.equal(disk.read(ids), rows[ids])


def test_memory_of_a_cache():
    for num_rows, row_bytes, num_bytes in ((1000, 256, 100_000), (10, 4, 39), (10, 4, 10**6)):
        capacity = ops.cache_rows_within(num_rows, row_bytes, num_bytes)
        assert ops.cache_bytes(num_rows, row_bytes, capacity) <= num_bytes
        if capacity < num_rows:
            assert ops.cache_bytes(num_rows, row_bytes, capacity + 1) > num_bytes


@pytest.mark.parametrize("reader", READERS)
def test_large_rows_wanted_twice_are_read_once(tmp_path, reader):
    file, rows = file_of(tmp_path, 8, 3 << 20)
    disk = opened(file, rows, reader=reader)
    ids = torch.tensor([5, 5, 1, 5])
    assert torch.equal(disk.read(ids), rows[ids])
    assert disk.use().requests == 2


def test_sizes_beyond_any_file_are_refused(tmp_path):
    file, _ = file_of(tmp_path, 2, 8)
    for shape, first in (((2**40, 2**24), 0), ((2**62, 64), 0), ((2, 8), 2**63 - 8)):
        with pytest.raises(ValueError, match="more than a file can have"):
            ops.DiskRows(file, torch.uint8, shape, first_byte=first, capacity=5)


def test_a_set_for_a_cache_of_no_rows(tmp_path):
    file, rows = file_of(tmp_path, 50, 8)
    disk = opened(file, rows)
    disk.keep(torch.empty(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="room for 0 rows, got 1"):
        disk.keep(torch.tensor([3]))
    assert torch.equal(disk.read(torch.arange(50)), rows)


_FAILS = """
import resource, sys, torch
from hopflow import ops
file, fixed = sys.argv[1], sys.argv[2] == "True"
disk = ops.DiskRows(file, torch.uint8, (100, 64), capacity=60, writable=True)
if fixed:
    disk.keep(torch.arange(40, 90))
before = disk.read(torch.arange(100))
disk.read(torch.arange(40, 60))
resource.setrlimit(resource.RLIMIT_FSIZE, (50 * 64 + 20, resource.RLIM_INFINITY))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    disk.write(torch.arange(45, 55), torch.full((10, 64), 7, dtype=torch.uint8))
    sys.exit("nothing was raised")
except ops.HopflowError as error:
    assert "writing row 50" in str(error), error
data = torch.frombuffer(bytearray(open(file, "rb").read()), dtype=torch.uint8).view(100, 64)
assert not torch.equal(data, before)
for _ in range(2):
    assert torch.equal(disk.read(torch.arange(100)), data)
"""


@pytest.mark.parametrize("fixed", [False, True])
def test_a_write_that_fails_leaves_the_cache_as_the_file_is(tmp_path, fixed):
    file, _ = file_of(tmp_path, 100, 64)
    done = subprocess.run(
        [sys.executable, "-c", _FAILS, str(file), str(fixed)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


_FEW_FILES = """
import resource, sys, threading, torch
from hopflow import ops
file = sys.argv[1]
disk = ops.DiskRows(file, torch.uint8, (3000, 64))
rows = disk.read(torch.arange(3000))
used = len(__import__("os").listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, used + 1))
problems = []
def read(seed):
    try:
        ids = torch.randint(3000, (2000,), generator=torch.Generator().manual_seed(seed))
        for _ in range(5):
            if not torch.equal(disk.read(ids), rows[ids]):
                problems.append("other rows")
    except BaseException as error:
        problems.append(error)
threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not problems, problems
"""


def test_without_another_ring_threads_read(tmp_path):
    file, _ = file_of(tmp_path, 3000, 64)
    done = subprocess.run(
        [sys.executable, "-c", _FEW_FILES, str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
