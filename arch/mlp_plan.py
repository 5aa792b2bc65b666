"""How networks run on the MLP engine: each layer's split, tiles and places, chosen for the fewest clocks.

A layer of ``n_in x n_out`` weights under a split of h row halves and g column groups is cut into tiles of
``rows / h`` x ``cols / g``; each tile is one pass of the nano-batch, with ``h * g`` points a clock. The planner takes
the splits whose passes, with the gaps between them (``MlpEngineConfig.pass_cycles``), take the fewest clocks for a
whole nano-batch; of plans that are equal it takes the one with the smaller splits.

Two networks: the second one reads the first one's outputs and, behind them, the side inputs that came with the point.
The first one's outputs are placed behind the side inputs, so that the second one's inputs lie in one piece:
``side_first`` and up, side inputs first. In ``fp16``, where the order of sums counts, they are placed before them. Both
networks' outputs are results, each where its network placed it.

In ``fp16`` a last layer of more than 16 outputs is CUTLASS's, which adds eight products a step. On an engine whose
steps are of 16, the layer before it puts each eight of its outputs into 16 places of their own; the other eight have no
weight, so a step adds the eight alone. Both layers take twice the tiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from arch.errors import InputError, check_multiple
from arch.mlp import CUTLASS_CHUNK, FULLY_FUSED_CHUNK, FUSED_OUTPUTS, MlpConfig, MlpLayer
from arch.mlp_engine import MlpEngineConfig, Split

__all__ = ["MlpPlan", "PlannedLayer", "plan_mlp", "planned_width"]


@dataclass(frozen=True, kw_only=True)
class PlannedLayer:
    """A layer as the engine runs it.

    Tiles are run column tile by column tile, the row tiles of one column tile one after the other so that their
    partial sums meet in the accumulators. Tile (row, col) is number ``first + col * row_tiles + row`` in the weight
    memory; its rows and columns without an input or output hold zeros.

    Parameters
    ----------
    layer : its shape and activation
    network : which network it belongs to
    split : how the array is split
    inputs, outputs : per input and output, its element in the activation vector
    first : number of its first tile in the weight memory
    first_row_tile, row_tiles : which tiles of ``rows / row_halves`` elements it reads
    first_col_tile, col_tiles : which tiles of ``cols / column_groups`` elements it writes
    takes_side : it reads side inputs
    frees_input : it is the last to read the input vector
    to_output : its activations are results
    """

    layer: MlpLayer
    network: int
    split: Split
    inputs: range | tuple[int, ...]
    outputs: range | tuple[int, ...]
    first: int
    first_row_tile: int
    row_tiles: int
    first_col_tile: int
    col_tiles: int
    takes_side: bool
    frees_input: bool
    to_output: bool

    @property
    def tiles(self) -> int:
        """Tiles of the layer, each one pass of the nano-batch."""
        return self.row_tiles * self.col_tiles

    def beats(self, n_vectors: int) -> int:
        """Clocks in which a pass over ``n_vectors`` reads."""
        return -(-n_vectors // self.split.points)


@dataclass(frozen=True, kw_only=True)
class MlpPlan:
    """What the load image, the cycle model and the documentation know of networks on an engine.

    Parameters
    ----------
    engine : the engine
    layers : in running order
    """

    engine: MlpEngineConfig
    layers: tuple[PlannedLayer, ...]

    @property
    def tiles(self) -> int:
        """Passes of a nano-batch."""
        return sum(layer.tiles for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one point, padding not counted."""
        return sum(layer.layer.macs for layer in self.layers)

    @property
    def results(self) -> tuple[int, ...]:
        """Elements of the output vector that are results: the last network's outputs, behind them the first's."""
        last = self.layers[-1].network
        ends = [layer for layer in self.layers if layer.to_output]
        order = sorted(ends, key=lambda layer: layer.network != last)
        return tuple(element for layer in order for element in layer.outputs)

    def layer_cycles(self, n_vectors: int) -> tuple[int, ...]:
        """Clocks of each layer over a nano-batch of ``n_vectors``, to the start of the next layer."""
        beats = [layer.beats(n_vectors) for layer in self.layers]
        return tuple(
            (layer.tiles - 1) * self.engine.pass_cycles(now) + self.engine.pass_cycles(now, following)
            for layer, now, following in zip(self.layers, beats, (*beats[1:], None), strict=True)
        )


