"""Temperature units: which integer of milli-degC a stated temperature is."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from coldchain.readings import ABSOLUTE_ZERO_MC, HIGHEST_MC, MilliCelsius

Unit = Literal["c", "f", "k"]
_Number = TypeVar("_Number", float, NDArray[np.float64])

# Beyond what any probe states, in every unit: decided before any arithmetic, so that 1e308 costs nothing.
_ABSURD = 10_000

# Within `_ABSURD` a float is off by less than 1e-8 milli-degC: as far as this from a tie it rounds as the decimal does.
_CLEAR_OF_A_TIE = 0.499


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


def milli_celsius_of_float(value: float, unit: Unit) -> int | None:
    """What `milli_celsius` gives for a finite float or an integer, as its shortest text states it."""
    if abs(value) > _ABSURD:
        return None
    unrounded = _unrounded(value, unit)
    mc = round(unrounded)
    if abs(unrounded - mc) > _CLEAR_OF_A_TIE:
        return milli_celsius(Decimal(str(value)), unit)
    return mc if ABSOLUTE_ZERO_MC <= mc <= HIGHEST_MC else None


def milli_celsius_of_floats(values: NDArray[np.float64], unit: Unit) -> MilliCelsius | None:
    """The same of float64[n], int32[n]; None unless all are finite, plausible and clear of a tie."""
    magnitude = np.abs(values)
    if not magnitude.item(magnitude.argmax()) <= _ABSURD:  # a NaN counts as the highest
        return None
    unrounded = _unrounded(values, unit)
    mc = np.rint(unrounded)
    distance = np.abs(unrounded - mc)
    is_clear = distance.item(distance.argmax()) <= _CLEAR_OF_A_TIE
    if is_clear and mc.item(mc.argmin()) >= ABSOLUTE_ZERO_MC and mc.item(mc.argmax()) <= HIGHEST_MC:
        return mc.astype(np.int32)
    return None


def _unrounded(value: _Number, unit: Unit) -> _Number:
    if unit == "c":
        return value * 1000
    return (value - 32) * (5000 / 9) if unit == "f" else value * 1000 - 273_150
