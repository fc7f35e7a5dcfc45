"""The house rules: what may import what, and what the native module may not contain."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hopflow
from hopflow import _native

PACKAGE = Path(hopflow.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"
BENCHMARKS = ROOT / "benchmarks"  # An installed package has them as hopflow.benchmarks.

# From the ground up: a module imports from its own room and from floors below, nowhere else.
# CONTRIBUTING.md draws them.
FLOORS = [
    {"_native"},
    {"ops"},
    {"function"},
    {"structure"},
    {"storage"},
    {"partitioning"},
    {"messages", "transforms"},
    {"sampling"},
    {"graphs"},
    {"functional", "udf"},
    {"dataloading", "nn", "datasets"},
    {"distributed", "optim"},
    {"train", "benchmarks", "as_dgl"},
    {"commands"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}


def part(module: str) -> str:
    """``ops`` for ``hopflow.ops.spmm``; "" for ``hopflow`` itself."""
    return ([*module.split("."), ""])[1]


def is_module(name: str) -> bool:
    """Whether ``hopflow.name`` is a module or a package, not a name that ``hopflow`` offers."""
    if name in ("_native", "benchmarks"):
        return True
    return (PACKAGE / f"{name}.py").is_file() or (PACKAGE / name).is_dir()


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports; ``hopflow`` where it is the whole package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "hopflow":
                names = {alias.name for alias in node.names}
                found |= {f"hopflow.{name}" if is_module(name) else "hopflow" for name in names}
            else:
                found.add(node.module)
    return {name for name in found if name.split(".")[0] == "hopflow"}


def modules() -> list[Path]:
    inside = {p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py"}
    if not (PACKAGE / "benchmarks").is_dir():
        inside |= set(BENCHMARKS.rglob("*.py"))
    return sorted(inside)


def owner(path: Path) -> str:
    """The part of the package that a file belongs to."""
    if BENCHMARKS in path.parents:
        return "benchmarks"
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def identify(path: Path) -> str:
    home = BENCHMARKS.parent if BENCHMARKS in path.parents else PACKAGE
    return str(path.relative_to(home))


@pytest.mark.parametrize("path", modules(), ids=identify)
def test_imports_run_one_way(path):
    mine = owner(path)
    assert mine in LEVEL, f"{mine} has no place in FLOORS"
    for name in imports(path):
        other = part(name)
        if other == mine:
            continue
        if other == "":
            # The package holds everything: who imports it whole stands above everything.
            assert LEVEL[mine] >= LEVEL["train"], f"{mine} imports hopflow itself"
            continue
        assert other in LEVEL, f"{path.name} imports {name}, which has no place in FLOORS"
        assert LEVEL[other] < LEVEL[mine], f"{mine} must not import {name}"


def test_the_root_has_only_what_users_import_by_that_name():
    files = {path.stem for path in PACKAGE.glob("*.py")}
    assert files == {"__init__", "__main__", "function", "functional", "udf"}


def test_what_is_at_the_root_is_an_attribute():
    code = (
        "import hopflow; print(*[hasattr(hopflow, n) for n in ('function', 'functional', 'udf')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["True"] * 3, done.stderr


def test_every_room_is_on_a_floor():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms <= set(LEVEL)


@pytest.mark.parametrize("path", modules(), ids=identify)
def test_a_class_shows_its_methods_where_it_is_defined(path):
    """No module puts an attribute on a class, or on anything else, that it has imported."""
    tree = ast.parse(path.read_text())
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    for node in tree.body:
        for target in getattr(node, "targets", []):
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                where = f"{path.name}:{node.lineno}"
                assert target.value.id not in imported, f"{where} sets {ast.unparse(target)}"


def test_only_ops_import_the_native_module():
    for path in modules():
        if "hopflow._native" in imports(path):
            assert owner(path) == "ops", f"{path} imports hopflow._native"


def test_operators_know_no_graphs():
    for path in (PACKAGE / "ops").glob("*.py"):
        assert {part(name) for name in imports(path)} <= {"ops", "_native"}


@pytest.mark.skipif(not CSRC.is_dir(), reason="the sources are not beside the tests")
def test_only_bindings_see_pybind11_and_no_file_sees_aten():
    may = re.compile(r"(.*/)?\w+_bind\.(h|cpp)|bindings/.*|module\.cpp")
    for name, path in sources().items():
        text = path.read_text()
        assert not re.search(r"#include\s*[<\"](ATen|torch|c10)/", text), name
        if not may.fullmatch(name):
            assert "pybind11" not in text, name
            assert not any(may.fullmatch(other) for other in includes(path)), name


# A folder of csrc/ may include those in lines above its own. Only bindings (*_bind.*) may include
# bindings/; cuda/ is for CUDA sources.
ROOMS = [
    {"core"},
    {"cuda", "bindings"},
    {
        "messages",
        "gather",
        "gather_decoded",
        "csc",
        "compact",
        "check_ids",
        "edge_softmax",
        "labor",
        "sample",
        "spmm",
    }
    | {"owners", "partition", "ppr_neighbors", "disk_rows", "add_to_sources", "frontiers"},
    {
        "blocks",
        "gatv2_scores",
        "induced_edges",
        "sample_weighted",
        "sddmm",
        "sddmm_binary",
        "spmm_binary",
    },
    {"loader", "random_walk", "sample_temporal"},
    {""},  # module.cpp and cuda_stub.cpp, which know everything
]
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}


def sources() -> dict[str, Path]:
    """The files of csrc, by their paths in it."""
    files = [p for p in sorted(CSRC.rglob("*")) if p.is_file() and p.name != "CMakeLists.txt"]
    return {p.relative_to(CSRC).as_posix(): p for p in files}


def includes(path: Path) -> set[str]:
    """What a file of csrc includes of csrc, by the paths in it."""
    quoted = re.findall(r"^#(?:include|define HOPFLOW_ISA_FILE) \"(.+)\"", path.read_text(), re.M)
    return set(quoted)


def room(name: str) -> str:
    return name.rpartition("/")[0]


@pytest.mark.skipif(not CSRC.is_dir(), reason="the sources are not beside the tests")
@pytest.mark.parametrize("name", sources())
def test_rooms_of_csrc_form_no_circle(name):
    assert room(name) in FLOOR, f"{room(name)} has no place in ROOMS"
    for other in includes(CSRC / name):
        assert (CSRC / other).is_file(), f"{name}: {other} is not a path in csrc"
        if room(other) == room(name):
            continue
        assert FLOOR[room(other)] < FLOOR[room(name)], f"{name} must not include {other}"
        if room(other) == "cuda":
            assert re.search(r"\.cuh?$", name), f"{name} is not CUDA, but includes {other}"


def operators() -> list[str]:
    """Stems of the operators: what has kernels on both sides and a binding of its own."""
    return sorted(p.parent.name for p in CSRC.glob("*/*_cpu.cpp"))


# Operators of host memory, without a CUDA kernel.
ON_CPU_ONLY = {
    "add_to_sources", "disk_rows", "frontiers", "owners", "partition", "ppr_neighbors",
}  # fmt: skip
# Operators that are timed as a part of something larger.
TIMED_WITH = {
    "edge_softmax": "attention",
    "frontiers": "traversals",
    "gatv2_scores": "attention",
    "induced_edges": "subgraphs",
    "ppr_neighbors": "ppr",
    "sddmm_binary": "attention",
    "sample_temporal": "temporal",
}


@pytest.mark.skipif(not CSRC.is_dir(), reason="the sources are not beside the tests")
@pytest.mark.parametrize("stem", operators())
def test_an_operator_is_whole(stem):
    wanted = [
        CSRC / stem / f"{stem}.h",
        CSRC / stem / f"{stem}_cpu.cpp",
        CSRC / stem / f"{stem}_cuda.cu",
        CSRC / stem / f"{stem}_bind.cpp",
        ROOT / "python" / "hopflow" / "ops" / f"{stem}.py",
        ROOT / "tests" / "ops" / f"test_{stem}.py",
        BENCHMARKS / f"bench_{TIMED_WITH.get(stem, stem)}.py",
    ]
    if stem in ON_CPU_ONLY:
        wanted.remove(CSRC / stem / f"{stem}_cuda.cu")
    assert [p.name for p in wanted if not p.exists()] == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ldd is Linux's")
def test_native_module_links_neither_torch_nor_an_openmp_runtime():
    linked = subprocess.run(["ldd", _native.__file__], capture_output=True, text=True).stdout
    assert "libstdc++" in linked
    assert not re.search(r"libtorch|libc10|gomp|libomp|libiomp|libcuda", linked), linked


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("order", ["import torch, hopflow", "import hopflow, torch"])
def test_one_openmp_runtime_in_the_process(order):
    code = f"""
{order}
import re
hopflow.ops.gather_rows(torch.zeros(100000, 8), torch.arange(100000))
torch.set_num_threads(3)
assert hopflow.ops.num_threads() == 3
maps = open("/proc/self/maps").read()
print(sorted(set(re.findall(r"/[^ \\n]*lib(?:gomp|omp|iomp)[^ \\n]*", maps))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(".so") == 1, done.stdout


def test_importing_hopflow_is_light():
    code = (
        "import sys, torch; before = set(sys.modules); import hopflow;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    names = done.stdout.split()
    loaded = {name.partition(".")[0] for name in names}
    assert "hopflow" in loaded, done.stderr
    assert "torch._dynamo" not in names  # the compiler: as long again as torch itself
    assert not loaded & {
        "pandas",
        "ogb",
        "matplotlib",
        "pyarrow",
        "rich",
        "typer",
        "scipy",
        "networkx",
    }


# Where tensors live on the CPU by intention: random seeds, the loader's order, parameters, and the
# benchmarks, which an installed package brings along. Parts of graphs are in host memory.
ON_THE_CPU = {"nn", "datasets", "train", "distributed", "partitioning", "benchmarks"}
FACTORIES = {"zeros", "ones", "empty", "full", "arange", "tensor"}


@pytest.mark.parametrize("path", modules(), ids=identify)
def test_new_tensors_say_where_they_live(path):
    """Without device= a tensor is on the CPU: beside a graph on a GPU, a fault no CPU test sees."""
    if owner(path) in ON_THE_CPU or path.name in ("loader.py", "pool.py"):
        return

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef) and node.name.endswith("_reference"):
            return
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            is_torch = isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"
            named = {keyword.arg for keyword in node.keywords}
            if is_torch and node.func.attr in FACTORIES:
                where = f"{path.name}:{node.lineno}: torch.{node.func.attr}"
                assert named & {"device", "pin_memory"}, f"{where} without device="
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
