"""Temperature-excursion monitoring for clinical-trial medicines. The public names, loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coldchain.errors import BadInput, ColdchainError, EnvironmentFailed, RejectedPayload
    from coldchain.exposure import mean_kinetic_temperature
    from coldchain.pipeline import replay
    from coldchain.profiles import load_profile, load_profiles
    from coldchain.readings import ReadingBatch
    from coldchain.registry import load_registry

__version__ = "0.1.0"

_HOME = {
    "BadInput": "errors",
    "ColdchainError": "errors",
    "EnvironmentFailed": "errors",
    "ReadingBatch": "readings",
    "RejectedPayload": "errors",
    "load_profile": "profiles",
    "load_profiles": "profiles",
    "load_registry": "registry",
    "mean_kinetic_temperature": "exposure",
    "replay": "pipeline",
}

__all__ = [
    "BadInput",
    "ColdchainError",
    "EnvironmentFailed",
    "ReadingBatch",
    "RejectedPayload",
    "load_profile",
    "load_profiles",
    "load_registry",
    "mean_kinetic_temperature",
    "replay",
]


def __getattr__(name: str) -> Any:
    # an edge gateway imports coldchain.readings without numba being installed, and `--help` must not wait for it
    if name not in _HOME:
        raise AttributeError(f"module 'coldchain' has no attribute {name!r}")
    return getattr(import_module(f"coldchain.{_HOME[name]}"), name)
