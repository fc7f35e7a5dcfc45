#!/usr/bin/env python3
"""Everything that needs a GPU, in one command.

    python scripts/prove_cuda.py                   # all stages, one after the other
    python scripts/prove_cuda.py build test        # some of them; later ones find what earlier made
    python scripts/prove_cuda.py bench -- cuda.gather cuda.block

Stages, each under ten minutes, offline, with the Python packages that a CUDA machine usually has
(torch, numpy, pybind11, scikit-build-core, cmake, ninja, pytest, and rich, typer, tqdm, pandas and
matplotlib for the benchmarks):

build      compiles hopflow for the GPU at hand into build/cuda/site, nothing is installed
test       the CUDA tests, then those of the operators on the CPU with the same module
sanitize   the CUDA tests under compute-sanitizer: memcheck, racecheck, synccheck and initcheck
bench      the CUDA benchmarks with their limits, JSON and a Markdown report
report     what passed and what did not, with GPU, driver, versions and commit

What a stage prints goes to OUT/logs; OUT is benchmarks/results/cuda unless --out says otherwise.
Without a GPU the module is built, its tests are skipped and the rest says what is missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "build" / "cuda" / "site"
STAGES = ("build", "test", "sanitize", "bench", "report")
SECONDS = 570  # of a stage, at most
# What runs under the sanitizer, which is ten to a hundred times slower: every kernel, little of it.
SANITIZED = (
    "samples or large_fanouts or gather or cached or weighted or segment or coo_to_csc or cpus"
    " or max or mean"
)
# Tests of operators, and packages that some of them want beyond the usual ones.
NEEDS = {"compact": "hypothesis", "sample": "hypothesis"}
OPERATORS = ("gather", "spmm", "spmm_own", "sddmm", "csc", "compact", "sample", "blocks")


@dataclass
class Outcome:
    """How one command of a stage ended."""

    stage: str
    command: str
    status: str  # passed, failed, timed out, missing
    seconds: float
    last_line: str


class Proof:
    """Runs stages and remembers how they ended, between calls too."""

    def __init__(self, out: Path) -> None:
        self.out = out
        (out / "logs").mkdir(parents=True, exist_ok=True)
        self._state = out / "proof.json"
        self.outcomes: list[Outcome] = []
        if self._state.is_file():
            self.outcomes = [Outcome(**o) for o in json.loads(self._state.read_text())["outcomes"]]

    def forget(self, stage: str) -> None:
        """Drop what is known of a stage: it is about to run again."""
        self.outcomes = [o for o in self.outcomes if o.stage != stage]

    def run(
        self,
        stage: str,
        name: str,
        command: list[str],
        seconds: float = SECONDS,
        settings: Mapping[str, str] | None = None,
    ) -> bool:
        """Run one command, keep its output, and say how it ended."""
        log = self.out / "logs" / f"{name}.txt"
        print(f"[{stage}] {' '.join(command)}", flush=True)
        start = time.monotonic()
        env = {**os.environ, "PYTHONPATH": str(SITE), "PYTHONUNBUFFERED": "1", **(settings or {})}
        if gpu():
            env["HOPFLOW_REQUIRE_CUDA"] = "1"  # a test that finds no CUDA fails, it does not skip
        # A session of its own: what the command starts (a sanitizer its program) ends with it.
        with (
            log.open("w") as file,
            subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):  # fmt: skip
            try:
                status = "passed" if process.wait(seconds) == 0 else "failed"
            except subprocess.TimeoutExpired:
                status = "timed out"
                os.killpg(process.pid, signal.SIGKILL)
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        if status != "passed":
            print("\n".join(lines[-40:]))
        outcome = Outcome(
            stage, " ".join(command), status, round(time.monotonic() - start, 1),
            lines[-1] if lines else "",
        )  # fmt: skip
        self.note(outcome)
        return status == "passed"

    def note(self, outcome: Outcome) -> None:
        """Remember an outcome."""
        print(f"[{outcome.stage}] {outcome.status} in {outcome.seconds} s: {outcome.last_line}")
        self.outcomes.append(outcome)
        self.save()

    def save(self) -> None:
        """Write what is known so far."""
        state = {"outcomes": [asdict(o) for o in self.outcomes]}
        self._state.write_text(json.dumps(state, indent=1) + "\n")


def build(proof: Proof, rest: list[str]) -> None:
    """Compile for the GPU at hand; where there is none, for the default architectures."""
    shutil.rmtree(SITE, ignore_errors=True)
    defines = ["HOPFLOW_CUDA=ON"]
    capability = gpu().get("compute capability")
    if capability:
        defines.append(f"CMAKE_CUDA_ARCHITECTURES={capability.replace('.', '')}")
    command = [
        sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--target",
        str(SITE), "--no-cache-dir", "-C", "build-dir=build/cuda/cmake",
    ]  # fmt: skip
    for define in defines:
        command += ["-C", f"cmake.define.{define}"]
    settings = {}
    nvcc = Path("/usr/local/cuda/bin/nvcc")
    if not (shutil.which("nvcc") or os.environ.get("CUDACXX")) and nvcc.is_file():
        settings["CUDACXX"] = str(nvcc)
    proof.run("build", "build", [*command, "."], settings=settings)


def imported_from() -> str:
    """Where hopflow is imported from: an editable install goes before PYTHONPATH."""
    done = subprocess.run(
        [sys.executable, "-c", "import hopflow; print(hopflow.__file__)"],
        env={**os.environ, "PYTHONPATH": str(SITE)}, capture_output=True, text=True, check=False,
        cwd=ROOT,
    )  # fmt: skip
    return done.stdout.strip() or (done.stderr.strip().splitlines() or ["nothing"])[-1]


def is_built(proof: Proof, stage: str) -> bool:
    """Whether the module of the build stage is what would be tested; a failure is noted."""
    found = imported_from()
    if Path(found).is_relative_to(SITE):
        return True
    proof.note(Outcome(stage, "import hopflow", "failed", 0.0, f"not from {SITE}: {found}"))
    return False


def cuda_tests() -> list[str]:
    """The files whose tests run on the GPU."""
    return sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tests" / "cuda").glob("test_*.py"))


def test(proof: Proof, rest: list[str]) -> None:
    """The CUDA tests, and the CPU's with the same module."""
    if not is_built(proof, "test"):
        return
    pytest = [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider"]
    proof.run("test", "test-cuda", [*pytest, *cuda_tests(), *rest])
    names = [n for n in OPERATORS if n not in NEEDS or importlib.util.find_spec(NEEDS[n])]
    files = [f"tests/ops/test_{name}.py" for name in names]
    proof.run("test", "test-cpu", [*pytest, *files])


def sanitize(proof: Proof, rest: list[str]) -> None:
    """compute-sanitizer over the kernels."""
    sanitizer = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not Path(sanitizer).is_file():
        proof.note(Outcome("sanitize", "compute-sanitizer", "missing", 0.0, "not installed here"))
        return
    if not is_built(proof, "sanitize"):
        return
    pytest = [
        sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *cuda_tests(),
        "-k", SANITIZED,
    ]  # fmt: skip
    # torch hands out pieces of large blocks, in which the tools see no bounds.
    settings = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    for tool, share in (
        ("memcheck", 0.4),
        ("racecheck", 0.2),
        ("synccheck", 0.2),
        ("initcheck", 0.2),
    ):
        options = ["--tool", tool, "--error-exitcode", "9", "--print-limit", "20"]
        command = [sanitizer, *options, *pytest]
        proof.run("sanitize", f"sanitize-{tool}", command, SECONDS * share, settings)


def bench(proof: Proof, rest: list[str]) -> None:
    """The CUDA benchmarks; those named after -- only, if any are."""
    if not is_built(proof, "bench"):
        return
    command = [
        sys.executable, "-m", "hopflow", "bench", *(rest or ["cuda"]), "--out", str(proof.out),
        "--cache", str(ROOT / "build" / "cuda" / "cache"), "--repeats", "5", "--timeout", "200",
    ]  # fmt: skip
    proof.run("bench", "bench", command)


def gpu() -> dict[str, str]:
    """Name, compute capability, driver and memory of the first GPU, as the driver tells them."""
    fields = ("name", "compute_cap", "driver_version", "memory.total")
    names = ("gpu", "compute capability", "driver", "memory")
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return dict(zip(names, (x.strip() for x in done.stdout.splitlines()[0].split(","))))
    except (OSError, subprocess.SubprocessError, IndexError):
        return {}


def facts() -> dict[str, str]:
    """What the results depend on."""

    def output(*command: str) -> str:
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            return done.stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return "unknown"

    found = {"gpu": "none", **gpu()}
    torch = "import torch; print(torch.__version__, 'with CUDA', torch.version.cuda)"
    found["torch"] = output(sys.executable, "-c", torch)
    found["python"] = platform.python_version()
    nvcc = output("nvcc", "--version")
    found["nvcc"] = next((line for line in nvcc.splitlines() if "release" in line), nvcc)
    found["commit"] = output("git", "rev-parse", "HEAD")
    changed = output("git", "status", "--porcelain", "--untracked-files=no")
    found["changed files"] = ", ".join(line[3:] for line in changed.splitlines()) or "none"
    return found


def report(proof: Proof, rest: list[str]) -> None:
    """Write proof.md: what ran, on what, and how it ended."""
    lines = ["# CUDA on a GPU: what was run", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in facts().items()]
    lines += ["", "| stage | status | seconds | last line |", "| --- | --- | --- | --- |"]
    for o in proof.outcomes:
        lines.append(f"| {o.stage} | **{o.status}** | {o.seconds} | `{o.last_line[:120]}` |")
    missing = [s for s in STAGES[:-1] if s not in {o.stage for o in proof.outcomes}]
    if missing:
        lines += ["", f"Not run: {', '.join(missing)}."]
    lines += ["", "The benchmarks' own report is report.md beside this file, if they ran."]
    (proof.out / "proof.md").write_text("\n".join(lines) + "\n")
    print(f"[report] {proof.out / 'proof.md'}")


def main() -> int:
    """Run the stages that were asked for."""
    arguments = sys.argv[1:]
    rest = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, rest = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", metavar="stage", help=f"of {', '.join(STAGES)}")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "cuda")
    options = parser.parse_args(arguments)
    stages = options.stages or list(STAGES)
    for stage in stages:
        if stage not in STAGES:
            parser.error(f"stage: expected some of {', '.join(STAGES)}, got {stage!r}")
    proof = Proof(options.out.resolve())
    for stage in stages:
        if stage != "report":
            proof.forget(stage)
        globals()[stage](proof, rest)
    return int(any(o.status in ("failed", "timed out") for o in proof.outcomes))


if __name__ == "__main__":
    sys.exit(main())
