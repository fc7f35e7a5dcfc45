"""Machines on a slow network: network namespaces joined by a router with delay, loss and a rate.

Linux, as root, with /dev/net/tun. Each namespace has one interface, whose packets a process of its
own hands on: later, not at all, or as fast as a line of so many bytes a second would. It stands for
``tc ... netem``, which many kernels come without.
"""

from __future__ import annotations

import fcntl
import heapq
import multiprocessing
import os
import random
import selectors
import shutil
import struct
import subprocess
import time
from contextlib import suppress
from typing import Any

_TUNSETIFF = 0x400454CA
_TUN_WITHOUT_HEADER = 0x1001
_MTU = 60_000


def why_not() -> str | None:
    """Why there can be no such network here; None if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no command ip"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    name = f"hopflow-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode:
        return f"ip netns add: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


class SlowNetwork:
    """So many namespaces; use it as a context.

    Parameters
    ----------
    num : int
        Namespaces.
    delay : float
        Seconds that a packet takes one way.
    loss : float
        Probability that a packet is lost.
    rate : float
        Bytes a second that each interface sends at most; 0 for any number.
    """

    def __init__(self, num: int, *, delay: float = 0.0, loss: float = 0.0, rate: float = 0.0):
        self._num, self._how = num, (delay, loss, rate)
        self._names = [f"hopflow-{os.getpid()}-{i}" for i in range(num)]
        self._router: Any = None

    def address(self, i: int) -> str:
        """The address of a namespace."""
        return f"10.77.0.{i + 1}"

    def command(self, i: int, command: list[str]) -> list[str]:
        """A command, run in a namespace."""
        return ["ip", "netns", "exec", self._names[i], *command]

    def env(self) -> dict[str, str]:
        """What Gloo must know."""
        return {"GLOO_SOCKET_IFNAME": "slow0"}

    def __enter__(self) -> SlowNetwork:
        files = []
        try:
            for i, name in enumerate(self._names):
                file = os.open("/dev/net/tun", os.O_RDWR)
                files.append(file)
                device = f"hf{os.getpid() % 100000}-{i}"
                request = struct.pack("16sH", device.encode(), _TUN_WITHOUT_HEADER)
                fcntl.ioctl(file, _TUNSETIFF, request)
                _ip("netns", "add", name)
                _ip("link", "set", device, "netns", name)
                _ip("-n", name, "link", "set", device, "name", "slow0", "mtu", str(_MTU))
                _ip("-n", name, "addr", "add", f"{self.address(i)}/24", "dev", "slow0")
                _ip("-n", name, "link", "set", "slow0", "up")
                _ip("-n", name, "link", "set", "lo", "up")
            context = multiprocessing.get_context("fork")
            self._router = context.Process(target=_route, args=(files, *self._how), daemon=True)
            self._router.start()
        except BaseException:
            self.__exit__()
            raise
        finally:
            for file in files:
                os.close(file)  # the router has its own
        return self

    def __exit__(self, *_: Any) -> None:
        if self._router is not None:
            self._router.kill()
            self._router.join()
        for name in self._names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def _route(files: list[int], delay: float, loss: float, rate: float) -> None:
    """Hand packets on, until killed."""
    to = {bytes([10, 77, 0, i + 1]): file for i, file in enumerate(files)}
    draw = random.Random(1)
    due: list[tuple[float, int, int, bytes]] = []  # when, which first, to whom, what
    free_at = dict.fromkeys(files, 0.0)  # when each interface's line is free
    count = 0
    with selectors.DefaultSelector() as selector:
        for file in files:
            os.set_blocking(file, False)
            selector.register(file, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            while due and due[0][0] <= now:
                _, _, target, packet = heapq.heappop(due)
                with suppress(OSError):  # its queue is full, or it is gone: lost
                    os.write(target, packet)
            wait = max(0.0, due[0][0] - now) if due else None
            for key, _ in selector.select(wait):
                for _ in range(64):
                    try:
                        packet = os.read(key.fd, 65536)
                    except (BlockingIOError, OSError):
                        break
                    target = to.get(packet[16:20]) if packet[:1] == b"\x45" else None
                    if target is None or draw.random() < loss:
                        continue
                    now = time.monotonic()
                    sent = now
                    if rate:
                        sent = max(now, free_at[key.fd]) + len(packet) / rate
                        free_at[key.fd] = sent
                    count += 1
                    heapq.heappush(due, (sent + delay, count, target, packet))
