"""Neural fields: an application, the grid encoding in front of it and the networks behind."""

from dataclasses import dataclass

from arch.errors import InputError, check_instance, check_one_of
from arch.grid import GridConfig
from arch.mlp import MlpConfig

__all__ = ["APPS", "DIRECTION_DIMS", "FieldConfig"]

APPS = ("nerf", "nsdf", "gia", "nvr")
DIRECTION_DIMS = 16
"""Width of the direction code of NeRF: spherical harmonics of degree 4."""

_POS_DIMS = {"nerf": 3, "nsdf": 3, "gia": 2, "nvr": 3}


@dataclass(frozen=True, kw_only=True)
class FieldConfig:
    """One neural field.

    ``nsdf``, ``gia`` and ``nvr`` are ``network(grid(x))``. ``nerf`` has a density network in ``network``
    whose outputs, behind them the direction code, feed ``rgb_network``.

    Parameters
    ----------
    app : ``nerf`` (radiance field), ``nsdf`` (signed distance), ``gia`` (gigapixel image), ``nvr`` (volume)
    grid : position encoding
    network : network fed by the encoding
    rgb_network : colour network; given for ``nerf`` and for nothing else

    Raises
    ------
    InputError
        If the parts do not fit one another.
    """

    app: str
    grid: GridConfig
    network: MlpConfig
    rgb_network: MlpConfig | None = None

    def __post_init__(self) -> None:
        check_one_of("app", self.app, APPS)
        check_instance("grid", self.grid, GridConfig)
        check_instance("network", self.network, MlpConfig)
        if self.rgb_network is not None:
            check_instance("rgb_network", self.rgb_network, MlpConfig)
        if self.grid.n_pos_dims != _POS_DIMS[self.app]:
            raise InputError(
                f"n_pos_dims of a {self.app} field must be {_POS_DIMS[self.app]}, not {self.grid.n_pos_dims}"
            )
        if self.network.n_input_dims != self.grid.n_output_dims:
            raise InputError(
                f"n_input_dims of the network must be the encoding's {self.grid.n_output_dims} features, "
                f"not {self.network.n_input_dims}"
            )
        if (self.rgb_network is not None) != (self.app == "nerf"):
            found = "none" if self.rgb_network is None else "one"
            raise InputError(f"rgb_network must be given for nerf and for no other app, not {found} for {self.app}")
        if self.rgb_network is not None:
            expected = self.network.n_output_dims + DIRECTION_DIMS
            if self.rgb_network.n_input_dims != expected:
                raise InputError(
                    f"n_input_dims of rgb_network must be {expected} (density outputs and direction code), "
                    f"not {self.rgb_network.n_input_dims}"
                )

    @property
    def networks(self) -> tuple[MlpConfig, ...]:
        """The networks in the order a point passes them."""
        return (self.network,) if self.rgb_network is None else (self.network, self.rgb_network)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one point through all networks."""
        return sum(network.macs for network in self.networks)
