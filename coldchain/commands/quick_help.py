"""Help in half the time: typer's drawing of it without the parts of rich that nothing here uses.

`typer.rich_utils` imports rich's Markdown and its tracebacks, for options that this command line does not set. The two
take a third of `coldchain --help` (docs/benchmarks.md, B9).
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

DRAWING = "typer.rich_utils"
UNUSED = {"rich.markdown": "Markdown", "rich.traceback": "Traceback"}
"""What the drawing imports, and the one class it takes from there."""


def prepare() -> None:
    """Import the drawing with empty classes in the place of what is unused; everybody else gets the real modules.

    A drawing that wants anything else of them is left to typer, which imports it whole.
    """
    if DRAWING in sys.modules:
        return
    stand_ins = {name: _stand_in(name, unused) for name, unused in UNUSED.items() if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        import_module(DRAWING)
    except ImportError:
        sys.modules.pop(DRAWING, None)
    finally:
        for name in stand_ins:
            del sys.modules[name]


def _stand_in(name: str, unused: str) -> ModuleType:
    module = ModuleType(name)
    setattr(module, unused, type(unused, (), {}))
    return module
