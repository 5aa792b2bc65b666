"""What a served request looks like: how long prompts and answers are.

Presets lie in ``workloads/requests``, one file a published trace; ``arch.workload.load_requests`` reads them.
"""

from dataclasses import dataclass

from arch.errors import InputError, check_positive

__all__ = ["RequestLengths"]


@dataclass(frozen=True, kw_only=True)
class RequestLengths:
    """Means and standard deviations of a trace's lengths, in tokens; a deviation of 0 makes a length constant.

    Parameters
    ----------
    name : preset name
    prompt_mean, prompt_std : tokens of the prompt
    decode_mean, decode_std : tokens of the answer

    Raises
    ------
    InputError
        If a mean is below 1 or a deviation below 0.
    """

    name: str
    prompt_mean: float
    prompt_std: float
    decode_mean: float
    decode_std: float

    def __post_init__(self) -> None:
        for kind in ("prompt", "decode"):
            mean, std = getattr(self, f"{kind}_mean"), getattr(self, f"{kind}_std")
            check_positive(f"{kind}_mean of {self.name}", mean)
            if mean < 1:
                raise InputError(f"{kind}_mean of {self.name} must be at least 1, not {mean!r}")
            if std != 0:
                check_positive(f"{kind}_std of {self.name}", std)

    @property
    def prompt(self) -> int:
        """Mean prompt length, as a whole number of tokens."""
        return round(self.prompt_mean)

    @property
    def decode(self) -> int:
        """Mean answer length, as a whole number of tokens."""
        return round(self.decode_mean)
