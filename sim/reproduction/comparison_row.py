"""One line of a reproduction: what we have, what somebody else measured or printed, and why they differ."""

from dataclasses import dataclass

__all__ = ["ComparisonRow"]


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """A figure of ours beside a reference.

    Parameters
    ----------
    what : the figure, with its unit
    ours, reference : both in that unit
    source : of ours: ``rtl``, ``cycle_model``, ``calibrated`` or ``computed``
    reason : where the reference is from and why ours may differ, one or two sentences
    """

    what: str
    ours: float
    reference: float
    source: str
    reason: str

    @property
    def ratio(self) -> float:
        """Ours over the reference."""
        return self.ours / self.reference

    def as_json(self) -> dict[str, object]:
        """The keys of ``ngpc reproduce --json``."""
        return {
            "what": self.what,
            "ours": self.ours,
            "reference": self.reference,
            "ratio": self.ratio,
            "source": self.source,
            "reason": self.reason,
        }
