"""The layer program: registers that describe the network."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from arch.load import LoadTarget
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import LAYER_FIELDS, N_LAYERS_ADDRESS, ROUTE_ADDRESS, ROUTE_FIELDS
from rtl.streams import LoadLayout

__all__ = ["LayerLayout", "LayerProgram"]


class LayerLayout(data.StructLayout):
    """Fields of a layer's registers, without the gaps (``LAYER_FIELDS`` and ``ROUTE_FIELDS`` of ``arch.mlp_image``).

    Parameters
    ----------
    config : the engine; one without fission and side inputs has no route fields
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        fields = {**LAYER_FIELDS, **(ROUTE_FIELDS if config.has_routes else {})}
        super().__init__({name: unsigned(width) for name, (_, width) in fields.items()})


class LayerProgram(Component):
    """Hold the number of layers and the layer registers.

    *Timing*: a load word is in the registers one clock after ``load_en``; ``o`` shows a layer one clock after
    ``layer`` or its register changed. Words for other targets and registers past ``max_layers`` change nothing.

    Parameters
    ----------
    config : the engine

    Members
    -------
    load_en, load : In, a load word
    layer : In, which layer ``o`` shows
    o : Out(LayerLayout(config))
    n_layers : Out, 0 after reset
    """

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        super().__init__(
            {
                "load_en": In(1),
                "load": In(LoadLayout()),
                "layer": In(range(max(2, config.max_layers))),
                "o": Out(LayerLayout(config)),
                "n_layers": Out(range(config.max_layers + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layers = [Signal(LayerLayout(self.config), name=f"layer_{n}") for n in range(self.config.max_layers)]
        registers = [(0, LAYER_FIELDS), *([(ROUTE_ADDRESS, ROUTE_FIELDS)] if self.config.has_routes else [])]
        with m.If(self.load_en & (self.load.target == LoadTarget.LAYER_REGISTER)):
            for number, layer in enumerate(layers):
                for first, fields in registers:
                    with m.If(self.load.address == first + number):
                        m.d.sync += [
                            layer[name].eq(self.load.data[low : low + width]) for name, (low, width) in fields.items()
                        ]
        with m.If(
            self.load_en & (self.load.target == LoadTarget.MLP_CONTROL) & (self.load.address == N_LAYERS_ADDRESS)
        ):
            m.d.sync += self.n_layers.eq(self.load.data)
        with m.Switch(self.layer):
            for number, layer in enumerate(layers):
                with m.Case(number):
                    m.d.sync += self.o.eq(layer)
        return m
