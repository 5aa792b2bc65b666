"""Payloads of the cluster's streams: points and results, as many a transfer as the build has."""

from amaranth.lib import data

from arch.nfp import ClusterConfig, NfpConfig
from rtl.streams import VectorLayout, points_layout

__all__ = ["PointBeatLayout", "ResultBeatLayout", "ResultLayout", "point_beats", "result_beats"]


class ResultLayout(data.StructLayout):
    """A result of a cluster: ``values``, ``last``, and ``error`` if its processor failed; values are 0 then."""

    def __init__(self, config: NfpConfig) -> None:
        vector = VectorLayout(config.max_outputs, config.mlp.profile.value_bits)
        super().__init__({**{name: field.shape for name, field in vector}, "error": 1})


class PointBeatLayout(data.StructLayout):
    """Several points of a run: the fields of ``PointLayout``, point after point, and ``n``, their number less one.

    Only the beat with ``last`` may have fewer than ``config.beat_points``.
    """

    def __init__(self, config: ClusterConfig) -> None:
        fields = {name: field.shape for name, field in points_layout(config.nfp, config.beat_points)}
        super().__init__({**fields, "n": range(config.beat_points)})


class ResultBeatLayout(data.StructLayout):
    """Several results of a run: ``values``, result after result, an ``error`` bit each, ``last``, ``n`` as above."""

    def __init__(self, config: ClusterConfig) -> None:
        points = config.beat_points
        vector = VectorLayout(points * config.nfp.max_outputs, config.nfp.mlp.profile.value_bits)
        super().__init__({**{name: field.shape for name, field in vector}, "error": points, "n": range(points)})


def point_beats(config: ClusterConfig) -> data.StructLayout:
    """What a transfer on a cluster's stream of points is: a point, or a beat of several."""
    return points_layout(config.nfp) if config.beat_points == 1 else PointBeatLayout(config)


def result_beats(config: ClusterConfig) -> data.StructLayout:
    """What a transfer on a cluster's stream of results is: a result, or a beat of several."""
    return ResultLayout(config.nfp) if config.beat_points == 1 else ResultBeatLayout(config)
