"""Seeded bugs: one change of the RTL's text each, and the proof that must notice it."""

import importlib.util
import sys
from dataclasses import dataclass

__all__ = ["MUTANTS", "Mutant", "seed"]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A bug.

    Parameters
    ----------
    module : where it is put
    right, wrong : the text there, found exactly once, and what it becomes
    task : the proof of ``formal.prove`` that must fail
    """

    module: str
    right: str
    wrong: str
    task: str


MUTANTS = {
    "met_before_the_loop": Mutant(
        module="rtl.scheduler.wake_up",
        right="free | before & self.older |",
        wrong="free | before |",
        task="dependence",
    ),
    "issue_forgotten": Mutant(
        module="rtl.scheduler.descriptor_table",
        right="granted.eq(self.granted & counts)",
        wrong="granted.eq(0)",
        task="once",
    ),
    "offer_withdrawn": Mutant(
        module="rtl.scheduler.issue_slot",
        right="offered.eq(self.issue.valid & ~self.issue.ready)",
        wrong="offered.eq(0)",
        task="slot",
    ),
    "two_grants_one_accounted": Mutant(
        module="rtl.scheduler.credit_pools",
        right="fits[unit] & ~fits[:unit].any()",
        wrong="fits[unit]",
        task="pools",
    ),
    "two_grants_in_the_unit": Mutant(
        module="rtl.scheduler.credit_pools",
        right="fits[unit] & ~fits[:unit].any()",
        wrong="fits[unit]",
        task="shares",
    ),
    "second_event_dropped": Mutant(
        module="rtl.scheduler.event_arbiter",
        right="(waiting | self.completions) & ~(~of_starts & self.select)",
        wrong="waiting & ~(~of_starts & self.select)",
        task="events",
    ),
    "iteration_ends_early": Mutant(
        module="rtl.scheduler.loop_control",
        right="Cat(~count.any() for count in left)",
        wrong="Cat(count <= 1 for count in left)",
        task="completion",
    ),
    "answer_overwritten": Mutant(
        module="rtl.bus.axi_lite_registers",
        right="act.eq(address_held & word_held & (~bus.bvalid | bus.bready))",
        wrong="act.eq(address_held & word_held)",
        task="axi_lite",
    ),
    "strobe_ignored": Mutant(
        module="rtl.bus.axi_lite_registers",
        right="mask[part] & here.replicate(field.width)",
        wrong="here.replicate(field.width)",
        task="axi_lite",
    ),
    "word_lost_on_a_pause": Mutant(
        module="rtl.skid_buffer",
        right="[spare.eq(i), spare_full.eq(1)]",
        wrong="[spare.eq(i)]",
        task="axis",
    ),
    "share_unchecked": Mutant(
        module="rtl.scheduler.load_checker",
        right="LoadFault.SHARE: Cat(shares).any()",
        wrong="LoadFault.SHARE: Cat(shares).all() & 0",
        task="accepted_is_legal",
    ),
    "order_unchecked": Mutant(
        module="rtl.scheduler.load_checker",
        right="(key <= before) | seen",
        wrong="seen",
        task="accepted_is_legal",
    ),
    "own_wait_met": Mutant(
        module="rtl.scheduler.load_checker",
        right="met = ~valid | older_done | ~beyond & ~(needed & ~self._found).any()",
        wrong="met = ~valid | older_done | ~beyond & ~(needed & ~self._found & ~descriptor.chunks).any()",
        task="accepted_is_acyclic",
    ),
    "sweeps_end_early": Mutant(
        module="rtl.scheduler.load_checker",
        right="m.d.sync += self._progress.eq(1)",
        wrong="m.d.sync += self._progress.eq(self._newer)",
        task="legal_is_accepted",
    ),
    "error_passes": Mutant(
        module="rtl.scheduler.unit_guard",
        right="self.complete.valid.eq(fits & ~heard.error |",
        wrong="self.complete.valid.eq(fits |",
        task="errors",
    ),
    "late_completion_passes": Mutant(
        module="rtl.scheduler.unit_guard",
        right="fits.eq(heard.valid & ~self.late &",
        wrong="fits.eq(heard.valid &",
        task="errors",
    ),
    "error_in_the_unit": Mutant(
        module="rtl.scheduler.unit_guard",
        right="self.complete.valid.eq(fits & ~heard.error |",
        wrong="self.complete.valid.eq(fits |",
        task="dependence_with_errors",
    ),
    "watchdog_a_clock_late": Mutant(
        module="rtl.scheduler.unit_guard",
        right="left.eq(self.limit)",
        wrong="left.eq(self.limit + 1)",
        task="watchdog",
    ),
    "watchdog_asleep": Mutant(
        module="rtl.scheduler.unit_guard",
        right="armed.eq(self.limit != 0)",
        wrong="armed.eq(0)",
        task="watchdog",
    ),
    "credits_not_returned": Mutant(
        module="rtl.scheduler.scheduler_unit",
        right="pools.returned.eq(event.shares)",
        wrong="pools.returned.eq(0)",
        task="progress",
    ),
}


def seed(name: str) -> None:
    """Put a bug into this process: the module is executed from its changed text and takes the right one's place.

    Raises
    ------
    KeyError
        If there is no such mutant.
    RuntimeError
        If the text to change is not there exactly once, or the module has been imported already.
    """
    mutant = MUTANTS[name]
    if mutant.module in sys.modules:
        raise RuntimeError(f"Module {mutant.module} must be imported after the bug is seeded")
    spec = importlib.util.find_spec(mutant.module)
    text = spec.loader.get_source(mutant.module)
    if text.count(mutant.right) != 1:
        raise RuntimeError(f"Text {mutant.right!r} must occur once in {mutant.module}, not {text.count(mutant.right)}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[mutant.module] = module
    exec(compile(text.replace(mutant.right, mutant.wrong), spec.origin, "exec"), module.__dict__)
