"""``python -m hopflow.as_dgl``: like Python itself, and what it says of mistakes."""

from __future__ import annotations

import sys

import pytest
from as_dgl_process import run

import hopflow as hf
from hopflow.as_dgl.__main__ import main


@pytest.fixture
def script(tmp_path):
    """A script in a folder of its own beside a module that it imports."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "beside.py").write_text("value = 7\n")

    def write(text):
        (folder / "script.py").write_text(text)
        return folder / "script.py"

    return write


def test_the_command_is_like_python(script, tmp_path):
    path = script(
        "import sys, beside, dgl\n"
        "print(__name__, sys.argv, sys.path[0], __file__, beside.value)\n"
        "print(sys.modules['__main__'].beside is beside, dgl.__version__)\n"
        "sys.exit(5)\n"
    )
    done = run("scripts/script.py", "--flag", "x", cwd=tmp_path)
    assert done.returncode == 5, done.stderr
    first, second = done.stdout.splitlines()
    assert first == (
        f"__main__ ['scripts/script.py', '--flag', 'x'] {path.parent} scripts/script.py 7"
    )
    assert second == f"True 2.1.0+hopflow.{hf.__version__}"


def test_the_command_reports_failures_as_python_does(script, tmp_path):
    path = script("def f():\n    raise KeyError('boo')\n\nf()\n")
    done = run(path, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("KeyError: 'boo'")
    assert 'script.py", line 2, in f' in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["none.py"], 2, "can't open file"),
        ([], 2, "usage:"),
        (["-m"], 2, "usage:"),
        (["--help"], 0, "usage:"),
        (["-x"], 2, "unknown option -x"),
    ],
)
def test_the_command_says_what_it_wants(arguments, status, says, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["hopflow.as_dgl", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == status
    printed = capsys.readouterr()
    assert says in (printed.err if status else printed.out)


def test_the_command_runs_modules(tmp_path):
    (tmp_path / "mine.py").write_text("import dgl.nn, sys\nprint(__name__, sys.argv[1:])\n")
    done = run("-m", "mine", "a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["__main__", "['a']"]
