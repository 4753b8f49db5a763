"""How warm is it in a fridge, a cold room or a shipper? Lumped-capacitance models, one number per body.

Every body is so well conducting inside that one temperature describes it (Biot number below 0.1). It then follows
`dT/dt = (T_env - T) / tau`, whose solution over a step with constant surroundings is Incropera & DeWitt,
Fundamentals of Heat and Mass Transfer, section 5.1, "The Lumped Capacitance Method", equation 5.6:
`(T(t) - T_env) / (T(0) - T_env) = exp(-t / tau)`, with `tau = rho V c / (h A_s)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Celsius = NDArray[np.float64]
Seconds = NDArray[np.float64]

DAY_S = 86_400.0


def lag_c(temperature_c: float, surroundings_c: float, time_constant_s: float, elapsed_s: float) -> float:
    """The temperature [degC] of a body after `elapsed_s` in constant surroundings (equation 5.6 above)."""
    return float(surroundings_c + (temperature_c - surroundings_c) * np.exp(-elapsed_s / time_constant_s))


def day_curve_c(at_s: Seconds, mean_c: float, swing_c: float, warmest_at_s: float) -> Celsius:
    """Ambient temperature [degC] over the day: `mean + swing * cos(2 pi (t - warmest) / 1 day)`.

    Parameters
    ----------
    at_s : float64[n], time since midnight [s]
    swing_c : half the difference of the warmest and the coldest hour [K]
    """
    return mean_c + swing_c * np.cos(2 * np.pi * (at_s - warmest_at_s) / DAY_S)


@dataclass(frozen=True, slots=True)
class Refrigerator:
    """A fridge or cold room whose compressor a thermostat switches.

    Parameters
    ----------
    set_point_c, hysteresis_c : the compressor starts above `set + hysteresis`, stops below `set - hysteresis`
    walls_time_constant_s : lag of the content towards the room through closed walls [s]
    door_time_constant_s : the same with the door open [s]
    cooling_k_per_s : rate at which the running compressor alone would cool the content [K/s]
    """

    set_point_c: float
    hysteresis_c: float
    walls_time_constant_s: float
    door_time_constant_s: float
    cooling_k_per_s: float


def refrigerator_c(fridge: Refrigerator, at_s: Seconds, ambient_c: Celsius, door_open: NDArray[np.bool_]) -> Celsius:
    """Content temperature [degC] at every instant of `at_s`, starting at the set point with the compressor off.

    `dT/dt = (T_ambient - T) / tau - q` while the compressor runs with `q`, that is, a lag towards
    `T_ambient - q tau`; `tau` is that of the walls or of the open door.
    """
    temperature_c = np.empty_like(at_s)
    temperature_c[0] = now_c = fridge.set_point_c
    running = False
    for step, (begin_s, end_s) in enumerate(pairwise(at_s.tolist())):
        running = now_c > fridge.set_point_c + fridge.hysteresis_c or (
            running and now_c > fridge.set_point_c - fridge.hysteresis_c
        )
        tau_s = fridge.door_time_constant_s if door_open[step] else fridge.walls_time_constant_s
        surroundings_c = ambient_c[step] - (fridge.cooling_k_per_s * tau_s if running else 0.0)
        temperature_c[step + 1] = now_c = lag_c(now_c, surroundings_c, tau_s, end_s - begin_s)
    return temperature_c


@dataclass(frozen=True, slots=True)
class Shipper:
    """An insulated box with gel packs around the load.

    Parameters
    ----------
    walls_time_constant_s : lag of the load towards the ambient through the walls [s]
    gel_time_constant_s : lag of the load towards the gel packs [s]
    gel_share : heat capacity of the gel packs as a share of the load's
    melting_c : where the gel changes phase [degC]
    latent_k : latent heat of the gel divided by its specific heat [K]
    """

    walls_time_constant_s: float
    gel_time_constant_s: float
    gel_share: float
    melting_c: float
    latent_k: float


def gel_c(shipper: Shipper, enthalpy_k: float) -> float:
    """Temperature [degC] of the gel packs from their enthalpy (the enthalpy method for a change of phase).

    `enthalpy_k` is heat content divided by specific heat, 0 for solid gel at its melting point: below 0 the gel is
    colder than that, up to `latent_k` it melts at constant temperature, beyond it is spent and warms up.
    """
    return shipper.melting_c + min(enthalpy_k, 0.0) + max(enthalpy_k - shipper.latent_k, 0.0)


def shipper_c(shipper: Shipper, at_s: Seconds, ambient_c: Celsius, load_c: float, enthalpy_k: float) -> Celsius:
    """Load temperature [degC] at every instant of `at_s`.

    The load lags towards the mean of ambient and gel, weighted by conductance; what flows from load to gel,
    `(T - T_gel) / tau_gel` in kelvin of the load per second, raises the gel's enthalpy by `1 / gel_share` of it.

    Parameters
    ----------
    load_c : temperature of the load when the box is closed [degC]
    enthalpy_k : of the gel packs then [K]: -25 for packs straight from a freezer 25 K below the melting point
    """
    temperature_c = np.empty_like(at_s)
    temperature_c[0] = now_c = load_c
    conductance = 1 / shipper.walls_time_constant_s + 1 / shipper.gel_time_constant_s
    for step, (begin_s, end_s) in enumerate(pairwise(at_s.tolist())):
        packs_c = gel_c(shipper, enthalpy_k)
        weighted = ambient_c[step] / shipper.walls_time_constant_s + packs_c / shipper.gel_time_constant_s
        elapsed_s = end_s - begin_s
        enthalpy_k += (now_c - packs_c) / shipper.gel_time_constant_s / shipper.gel_share * elapsed_s
        temperature_c[step + 1] = now_c = lag_c(now_c, weighted / conductance, 1 / conductance, elapsed_s)
    return temperature_c
