"""Exact cycle model of the neural fields processor: the clock of every transfer of ``rtl.nfp.Nfp``.

The two engines meet in one stream. A nano-batch's features are wanted once the MLP engine has a free input bank, and
that depends on earlier nano-batches alone; so the engines' own models take turns, one nano-batch at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from arch.errors import InputError
from arch.field import FieldConfig
from arch.nfp import NfpConfig
from sim.engine.encoding import EncodingClock
from sim.engine.mlp import MlpClock

__all__ = ["NfpTiming", "nfp_cycles"]


@dataclass(frozen=True, kw_only=True)
class NfpTiming:
    """Clocks of a run, counted from the first point's transfer.

    Parameters
    ----------
    accepted : (points,) int64, clock of each transfer on ``points``
    results : (points,) int64, clock of each transfer on ``results``
    mlp_busy : clocks in which a nano-batch was in the MLP engine's array
    encoding_held : clocks lost to bank conflicts, summed over the physical level engines
    """

    accepted: np.ndarray
    results: np.ndarray
    mlp_busy: int
    encoding_held: int

    @property
    def cycles(self) -> int:
        """Clocks from the first accepted point to the last result, both included."""
        return int(self.results[-1] - self.accepted[0]) + 1

    @property
    def clk_per_point(self) -> float:
        """Clocks a point, filling and draining included."""
        return self.cycles / len(self.results)


def nfp_cycles(
    field: FieldConfig,
    config: NfpConfig,
    coordinates_raw: np.ndarray,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> NfpTiming:
    """Clocks of a run on an empty processor, the source always valid and the sink always ready.

    Parameters
    ----------
    field : the field that is loaded; one network
    config : the processor
    coordinates_raw : (points, n_pos_dims) raw coordinates, 0 .. 2**23; at least one point
    progress : called with (points done, points) after each nano-batch

    Raises
    ------
    InputError
        If there is no point, or the field does not fit the processor.
    """
    if len(coordinates_raw) == 0:
        raise InputError("number of points must be at least 1, not 0")
    if len(field.networks) != 1:
        raise InputError(f"networks of a field on this processor must be 1, not {len(field.networks)}")
    encoding = EncodingClock(field.grid, config.encoding)
    mlp = MlpClock(field.network, config.mlp)
    accepted, results = [], []
    busy = held = 0
    for first in range(0, len(coordinates_raw), config.mlp.nano_batch):
        batch = coordinates_raw[first : first + config.mlp.nano_batch]
        features = encoding.run(batch, wanted=np.full(len(batch), mlp.inputs_free))
        outputs = mlp.run(len(batch), offered=features.features)
        accepted.append(features.accepted)
        results.append(outputs.outputs)
        busy += outputs.busy
        held += int(features.held.sum())
        if progress is not None:
            progress(first + len(batch), len(coordinates_raw))
    return NfpTiming(
        accepted=np.concatenate(accepted), results=np.concatenate(results), mlp_busy=busy, encoding_held=held
    )
