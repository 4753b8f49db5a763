"""How warm is it in a fridge, a cold room, a freezer or a shipper? Energy balances of bodies at one temperature each.

Every body is so well conducting inside that one temperature describes it (Biot number below 0.1; Incropera & DeWitt,
Fundamentals of Heat and Mass Transfer, section 5.1, "The Lumped Capacitance Method"). Its heat content changes by the
heat that flows in: `C dT/dt = sum of G (T_other - T) + sources`, with heat capacities C [J/K], conductances G [W/K]
and sources [W]. The balance is stepped forward explicitly: what leaves one body enters another, so energy is conserved
whatever the step, up to rounding. All functions advance many bodies at once: arrays are (steps, places).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Celsius = NDArray[np.float64]

DAY_S = 86_400

WATER_J_KG_K = 4_180.0
"""Specific heat of liquid water near 5 degC (Incropera & DeWitt, table A.6: 4.178 to 4.198 kJ/(kg K))."""

ICE_J_KG_K = 2_040.0
"""Specific heat of ice at 0 degC (Incropera & DeWitt, table A.3)."""

ICE_FUSION_J_KG = 333_550.0
"""Latent heat of fusion of ice at 0 degC (CRC Handbook of Chemistry and Physics, enthalpy of fusion of water)."""


def lag_c(temperature_c: float, surroundings_c: float, time_constant_s: float, elapsed_s: float) -> float:
    """The temperature [degC] of a body after `elapsed_s` in constant surroundings.

    Incropera & DeWitt, equation 5.6: `(T(t) - T_env) / (T(0) - T_env) = exp(-t / tau)`.
    """
    return float(surroundings_c + (temperature_c - surroundings_c) * np.exp(-elapsed_s / time_constant_s))


def lagged_c(surroundings_c: Celsius, start_c: Celsius, time_constant_s: Floats | float, step_s: float) -> Celsius:
    """Equation 5.6 step after step: what follows its surroundings with a lag, such as a probe in glycol.

    Parameters
    ----------
    surroundings_c : float64[steps, n] [degC], constant during each step
    start_c : float64[n], before the first step [degC]

    Returns
    -------
    float64[steps, n], at the end of each step [degC]
    """
    kept = np.exp(-step_s / np.broadcast_to(np.asarray(time_constant_s, np.float64), start_c.shape))
    followed_c = np.empty(surroundings_c.shape)
    now_c = start_c
    for step, around_c in enumerate(surroundings_c):
        followed_c[step] = now_c = around_c + (now_c - around_c) * kept
    return followed_c


def day_curve_c(at_s: Floats, mean_c: Floats | float, swing_c: Floats | float, warmest_at_s: Floats | float) -> Celsius:
    """Ambient temperature [degC] over the day: `mean + swing * cos(2 pi (t - warmest) / 1 day)`.

    Parameters
    ----------
    at_s : time since midnight [s]
    swing_c : half the difference of the warmest and the coldest hour [K]
    """
    return mean_c + swing_c * np.cos(2 * np.pi * (at_s - warmest_at_s) / DAY_S)


@dataclass(frozen=True, slots=True)
class Cabinet:
    """A fridge, cold room or freezer: its air, its content, a compressor that a thermostat in the air switches.

    Parameters
    ----------
    set_point_c, hysteresis_c : the compressor starts above `set + hysteresis`, stops below `set - hysteresis`
    air_j_k : heat capacity of the air with what follows it at once: liner, shelves, evaporator [J/K]
    content_j_k : heat capacity of what is kept [J/K]
    content_w_k : conductance between air and content [W/K]
    walls_w_k, door_w_k : conductance from the room through closed walls, and through the open door in addition [W/K]
    cooling_w : heat that the running compressor takes out of the air [W]
    defrost_every_s, defrost_s, defrost_w : how often, how long and with how much heat the evaporator is defrosted
    """

    set_point_c: float
    hysteresis_c: float
    air_j_k: float
    content_j_k: float
    content_w_k: float
    walls_w_k: float
    door_w_k: float
    cooling_w: float
    defrost_every_s: float = np.inf
    defrost_s: float = 0.0
    defrost_w: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class CabinetState:
    """Where cabinets stand between two steps.

    Parameters
    ----------
    air_c, content_c : float64[n] [degC]
    is_running : bool[n], whether the compressor runs
    net_heat_j : float64[n], what has flowed in from outside since the start, less what was taken out [J]
    """

    air_c: Celsius
    content_c: Celsius
    is_running: NDArray[np.bool_]
    net_heat_j: Floats


def settled(cabinet: Cabinet, places: int) -> CabinetState:
    """Cabinets at their set point, compressors off."""
    at_set_point = np.full(places, cabinet.set_point_c)
    return CabinetState(at_set_point, at_set_point, np.zeros(places, np.bool_), np.zeros(places))


def cabinet_c(
    cabinet: Cabinet,
    state: CabinetState,
    ambient_c: Celsius,
    door_open: Floats,
    is_defrosting: NDArray[np.bool_],
    has_power: NDArray[np.bool_],
    step_s: float,
) -> tuple[Celsius, CabinetState]:
    """Air temperature [degC] after every step, and the state after the last.

    Parameters
    ----------
    ambient_c, door_open, is_defrosting, has_power : [steps, n]: of the room [degC]; which share of the step the door
        stands open; whether the evaporator is heated instead of cooled; whether the compressor works at all
    """
    air_c = np.empty(ambient_c.shape)
    starts_c, stops_c = cabinet.set_point_c + cabinet.hysteresis_c, cabinet.set_point_c - cabinet.hysteresis_c
    outer_w_k = cabinet.walls_w_k + cabinet.door_w_k * door_open
    defrost_w = np.where(is_defrosting & has_power, cabinet.defrost_w, 0.0)
    can_cool_w = np.where(is_defrosting | ~has_power, 0.0, cabinet.cooling_w)
    now_c, content_c, is_running, net_heat_j = state.air_c, state.content_c, state.is_running, state.net_heat_j
    for step in range(len(ambient_c)):
        is_running = (now_c > starts_c) | (is_running & (now_c > stops_c))
        net_w = outer_w_k[step] * (ambient_c[step] - now_c) + defrost_w[step] - is_running * can_cool_w[step]
        from_content_w = cabinet.content_w_k * (content_c - now_c)
        now_c = now_c + (net_w + from_content_w) * (step_s / cabinet.air_j_k)
        content_c = content_c - from_content_w * (step_s / cabinet.content_j_k)
        net_heat_j = net_heat_j + net_w * step_s
        air_c[step] = now_c
    return air_c, CabinetState(now_c, content_c, is_running, net_heat_j)


@dataclass(frozen=True, slots=True)
class Shipper:
    """An insulated box with gel packs around the load.

    Parameters
    ----------
    load_j_k : heat capacity of the load [J/K]
    walls_w_k, gel_w_k : conductance from the ambient through the walls, and from the packs, to the load [W/K]
    gel_kg : mass of the packs
    melting_c, fusion_j_kg : where the gel changes phase [degC] and what that takes [J/kg]
    solid_j_kg_k, liquid_j_kg_k : its specific heat on either side
    """

    load_j_k: float
    walls_w_k: float
    gel_w_k: float
    gel_kg: float
    melting_c: float
    fusion_j_kg: float
    solid_j_kg_k: float
    liquid_j_kg_k: float


@dataclass(frozen=True, slots=True, eq=False)
class ShipperState:
    """Where boxes stand between two steps: load float64[n] [degC], enthalpy of their packs float64[n] [J/kg]."""

    load_c: Celsius
    enthalpy_j_kg: Floats


def gel_c(shipper: Shipper, enthalpy_j_kg: Floats) -> Celsius:
    """Temperature [degC] of gel packs from their enthalpy (the enthalpy method for a change of phase).

    0 J/kg is solid gel at its melting point: below, it is colder; up to `fusion_j_kg` it melts at one temperature;
    beyond that it is spent and warms up.
    """
    colder_k = np.minimum(enthalpy_j_kg, 0.0) / shipper.solid_j_kg_k
    warmer_k = np.maximum(enthalpy_j_kg - shipper.fusion_j_kg, 0.0) / shipper.liquid_j_kg_k
    return shipper.melting_c + colder_k + warmer_k


def gel_j_kg(shipper: Shipper, temperature_c: float) -> float:
    """Enthalpy [J/kg] of packs that lie at a temperature: the other direction of `gel_c`."""
    if temperature_c <= shipper.melting_c:
        return (temperature_c - shipper.melting_c) * shipper.solid_j_kg_k
    return shipper.fusion_j_kg + (temperature_c - shipper.melting_c) * shipper.liquid_j_kg_k


def shipper_c(
    shipper: Shipper, state: ShipperState, ambient_c: Celsius, is_packed: NDArray[np.bool_], step_s: float
) -> tuple[Celsius, ShipperState]:
    """Load temperature [degC] after every step, and the state after the last.

    Parameters
    ----------
    ambient_c : float64[steps, n], around the boxes [degC]
    is_packed : bool[steps, n]; before it is packed a box keeps its state, as in the cold room it is packed in
    """
    load_c = np.empty(ambient_c.shape)
    now_c, enthalpy_j_kg = state.load_c, state.enthalpy_j_kg
    elapsed_s = np.where(is_packed, step_s, 0.0)
    for step in range(len(ambient_c)):
        to_gel_w = shipper.gel_w_k * (now_c - gel_c(shipper, enthalpy_j_kg))
        through_walls_w = shipper.walls_w_k * (ambient_c[step] - now_c)
        enthalpy_j_kg = enthalpy_j_kg + to_gel_w * (elapsed_s[step] / shipper.gel_kg)
        load_c[step] = now_c = now_c + (through_walls_w - to_gel_w) * (elapsed_s[step] / shipper.load_j_k)
    return load_c, ShipperState(now_c, enthalpy_j_kg)
