"""Exact cycle model of the neural fields processor: the clock of every transfer of ``rtl.nfp.Nfp``.

The two engines meet in one stream. A nano-batch's features are wanted once the MLP engine has a free input bank, and
that depends on earlier nano-batches alone; so the engines' own models take turns, one nano-batch at a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from arch.errors import InputError
from arch.field import FieldConfig
from arch.nfp import NfpConfig
from sim.engine.encoding import EncodingClock
from sim.engine.mlp import MlpClock

__all__ = ["NfpClock", "NfpTiming", "nfp_cycles"]


@dataclass(frozen=True, kw_only=True)
class NfpTiming:
    """Clocks of a run, counted from the first point's transfer.

    Parameters
    ----------
    accepted : (points,) int64, clock of each transfer on ``points``
    results : (points,) int64, clock of each transfer on ``results``
    mlp_busy : clocks in which a nano-batch was in the MLP engine's array
    encoding_held : clocks lost to bank conflicts, summed over the physical level engines
    encoding_limits, mlp_limits : the processor's counters of these names (``arch.nfp.NFP_COUNTERS``)
    """

    accepted: np.ndarray
    results: np.ndarray
    mlp_busy: int
    encoding_held: int
    encoding_limits: int
    mlp_limits: int

    @property
    def limiting_engine(self) -> str:
        """Which engine cost the other one more clocks, ``encoding`` or ``mlp``."""
        return "encoding" if self.encoding_limits > self.mlp_limits else "mlp"

    @property
    def cycles(self) -> int:
        """Clocks from the first accepted point to the last result, both included."""
        return int(self.results[-1] - self.accepted[0]) + 1

    @property
    def clk_per_point(self) -> float:
        """Clocks a point, filling and draining included."""
        return self.cycles / len(self.results)


class NfpClock:
    """The processor's clock, one nano-batch at a time; the clocks of one do not depend on later ones.

    Parameters
    ----------
    field : the field that is loaded
    config : the processor
    primed : first clock in which features are taken
    scales : for ``fp16``, the fp32 scale of each level where it is not the host's

    Raises
    ------
    InputError
        If the field does not fit the processor.
    """

    def __init__(
        self, field: FieldConfig, config: NfpConfig, *, primed: int = 0, scales: Sequence[float] | None = None
    ) -> None:
        self.config = config
        self._encoding = EncodingClock(field.grid, config.encoding, scales=scales)
        self._mlp = MlpClock(field.networks, config.mlp)
        self._primed = primed
        self._moved = -1  # clock of the last transfer of features

    def run(self, coordinates_raw: np.ndarray, *, offered: np.ndarray | None = None) -> NfpTiming:
        """Clocks of the next nano-batch; the last point carries ``last``.

        Parameters
        ----------
        coordinates_raw : (points, n_pos_dims), 1 to ``nano_batch`` points
        offered : (points,) clock from which the source offers each point; an always-valid source if left out
        """
        points = len(coordinates_raw)
        if not 1 <= points <= self.config.mlp.nano_batch:
            raise InputError(f"points of a nano-batch must be from 1 to {self.config.mlp.nano_batch}, not {points}")
        wanted = max(self._mlp.inputs_free, self._primed)
        features = self._encoding.run(coordinates_raw, offered=offered, wanted=np.full(points, wanted))
        outputs = self._mlp.run(points, offered=features.features)
        free = np.maximum(np.concatenate([[self._moved], features.features[:-1]]), features.accepted) + 1
        self._moved = features.features[-1]
        return NfpTiming(
            accepted=features.accepted,
            results=outputs.outputs,
            mlp_busy=outputs.busy,
            encoding_held=int(features.held.sum()),
            encoding_limits=int(np.maximum(features.offered - np.maximum(free, wanted), 0).sum()),
            mlp_limits=int((features.features - features.offered).sum()),
        )


def nfp_cycles(
    field: FieldConfig,
    config: NfpConfig,
    coordinates_raw: np.ndarray,
    *,
    primed: int = 0,
    scales: Sequence[float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NfpTiming:
    """Clocks of a run on an empty processor, the source always valid and the sink always ready.

    Parameters
    ----------
    field : the field that is loaded
    config : the processor
    coordinates_raw : (points, n_pos_dims) raw coordinates, as ``EncodingClock.run`` takes them; at least one point
    primed : first clock in which features are taken; ``config.prime_cycles`` if the first point is taken in the clock
        behind the last load word
    scales : for ``fp16``, the fp32 scale of each level where it is not the host's
    progress : called with (points done, points) after each nano-batch

    Raises
    ------
    InputError
        If there is no point, or the field does not fit the processor.
    """
    if len(coordinates_raw) == 0:
        raise InputError("number of points must be at least 1, not 0")
    clock = NfpClock(field, config, primed=primed, scales=scales)
    parts = []
    for first in range(0, len(coordinates_raw), config.mlp.nano_batch):
        batch = coordinates_raw[first : first + config.mlp.nano_batch]
        parts.append(clock.run(batch))
        if progress is not None:
            progress(first + len(batch), len(coordinates_raw))
    return NfpTiming(
        accepted=np.concatenate([part.accepted for part in parts]),
        results=np.concatenate([part.results for part in parts]),
        mlp_busy=sum(part.mlp_busy for part in parts),
        encoding_held=sum(part.encoding_held for part in parts),
        encoding_limits=sum(part.encoding_limits for part in parts),
        mlp_limits=sum(part.mlp_limits for part in parts),
    )
