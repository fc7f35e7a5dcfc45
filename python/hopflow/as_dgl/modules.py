"""The modules that stand in for DGL's."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from hopflow.as_dgl.names import MODULES, DglNames

_ADVICE = "docs/dgl.md lists what it has"


class DglModule(ModuleType):
    """One of DGL's modules: looks each name up in hopflow when it is asked for.

    Parameters
    ----------
    name : str
        Such as ``"dgl.nn"``.
    names : DglNames
        What DGL has under that name, and where hopflow has it.
    """

    def __init__(self, name: str, names: DglNames) -> None:
        super().__init__(name, f"Stands in for {name}; see docs/dgl.md.")
        self._names = names
        # A package without a folder: a submodule that is not here is searched for by Finder alone.
        self.__path__: list[str] = []
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        self.__package__ = name

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return [n for n in dir(self) if not n.startswith("_")]
        found = self._names.find(name) if not name.startswith("_") else None
        if found is None:
            raise AttributeError(
                f"hopflow does not provide {self.__name__}.{name}; {_ADVICE}", name=name, obj=self
            )
        return found

    def __dir__(self) -> list[str]:
        provided = {name for name in self._names.public if self._names.find(name) is not None}
        return sorted(provided | {name for name in vars(self) if name != "_names"})

    def __repr__(self) -> str:
        return f"<module {self.__name__!r} (hopflow)>"


class Finder:
    """Ends the search for submodules of ``dgl``, with a message of its own."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        """Raise for every submodule that hopflow has no stand-in for.

        Raises
        ------
        ModuleNotFoundError
            Always, for names below ``dgl``: those that there are, are in ``sys.modules``.
        """
        if fullname.startswith("dgl.") and isinstance(sys.modules.get("dgl"), DglModule):
            # Without its name= the error passes through `from dgl import x`, which would replace
            # one that names the module looked for by a message without advice.
            raise ModuleNotFoundError(f"hopflow does not provide {fullname}; {_ADVICE}")


def make_modules() -> dict[str, DglModule]:
    """Every stand-in by its name, each an attribute of the one above it."""
    made = {name: DglModule(name, names) for name, names in MODULES.items()}
    for name, module in made.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(made[parent], child, module)
    version = importlib.import_module("hopflow").__version__
    # The version of DGL whose names these are.
    vars(made["dgl"])["__version__"] = f"2.1.0+hopflow.{version}"
    return made