def plan_mlp(networks: MlpConfig | Sequence[MlpConfig], engine: MlpEngineConfig) -> MlpPlan:
    """Plan one network, or two of which the second reads the first one's outputs and the side inputs.

    Raises
    ------
    InputError
        With what does not fit the engine.
    """
    networks = (networks,) if isinstance(networks, MlpConfig) else tuple(networks)
    _check(networks, engine)
    places = []
    for number, network in enumerate(networks):
        for index, layer in enumerate(network.layers):
            inputs, outputs = range(layer.n_in), range(layer.n_out)
            if number == 0 and index == len(network.layers) - 1 and len(networks) == 2:
                outputs = _beside_side(layer.n_out, engine)
            if index and _spreads(network, index, engine):
                inputs = _spread(layer.n_in)
            if _spreads(network, index + 1, engine):
                outputs = _spread(layer.n_out)
            if number == 1 and index == 0:
                before = _beside_side(networks[0].n_output_dims, engine)
                inputs = (*before, *range(engine.side_first, engine.side_first + engine.side_inputs))
            places.append((number, layer, inputs, outputs))
    splits = _fewest_cycles([(inputs, outputs) for _, _, inputs, outputs in places], engine)
    layers: list[PlannedLayer] = []
    for position, ((number, layer, inputs, outputs), split) in enumerate(zip(places, splits, strict=True)):
        first_row_tile, row_tiles = _tiles(inputs, engine.rows // split.row_halves)
        first_col_tile, col_tiles = _tiles(outputs, engine.cols // split.column_groups)
        takes_side = position > 0 and places[position - 1][0] != number
        planned = PlannedLayer(
            layer=layer,
            network=number,
            split=split,
            inputs=inputs,
            outputs=outputs,
            first=layers[-1].first + layers[-1].tiles if layers else 0,
            first_row_tile=first_row_tile,
            row_tiles=row_tiles,
            first_col_tile=first_col_tile,
            col_tiles=col_tiles,
            takes_side=takes_side,
            frees_input=takes_side if len(networks) == 2 else position == 0,
            to_output=position == len(places) - 1 or places[position + 1][0] != number,
        )
        layers.append(planned)
    plan = MlpPlan(engine=engine, layers=tuple(layers))
    if plan.tiles > engine.weight_tiles:
        raise InputError(
            f"weight_tiles of the MLP engine must be at least {plan.tiles} for this network, not {engine.weight_tiles}"
        )
    return plan


def planned_width(network: MlpConfig, engine: MlpEngineConfig) -> int:
    """The least ``max_width`` with which a network runs on an engine like this one, a nerf field's places apart."""
    widest = max(max(layer.n_in, layer.n_out) for layer in network.layers)
    last = len(network.layers) - 1
    return max(widest, _spread(network.n_neurons)[-1] + 1) if last and _spreads(network, last, engine) else widest


def _check(networks: tuple[MlpConfig, ...], engine: MlpEngineConfig) -> None:
    layers = [layer for network in networks for layer in network.layers]
    if len(layers) > engine.max_layers:
        raise InputError(
            f"layers of the network must be at most the engine's max_layers = {engine.max_layers}, not {len(layers)}"
        )
    for number, layer in enumerate(layers):
        for side, width in (("inputs", layer.n_in), ("outputs", layer.n_out)):
            if width > engine.max_width:
                raise InputError(
                    f"{side} of layer {number} must be at most the engine's max_width = {engine.max_width}, not {width}"
                )
        if layer.activation not in engine.activations:
            raise InputError(
                f"activation of layer {number} must be one of {', '.join(engine.activations)} on this MLP engine, "
                f"not {layer.activation!r}"
            )
    if engine.floating:
        _check_float(networks, engine)
    if len(networks) == 1:
        return
    if len(networks) != 2 or engine.side_inputs == 0:
        most = 2 if engine.side_inputs else 1
        raise InputError(f"networks a point must be at most {most} on this MLP engine, not {len(networks)}")
    first, second = networks
    if second.n_input_dims != first.n_output_dims + engine.side_inputs:
        raise InputError(
            f"n_input_dims of the second network must be the first one's {first.n_output_dims} outputs and "
            f"{engine.side_inputs} side inputs, not {second.n_input_dims}"
        )
    if first.n_input_dims > engine.side_first:
        raise InputError(
            f"n_input_dims of the first network must be at most side_first = {engine.side_first}, "
            f"not {first.n_input_dims}"
        )
    end = _beside_side(first.n_output_dims, engine).stop
    if end > engine.max_width:
        raise InputError(
            f"max_width of the MLP engine must be at least {end} for these networks, not {engine.max_width}"
        )
    if second.n_output_dims > engine.side_first + engine.side_inputs:
        raise InputError(
            f"n_output_dims of the second network must be at most {engine.side_first + engine.side_inputs}, "
            f"not {second.n_output_dims}"
        )


def _spreads(network: MlpConfig, index: int, engine: MlpEngineConfig) -> bool:
    """Whether a layer of a network adds eight products a step on an engine whose steps are of 16."""
    wide = index == len(network.layers) - 1 and network.n_output_dims > FUSED_OUTPUTS
    return wide and engine.floating and engine.chunk == FULLY_FUSED_CHUNK


def _spread(width: int) -> tuple[int, ...]:
    """Places of so many elements, each eight in front of eight that stay empty."""
    groups, rests = np.divmod(np.arange(width), CUTLASS_CHUNK)
    return tuple((groups * FULLY_FUSED_CHUNK + rests).tolist())


def _check_float(networks: tuple[MlpConfig, ...], engine: MlpEngineConfig) -> None:
    """What ``fp16`` asks for beside the rest: the library's own steps of products, in its order."""
    for network in networks:
        last = len(network.layers) - 1
        if last == 0 and _spreads(network, 0, engine):
            raise InputError(
                f"n_output_dims of a network of one layer must be at most {FUSED_OUTPUTS} in fp16, "
                f"not {network.n_output_dims}; the library adds its products in steps of 8: take an engine of chunk 8"
            )
        width = planned_width(network, engine)
        if width > engine.max_width:
            raise InputError(
                f"max_width of the MLP engine must be at least {width} for a network of {network.n_neurons} neurons "
                f"and {network.n_output_dims} outputs, whose products are added in steps of 8, not {engine.max_width}"
            )
    if len(networks) != 2:
        return
    width, free = networks[0].n_output_dims, engine.side_first - networks[0].n_output_dims
    chunk = engine.chunk
    check_multiple("side_first of an MLP engine of fp16", engine.side_first, chunk, chunk, engine.max_width)
    check_multiple("outputs of the first network in fp16", width, chunk, chunk, engine.side_first)
    if networks[1].n_output_dims > free:
        raise InputError(f"n_output_dims of the second network must be at most {free}, not {networks[1].n_output_dims}")


def _beside_side(width: int, engine: MlpEngineConfig) -> range:
    first = engine.side_first - width if engine.floating else engine.side_first + engine.side_inputs
    return range(first, first + width)


def _tiles(elements: Sequence[int], side: int) -> tuple[int, int]:
    """First tile of ``side`` elements that holds one of ``elements``, and how many tiles there are up to the last."""
    first = min(elements) // side
    return first, max(elements) // side - first + 1


def _fewest_cycles(places: Sequence[tuple[Sequence[int], Sequence[int]]], engine: MlpEngineConfig) -> list[Split]:
    """The splits of all layers with the fewest clocks for a whole nano-batch.

    A layer's clocks depend on its own split and the next layer's, so the best plan of the layers from one on, for
    each split of that one, follows from those of the layers behind it.
    """
    splits = engine.splits
    beats = [-(-engine.nano_batch // split.points) for split in splits]
    # per split of the layer behind: clocks and points a clock from there on, and the splits
    behind: list[tuple[int, int, list[Split]]] | None = None
    for inputs, outputs in reversed(places):
        best = []
        for split, now in zip(splits, beats, strict=True):
            passes = (
                _tiles(inputs, engine.rows // split.row_halves)[1]
                * _tiles(outputs, engine.cols // split.column_groups)[1]
            )
            before = (passes - 1) * engine.pass_cycles(now)
            if behind is None:
                best.append((before + engine.pass_cycles(now), split.points, [split]))
                continue
            plans = [
                (before + engine.pass_cycles(now, following) + cycles, split.points + points, [split, *rest])
                for following, (cycles, points, rest) in zip(beats, behind, strict=True)
            ]
            best.append(min(plans, key=lambda plan: plan[:2]))
        behind = best
    return min(behind, key=lambda plan: plan[:2])[2]
