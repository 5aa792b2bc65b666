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
    "done_before_not_awaited": Mutant(
        module="rtl.scheduler.wake_up",
        right='met["same", "odd"] & met["before", "even"]',
        wrong='met["same", "odd"]',
        task="dependence",
    ),
    "pending_event_holds_nobody": Mutant(
        module="rtl.scheduler.scheduler_unit",
        right="table.pends_older[unit].eq(slot.pends_older)",
        wrong="table.pends_older[unit].eq(0)",
        task="dependence",
    ),
    "newer_event_holds_nobody": Mutant(
        module="rtl.scheduler.scheduler_unit",
        right="table.pends_newer[unit].eq(slot.pends_newer)",
        wrong="table.pends_newer[unit].eq(0)",
        task="dependence",
    ),
    "issue_forgotten": Mutant(
        module="rtl.scheduler.descriptor_table",
        right="granted.eq(self.granted)",
        wrong="granted.eq(0)",
        task="once",
    ),
    "offer_withdrawn": Mutant(
        module="rtl.scheduler.issue_slot",
        right="offered.eq(self.issue.valid & ~self.issue.ready)",
        wrong="offered.eq(0)",
        task="slot",
    ),
    "grants_that_do_not_fit_together": Mutant(
        module="rtl.scheduler.credit_pools",
        right="left[unit][-1] for left, _ in",
        wrong="alone[unit][-1] for _, alone in",
        task="pools",
    ),
    "grants_that_do_not_fit_in_the_unit": Mutant(
        module="rtl.scheduler.credit_pools",
        right="left[unit][-1] for left, _ in",
        wrong="alone[unit][-1] for _, alone in",
        task="shares",
    ),
    "early_completion_dropped": Mutant(
        module="rtl.scheduler.issue_slot",
        right="(self.completed | self.deferred) & early",
        wrong="self.deferred & early",
        task="events",
    ),
    "early_completion_forgotten": Mutant(
        module="rtl.scheduler.issue_slot",
        right="(self.completed | self.deferred) & early",
        wrong="self.completed & early",
        task="events",
    ),
    "pending_event_forgotten": Mutant(
        module="rtl.scheduler.issue_slot",
        right="(pends_older | pends_newer & self.retire)",
        wrong="pends_older",
        task="events",
    ),
    "second_event_not_counted": Mutant(
        module="rtl.scheduler.scheduler_unit",
        right="matrix.second[unit].eq(slot.busy)",
        wrong="matrix.second[unit].eq(0)",
        task="progress",
    ),
    "odd_iteration_not_counted": Mutant(
        module="rtl.scheduler.scheduler_unit",
        right="table.odd[unit].eq(slot.odd)",
        wrong="table.odd[unit].eq(0)",
        task="progress",
    ),
    "iteration_ends_early": Mutant(
        module="rtl.scheduler.scheduler_unit",
        right="loop.works_even[unit].eq(slot.works_even)",
        wrong="loop.works_even[unit].eq(0)",
        task="completion",
    ),
    "chunks_not_compared": Mutant(
        module="rtl.scheduler.dependency_matrix",
        right='(read.data[f"all{number}"] | meets)',
        wrong='read.data[f"all{number}"]',
        task="matrix",
    ),
    "starts_not_counted": Mutant(
        module="rtl.scheduler.dependency_matrix",
        right="self.counts.eq(after[5] | after[6])",
        wrong="self.counts.eq(after[5])",
        task="matrix",
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
        right="pools.gives[unit].eq(slot.ends)",
        wrong="pools.gives[unit].eq(0)",
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
