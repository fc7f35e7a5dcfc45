"""Runs cases: engines take turns, and what goes wrong with one is written down and passed over."""

from __future__ import annotations

import contextlib
import datetime
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hopbench import machine, workloads
from hopbench.case import Case, Growth, Point, discover
from hopbench.client import Client, WorkerError

FORMAT = 1
# Engines that a peer's interpreter may hold; torch runs beside hopflow, in the same process.
PEERS = ("dgl", "graphbolt", "pyg")
OWN = ("hopflow", "torch")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run was asked for."""

    cases: Sequence[str] = ()  # names or their beginnings; none: all
    peers: Mapping[str, str] = field(default_factory=dict)  # engine -> its Python
    threads: int = 2
    repeats: int = 7
    quick: bool = False
    timeout: float = 900.0
    cache: Path = field(default_factory=workloads.default_cache)


Found = dict[str, tuple[Path, Case]]


def select(found: Found, settings: Settings) -> Found:
    """The cases that were asked for, and the limits that they are held against.

    Raises
    ------
    ValueError
        A name that no case begins with.
    """
    for name in settings.cases:
        if not any(case.startswith(name) for case in found):
            groups = sorted({case.split(".")[0] for case in found})
            raise ValueError(f"no case begins with {name!r}; there are {', '.join(groups)}")
    chosen = {
        name: item
        for name, item in found.items()
        if (any(name.startswith(n) for n in settings.cases) if settings.cases else _can_run(name))
        and not (settings.quick and item[1].heavy)
    }
    if not chosen:
        raise ValueError("--quick leaves none of these cases")
    wanted = {item[1].limit for item in chosen.values()}
    limits = {
        name: item for name, item in found.items() if name.startswith("limits.")
        and name.split(".")[1] in wanted and name not in chosen
    }  # fmt: skip
    return {**limits, **chosen}


def _can_run(name: str) -> bool:
    """Cases for CUDA are left out where there is none, unless they are asked for by name."""
    if "cuda" not in name:
        return True
    import torch

    return torch.cuda.is_available()


def check_peers(peers: Mapping[str, str]) -> None:
    """Raise ValueError unless every peer is known and its interpreter is there."""
    for engine, python in peers.items():
        if engine not in PEERS:
            raise ValueError(f"--peer: expected one of {', '.join(PEERS)}, got {engine!r}")
        if not Path(python).is_file():
            raise ValueError(f"--peer {engine}: {python}: no such file")


class Run:
    """One run of some cases, with its workers."""

    def __init__(self, folder: Path, settings: Settings, say: Callable[[str], None]) -> None:
        self._folder, self._settings, self._say = folder, settings, say
        pythons = {"hopflow": sys.executable, **settings.peers}
        self._clients = {
            engine: Client(
                engine, python, folder=folder, cache=settings.cache,
                threads=settings.threads, timeout=settings.timeout,
            )
            for engine, python in pythons.items()
        }  # fmt: skip

    def close(self) -> None:
        """End every worker."""
        for client in self._clients.values():
            client.close()

    def engines(self) -> dict[str, Any]:
        """Versions of every engine that was started."""
        return {name: dict(client.versions) for name, client in self._clients.items()}

    def _client(self, entry: Mapping[str, Any]) -> Client:
        return self._clients[entry["home"]]

    def _load(self, path: Path, case: Case, number: int, entry: dict[str, Any]) -> None:
        try:
            answer = self._client(entry).ask(
                "load", key=f"{case.name}/{number}", file=str(path), case=case.name, entry=number
            )
            entry["work"], entry["status"] = answer["work"], "ok"
        except WorkerError as error:
            entry["status"], entry["reason"] = error.status, error.reason

    def case(self, path: Path, case: Case) -> dict[str, Any]:
        """Time one case; the result is plain data."""
        entries: list[dict[str, Any]] = [
            {
                "engine": entry.engine, "label": entry.label, "options": dict(entry.options),
                "home": entry.home or ("hopflow" if entry.engine in OWN else entry.engine),
                "status": "missing", "reason": "", "work": {}, "seconds": [],
            }
            for entry in case.entries
        ]  # fmt: skip
        result = {
            "name": case.name, "what": case.what, "unit": case.unit, "limit": case.limit,
            "ours": case.ours, "heavy": case.heavy, "entries": entries,
        }  # fmt: skip
        try:
            for name in case.workloads:
                workloads.make(name, self._settings.cache)
        except FileNotFoundError as error:
            for entry in entries:
                entry["reason"] = str(error)
            return result
        for number, entry in enumerate(entries):
            if entry["home"] not in self._clients:
                entry["reason"] = f"no --peer {entry['home']}"
            else:
                self._load(path, case, number, entry)
                self._restart(path, case, entry["home"], entries)
        for _ in range(min(self._settings.repeats, case.most_repeats)):
            for number, entry in enumerate(entries):
                if entry["status"] == "ok":
                    self._turn(path, case, number, entries)
        for client in self._clients.values():
            if client.is_running:
                with contextlib.suppress(WorkerError):  # it starts anew when it is asked again
                    client.ask("free")
        for entry in entries:
            if entry["status"] != "ok":
                self._say(f"  {entry['label']}: {entry['status']}: {entry['reason']}")
        if isinstance(case, Growth):
            result["growth"] = judge(case, entries)
        return result

    def _turn(self, path: Path, case: Case, number: int, entries: list[dict[str, Any]]) -> None:
        entry = entries[number]
        client = self._client(entry)
        try:
            answer = client.ask("run", key=f"{case.name}/{number}")
            entry["seconds"].append(answer["seconds"])
            return
        except WorkerError as error:
            entry["status"], entry["reason"] = error.status, error.reason
        self._restart(path, case, entry["home"], entries)

    def _restart(self, path: Path, case: Case, home: str, entries: list[dict[str, Any]]) -> None:
        """Set up again what a worker held that has ended, without the entry that ended it."""
        if self._clients[home].is_running:
            return
        for number, entry in enumerate(entries):
            if entry["status"] == "ok" and entry["home"] == home:
                self._load(path, case, number, entry)


def judge(case: Growth, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The points of a growth curve, and whether its bound is kept (None: points are missing)."""
    points = [
        Point(e["options"][case.x], statistics.median(e["seconds"]), e["work"])
        for e in entries
        if e["status"] == "ok" and e["seconds"]
    ]
    whole = len(points) == len(entries)
    value = case.judge(points) if whole else None
    return {
        "x_label": case.x_label, "y_label": case.y_label, "bound": case.bound, "per": case.per,
        "points": [asdict(point) for point in points],
        "value": value, "passed": None if value is None else case.passes(value),
    }  # fmt: skip


