"""Temperature units: which integer of milli-degC a stated temperature is."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Literal

from coldchain.readings import ABSOLUTE_ZERO_MC, HIGHEST_MC

Unit = Literal["c", "f", "k"]

# Beyond what any probe states, in every unit: decided before any arithmetic, so that 1e308 costs nothing.
_ABSURD = 10_000


def milli_celsius(value: Decimal, unit: Unit) -> int | None:
    """The nearest integer of milli-degC (ties to even), None where no probe can have measured it.

    Parameters
    ----------
    value : the number as its text states it [degC, degF or kelvin]; exact, hence a Decimal
    unit : "c", "f": `(F - 32) * 5000 / 9`, "k": `(K - 273.15) * 1000`
    """
    if abs(value) > _ABSURD:
        return None
    match unit:
        case "c":
            mc = round(value * 1000)
        case "f":
            mc = round(Fraction(value - 32) * 5000 / 9)
        case "k":
            mc = round(value * 1000 - 273_150)
    return mc if ABSOLUTE_ZERO_MC <= mc <= HIGHEST_MC else None
