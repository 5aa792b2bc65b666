"""The neural fields processor: a grid encoding engine fused with an MLP engine, and a cluster of them."""

from dataclasses import dataclass

from arch.encoding_engine import COUNTER_BITS, EncodingEngineConfig
from arch.errors import InputError, check_instance, check_integer, check_positive
from arch.mlp_engine import MlpEngineConfig
from arch.scheduler import SchedulerConfig

__all__ = ["COUNTER_BITS", "MAX_BEAT_POINTS", "NFP_COUNTERS", "QUEUE_CYCLES", "ClusterConfig", "NfpConfig"]

QUEUE_CYCLES = 2
"""Clocks from the write of an entry into an empty queue of the cluster to its earliest read."""

MAX_BEAT_POINTS = 16
"""Most points of a transfer on a cluster's streams."""

_FAST_FIELD_MACS = 7168
"""Products of a point of the field that runs fastest on a large array: nsdf, 32 features, 64 x 64, 16 outputs. An array
of so many elements, busy in every clock, would take a point a clock."""

NFP_COUNTERS = ("points", "results", "busy", "encoding_limits", "mlp_limits", "source_waits", "sink_waits")
"""Counters of a processor, ``COUNTER_BITS`` wide, in the order of its registers; they wrap.

``points``, ``results``
    Points taken and results given.
``busy``
    Clocks with a point inside, that of its transfer included.
``encoding_limits``
    Clocks in which the MLP engine would take features, points are inside the encoding engine and none is done.
``mlp_limits``
    Clocks in which features are done and the MLP engine does not take them.
``source_waits``
    Clocks in which a point would be taken, none is offered and the last one taken did not carry ``last``.
``sink_waits``
    Clocks in which a result is offered and not taken.
"""


@dataclass(frozen=True, kw_only=True)
class NfpConfig:
    """One neural fields processor.

    The engines' sizes are independent: any ``level_parallel`` beside any array.

    Parameters
    ----------
    encoding : the grid encoding engine; its features are the MLP engine's first layer's inputs
    mlp : the MLP engine, of the same arithmetic; ``side_inputs`` of it come with each point (nerf's direction code)
    max_outputs : most outputs of a field, 1 to ``mlp.max_width``; a result holds so many. Of a field with two networks
        they are the second one's outputs and, behind them, output 0 of the first: nerf's colours and density
    """

    encoding: EncodingEngineConfig
    mlp: MlpEngineConfig
    max_outputs: int = 4

    def __post_init__(self) -> None:
        check_instance("encoding", self.encoding, EncodingEngineConfig)
        check_instance("mlp", self.mlp, MlpEngineConfig)
        if self.encoding.arithmetic != self.mlp.arithmetic:
            raise InputError(
                f"arithmetic of the MLP engine must be the encoding engine's {self.encoding.arithmetic!r}, "
                f"not {self.mlp.arithmetic!r}"
            )
        features = self.encoding.n_levels * self.encoding.n_features_per_level
        if features > self.mlp.max_width:
            raise InputError(
                f"max_width of the MLP engine must be at least the encoding's {features} features, "
                f"not {self.mlp.max_width}"
            )
        if self.mlp.side_inputs and features > self.mlp.side_first:
            raise InputError(
                f"side_first of the MLP engine must be at least the encoding's {features} features, "
                f"not {self.mlp.side_first}"
            )
        check_integer("max_outputs", self.max_outputs, 1, self.mlp.max_width)

    @property
    def prime_cycles(self) -> int:
        """Clocks behind a load word in which no features are taken: the first tile's weights go into the array."""
        return self.mlp.prime_cycles

    @property
    def max_inside(self) -> int:
        """Most points inside: those of the encoding engine and five nano-batches, at the most, of the MLP engine."""
        return self.encoding.points_in_flight + 5 * self.mlp.nano_batch


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """NGPC-N: ``n_nfps`` neural fields processors beside a GPU, at one clock.

    Parameters
    ----------
    nfp : each of the processors
    n_nfps : how many, 1 to 64
    scheduler : the scheduler unit that starts the runs of points; None: there is none
    scheduler_unit : which of its units is the cluster; the others are outside
    queued_batches : most nano-batches a processor has been dealt and not finished, 1 to 16; four keep it busy: one
        waits, one is encoded, one is in the array, one leaves
    reorder_batches : most nano-batches dealt to a processor whose results have not left the cluster, ``queued_batches``
        to 64; those that are finished wait for older ones of other processors
    points_per_clock : points of a transfer on the cluster's streams, a power of two up to 16 that divides
        ``nfp.mlp.nano_batch``; 0: as many as keep the processors busy, ``beat_points``
    clock_hz : clock of the cluster; NGPC (ISCA'23) implies 1 GHz without stating it
    """

    nfp: NfpConfig
    n_nfps: int = 8
    queued_batches: int = 4
    reorder_batches: int = 8
    points_per_clock: int = 0
    scheduler: SchedulerConfig | None = None
    scheduler_unit: int = 1
    clock_hz: float = 1e9

    def __post_init__(self) -> None:
        check_instance("nfp", self.nfp, NfpConfig)
        check_integer("n_nfps", self.n_nfps, 1, 64)
        if self.scheduler is not None:
            check_instance("scheduler", self.scheduler, SchedulerConfig)
            check_integer("scheduler_unit", self.scheduler_unit, 0, self.scheduler.n_units - 1)
        check_integer("queued_batches", self.queued_batches, 1, 16)
        check_integer("reorder_batches", self.reorder_batches, self.queued_batches, 64)
        check_integer("points_per_clock", self.points_per_clock, 0, MAX_BEAT_POINTS)
        points, nano_batch = self.points_per_clock, self.nfp.mlp.nano_batch
        if points & (points - 1):
            raise InputError(f"points_per_clock must be a power of two, or 0, not {points}")
        if points and nano_batch % points:
            raise InputError(f"points_per_clock must divide the nano-batch of {nano_batch} points, not be {points}")
        check_positive("clock_hz", self.clock_hz)

    @property
    def beat_points(self) -> int:
        """Points of a transfer: ``points_per_clock``, or if that is 0 the least power of two that is enough.

        Enough for all arrays to be busy in every clock with the field of the fewest products a point, and as many as
        divide a nano-batch.
        """
        if self.points_per_clock:
            return self.points_per_clock
        mlp, points = self.nfp.mlp, 1
        wanted = self.n_nfps * min(1.0, mlp.rows * mlp.cols / _FAST_FIELD_MACS)
        while points < min(wanted, MAX_BEAT_POINTS) and mlp.nano_batch % (2 * points) == 0:
            points *= 2
        return points
