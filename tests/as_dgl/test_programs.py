"""Programs by task, written for DGL, run unmodified and reach what docs/dgl_programs.md says.

Name an interpreter that has DGL 2.1 in $HOPFLOW_DGL_PYTHON, and each runs under DGL itself as well.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hopflow import as_dgl
from hopflow.as_dgl.__main__ import main
from hopflow.as_dgl.modules import DglModule

SCRIPTS = Path(__file__).resolve().parent / "scripts"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "dgl_programs.md"
PROGRAMS = sorted(SCRIPTS.glob("*/*.py"))  # those beside them need data handed to them


def outcomes() -> dict[str, tuple[str, float, float]]:
    """What the page says of a program's last line: its words, at least how much, and by chance."""
    row = re.compile(r"\| \[`([\w/]+\.py)`\]\([^)]+\) \| .+ \| (.+), ([\d.]+) \| ([\d.]+) \|")
    found = {}
    for line in PAGE.read_text().splitlines():
        match = row.fullmatch(line)
        if match:
            assert match[1] not in found, f"{match[1]} is there twice"
            found[match[1]] = match[2], float(match[3]), float(match[4])
    return found


OUTCOMES = outcomes()


def check(program: Path, output: str) -> None:
    """Hold what a program has printed against the page."""
    what, least, chance = OUTCOMES[program.relative_to(SCRIPTS).as_posix()]
    assert least > chance
    last = output.rstrip().splitlines()[-1]
    match = re.fullmatch(rf"{re.escape(what)} (-?\d+\.\d+)", last)
    assert match, f"expected the last line to be {what!r} and a number, got {last!r}"
    assert float(match[1]) >= least, last


def test_the_page_lists_every_program():
    listed = re.findall(
        r"^\| \[`([\w/]+\.py)`\]\(\.\./tests/as_dgl/scripts/([\w/]+\.py)\) \|",
        PAGE.read_text(),
        re.M,
    )
    assert all(name == path for name, path in listed)
    names = [name for name, _ in listed]
    there = [path.relative_to(SCRIPTS).as_posix() for path in SCRIPTS.rglob("*.py")]
    assert sorted(names) == sorted(there)
    assert sorted(OUTCOMES) == [path.relative_to(SCRIPTS).as_posix() for path in PROGRAMS]
    assert len(names) >= 30


def test_programs_use_the_names_that_the_page_says():
    row = re.compile(r"\| \[`([\w/]+\.py)`\]\([^)]+\) \| [^|]+ \| ([^|]+) \|")
    for line in PAGE.read_text().splitlines():
        if match := row.match(line):
            words = set(re.findall(r"\w+", (SCRIPTS / match[1]).read_text()))
            names = set(re.findall(r"`(\w+)`", match[2]))
            assert names
            assert names <= words, f"{match[1]} does not use {sorted(names - words)}"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_program(program, tmp_path, monkeypatch, capsys):
    """As ``python -m hopflow.as_dgl program.py`` does it, but in this process: starting costs more
    than most of the programs."""
    if "dgl" in sys.modules and not isinstance(sys.modules["dgl"], DglModule):
        pytest.skip("the real DGL is imported")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["hopflow.as_dgl", str(program)])
    monkeypatch.setattr(sys, "path", [*sys.path])
    try:
        main()
    finally:
        as_dgl.uninstall()
    check(program, capsys.readouterr().out)
    assert not [*tmp_path.iterdir()]


@pytest.mark.skipif(
    not os.environ.get("HOPFLOW_DGL_PYTHON"),
    reason="no DGL: name an interpreter that has it in $HOPFLOW_DGL_PYTHON",
)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_program_on_dgl(program, tmp_path):
    environment = {**os.environ, "DGLBACKEND": "pytorch", "OMP_NUM_THREADS": "2"}
    environment.pop("PYTHONPATH", "")  # an interpreter of its own
    done = subprocess.run(
        [environment["HOPFLOW_DGL_PYTHON"], program],
        capture_output=True, text=True, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    check(program, done.stdout)
