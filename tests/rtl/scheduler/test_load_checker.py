"""The load checker: its verdict is that of ``arch.load_check``, in the clock of its cycle model."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pytest

from arch.descriptor import Descriptor, LoadTable, PackedProgram, PredecessorField, descriptor_fields, pack_program
from arch.load_check import Arrival, LoadFault, check_packed
from arch.scheduler import SchedulerConfig
from arch.workload import load_program
from rtl.scheduler.load_checker import LoadChecker
from sim.engine.load_checker import check_clocks, max_check_clk
from sim.engine.scheduler_programs import random_program

CONFIG = SchedulerConfig(n_descriptors=8, n_operations=5, n_units=3, n_pools=2, n_chunks=6, share_bits=4)
N_PROGRAMS = 120


def in_order(packed: PackedProgram) -> list[int]:
    """Descriptors in order of choice."""
    return [index for _, _, index in sorted(keys(packed, range(len(packed.descriptors))))]


def keys(packed: PackedProgram, order: Iterable[int]) -> list[Arrival]:
    """What the load order goes by, of descriptors in that order; those beyond the last are copies of the first."""
    descriptors = [packed.descriptors[index if index < len(packed.descriptors) else 0] for index in order]
    return [(one.unit, one.priority, index) for one, index in zip(descriptors, order, strict=True)]


def words(packed: PackedProgram, order: list[int] | None = None) -> Iterator[tuple[LoadTable, int, int]]:
    """Load words of any descriptors, illegal ones too, in order of choice or any other."""
    for address in in_order(packed) if order is None else order:
        descriptor = packed.descriptors[address if address < len(packed.descriptors) else 0]
        values = {
            "chunks": descriptor.chunks,
            "operation": descriptor.operation,
            "unit": descriptor.unit,
            "priority": descriptor.priority,
            "announce_start": descriptor.announce_start,
        }
        values |= {f"share{pool}": share for pool, share in enumerate(descriptor.shares)}
        for number, wait in enumerate(descriptor.predecessors):
            fields = {"valid": 1, "operation": wait.operation, "layer_offset": wait.layer_offset % 4}
            fields |= {"start": wait.start, "all": wait.all}
            values |= {f"predecessor{number}_{name}": value for name, value in fields.items()}
        word, low = 0, 0
        for name, width in descriptor_fields(packed.config).items():
            word |= int(values.get(name, 0)) << low
            low += width
        yield LoadTable.DESCRIPTOR, address, word
    for address, chunks in enumerate(packed.operation_chunks):
        yield LoadTable.OPERATION, address, chunks
    yield LoadTable.CONTROL, 0, packed.control


def spoil(rng: random.Random, packed: PackedProgram) -> PackedProgram:
    """Change up to two things at random, most often so that a rule is broken."""
    config, descriptors = packed.config, list(packed.descriptors)
    operations = list(packed.operation_chunks)
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        index = rng.randrange(len(descriptors))
        one = descriptors[index]
        other = PredecessorField(
            operation=rng.choice([*(d.operation for d in descriptors), rng.randrange(8)]),
            layer_offset=rng.choice((0, 0, 0, 1, 1, -1, -2)),
            start=rng.random() < 0.3,
            all=rng.random() < 0.7,
        )
        what = rng.choice(("chunks", "unit", "operation", "shares", "announce", "wait", "wait", "wait", "wait", "row"))
        if what == "chunks":
            one = replace(one, chunks=rng.choice((0, one.chunks ^ 1 << rng.randrange(config.n_chunks))))
        elif what == "unit":
            one = replace(one, unit=3)
        elif what == "operation":
            one = replace(one, operation=rng.randrange(8))
        elif what == "shares":
            one = replace(one, shares=tuple(rng.randrange(16) for _ in one.shares))
        elif what == "announce":
            one = replace(one, announce_start=not one.announce_start)
        elif what == "wait":
            one = replace(one, predecessors=(*one.predecessors[:3], other))
        else:
            row = rng.randrange(len(operations))
            operations[row] ^= 1 << rng.randrange(config.n_chunks)
        descriptors[index] = one
    count = 0 if rng.random() < 0.02 else packed.count
    return replace(packed, descriptors=tuple(descriptors), operation_chunks=tuple(operations), count=count)


def disorder(rng: random.Random, packed: PackedProgram) -> list[int]:
    """Descriptors in an order that is rarely right: two swapped, one twice, one too many or one missing."""
    order, n = in_order(packed), len(packed.descriptors)
    what = rng.choice(("swapped", "twice", "more", "missing"))
    place = rng.randrange(n)
    if what == "swapped":
        other = rng.randrange(n)
        order[place], order[other] = order[other], order[place]
    elif what == "twice":
        order.insert(rng.randrange(n + 1), order[place])
    elif what == "more" and n < packed.config.n_descriptors:
        order.insert(rng.randrange(n + 1), rng.randrange(n, packed.config.n_descriptors))
    elif what == "missing" and n > 1:
        del order[place]
    return order


def run(
    simulate_block: Callable[..., None],
    config: SchedulerConfig,
    programs: list[PackedProgram],
    orders: dict[int, list[int]] | None = None,
) -> None:
    """Load and check them one after the other, without reset, some of them (by number) in another order."""
    dut, orders = LoadChecker(config), orders or {}
    n_clocks = sum(check_clocks(program).clocks + 140 for program in programs)

    async def testbench(ctx: object) -> None:
        for number, program in enumerate(programs):
            order = orders.get(number)
            for table, address, word in words(program, order):
                ctx.set(dut.load_valid, 1)
                ctx.set(dut.load, {"table": table, "address": address, "data": word})
                await ctx.tick()
            ctx.set(dut.load_valid, 0)
            arrival = None if order is None else keys(program, order)
            expected = check_clocks(program, arrival)
            assert expected.verdict == check_packed(program, arrival), f"program {number}"
            assert expected.clocks <= max_check_clk(config)
            ctx.set(dut.check, 1)
            for clock in range(expected.clocks):
                assert not ctx.get(dut.accepted) | ctx.get(dut.refused), f"program {number}, clock {clock}"
                assert ctx.get(dut.busy) == (clock > 0)
                await ctx.tick()
                ctx.set(dut.check, 0)
            accepted = expected.verdict.fault is LoadFault.NONE
            assert ctx.get(dut.busy) == 0
            assert (ctx.get(dut.accepted), ctx.get(dut.refused)) == (accepted, not accepted), f"program {number}"
            assert (ctx.get(dut.fault), ctx.get(dut.index)) == (
                expected.verdict.fault, expected.verdict.index,
            ), f"program {number}"  # fmt: skip
            await ctx.tick()
            assert not ctx.get(dut.accepted) | ctx.get(dut.refused)
            assert ctx.get(dut.fault) == expected.verdict.fault

    simulate_block(dut, testbench, limit=n_clocks)


def test_any_words_have_the_verdict_of_the_software(simulate_block: Callable[..., None], seed: int) -> None:
    programs = []
    for number in range(N_PROGRAMS):
        rng = random.Random(f"{seed} {number}")
        programs.append(spoil(rng, pack_program(random_program(rng, CONFIG), CONFIG)))
    faults = [check_packed(program).fault for program in programs]
    assert set(faults) >= set(LoadFault) - {LoadFault.COUNT, LoadFault.ORDER}, f"seed {seed} leaves out a code"
    run(simulate_block, CONFIG, programs)


def test_any_order_of_descriptors_has_the_verdict_of_the_software(
    simulate_block: Callable[..., None], seed: int
) -> None:
    rng = random.Random(seed)
    programs = [pack_program(random_program(rng, CONFIG), CONFIG) for _ in range(60)]
    orders = {number: disorder(rng, program) for number, program in enumerate(programs)}
    verdicts = [check_packed(program, keys(program, orders[number])) for number, program in enumerate(programs)]
    refused = [verdict for verdict in verdicts if verdict.fault is LoadFault.ORDER]
    assert len(refused) > 20
    assert {verdict.fault for verdict in verdicts} == {LoadFault.NONE, LoadFault.ORDER}
    run(simulate_block, CONFIG, programs, orders)


def test_one_beyond_the_last_instead_of_one_of_them_is_refused(simulate_block: Callable[..., None]) -> None:
    whole = chain(8, forward=True)
    run(simulate_block, whole.config, [replace(whole, descriptors=whole.descriptors[:3])], {0: [0, 1, 3]})


def test_one_index_in_two_units_is_refused(simulate_block: Callable[..., None]) -> None:
    """As many as there should be, the last one among them, and in order: only that one came before tells."""
    units = [replace(chain(8, forward=True), descriptors=(one(0, unit), one(1, unit), one(2, unit))) for unit in (0, 1)]
    sent = [*words(units[0], [0, 2])][:2] + list(words(units[1], [0]))
    assert [address for table, address, _ in sent if table is LoadTable.DESCRIPTOR] == [0, 2, 0]
    refuse(simulate_block, units[0].config, sent, index=0)


def one(index: int, unit: int) -> Descriptor:
    return Descriptor(chunks=1, operation=index, unit=unit, shares=(0,))


def test_descriptors_that_do_not_come_in_one_go_are_refused(simulate_block: Callable[..., None]) -> None:
    program = chain(8, forward=True)
    sent = list(words(program))
    sent.insert(2, sent[-2])  # a row between the second and the third
    refuse(simulate_block, program.config, sent, index=7)


def refuse(
    simulate_block: Callable[..., None], config: SchedulerConfig, sent: list[tuple[LoadTable, int, int]], index: int
) -> None:
    """The words are refused for their order, at that descriptor."""
    dut = LoadChecker(config)

    async def testbench(ctx: object) -> None:
        for table, address, word in sent:
            ctx.set(dut.load_valid, 1)
            ctx.set(dut.load, {"table": table, "address": address, "data": word})
            await ctx.tick()
        ctx.set(dut.load_valid, 0)
        ctx.set(dut.check, 1)
        await ctx.tick()
        ctx.set(dut.check, 0)
        while not ctx.get(dut.accepted) | ctx.get(dut.refused):
            await ctx.tick()
        assert ctx.get(dut.refused)
        assert (ctx.get(dut.fault), ctx.get(dut.index)) == (LoadFault.ORDER, index)

    simulate_block(dut, testbench)


def chain(n: int, *, forward: bool) -> PackedProgram:
    """``n`` nano-operations of an operation each, in a row along the descriptors or against them."""
    step = -1 if forward else 1
    descriptors = [
        Descriptor(
            chunks=1,
            operation=index,
            unit=0,
            shares=(0,),
            predecessors=(PredecessorField(operation=index + step, layer_offset=0, start=False, all=True),)
            if 0 <= index + step < n
            else (),
        )
        for index in range(n)
    ]
    config = SchedulerConfig(n_descriptors=n, n_operations=n, n_chunks=1)
    return PackedProgram(
        config=config, descriptors=tuple(descriptors), operation_chunks=(1,) * n, count=1, capacities=(0,)
    )


@pytest.mark.parametrize("forward", [True, False])
def test_a_chain_takes_one_sweep_or_one_a_nano_operation(simulate_block: Callable[..., None], *, forward: bool) -> None:
    program = chain(8, forward=forward)
    run(simulate_block, program.config, [program])
    one_sweep = 32 + 8 * 3 + 8 * 2 + 8 * 6 + 8 * 7 + 1 + 1
    assert (check_clocks(program).clocks == one_sweep) == forward


def test_the_clocks_of_a_published_pipeline(simulate_block: Callable[..., None]) -> None:
    config = SchedulerConfig()
    packed = pack_program(load_program("llama2_70b_2048"), config)
    run(simulate_block, config, [packed, replace(packed, count=0)])
    assert check_clocks(packed).clocks == 530


def test_a_pulse_while_busy_changes_nothing(simulate_block: Callable[..., None]) -> None:
    program = chain(8, forward=True)
    dut = LoadChecker(program.config)

    async def testbench(ctx: object) -> None:
        for table, address, word in words(program):
            ctx.set(dut.load_valid, 1)
            ctx.set(dut.load, {"table": table, "address": address, "data": word})
            await ctx.tick()
        ctx.set(dut.load_valid, 0)
        ctx.set(dut.check, 1)
        for _ in range(check_clocks(program).clocks):
            assert not ctx.get(dut.accepted)
            await ctx.tick()
        assert ctx.get(dut.accepted)

    simulate_block(dut, testbench)
