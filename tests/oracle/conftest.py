"""What the tests here share with the programs that record and compare: these are run as files, and
import one another by name."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "programs"))