def run(
    folder: Path,
    settings: Settings,
    say: Callable[[str], None],
    found: Found | None = None,
    keep: Callable[[dict[str, Any]], None] = lambda results: None,
) -> dict[str, Any]:
    """Run the cases that ``settings`` asks for; the result is what ``results.json`` holds.

    ``keep`` gets what there is after every case, so that a long run that is ended leaves something.
    """
    check_peers(settings.peers)
    chosen = select(discover(folder) if found is None else found, settings)
    start = time.perf_counter()
    # Where things lie on this machine is nobody's business.
    told = {key: value for key, value in asdict(settings).items() if key != "cache"}
    results: dict[str, Any] = {
        "format": FORMAT,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "settings": {**told, "cases": list(settings.cases), "peers": sorted(settings.peers)},
        "machine": machine.examine(),
        "checkout": machine.checkout(folder),
        "is_complete": False,
        "cases": [],
    }  # fmt: skip
    this = Run(folder, settings, say)
    try:
        for number, (name, (path, case)) in enumerate(chosen.items(), 1):
            say(f"[{number}/{len(chosen)}] {name}")
            results["cases"].append(this.case(path, case))
            results["engines"] = this.engines()
            keep(results)
        results["is_complete"] = True
    except KeyboardInterrupt:
        say("interrupted; what was measured so far is kept")
    finally:
        results["engines"] = this.engines()
        this.close()
    results["machine"]["load_after"] = machine.examine()["load_before"]
    results["wall_seconds"] = round(time.perf_counter() - start, 1)
    return results
