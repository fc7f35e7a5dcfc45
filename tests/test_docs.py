"""The Python in README.md and docs/ runs as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_snippets_run_in_order(page):
    if page.name == "compile.md" and tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13):
        pytest.skip("compiled models are tested with torch 2.13 and later")
    snippets = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)
    assert snippets
    names: dict[str, object] = {"__name__": "docs"}
    for i, snippet in enumerate(snippets):
        exec(compile(snippet, f"{page.name}, snippet {i + 1}", "exec"), names)


def test_local_links_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
