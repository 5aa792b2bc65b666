  function [31:0] pattern(input integer number, input invert);
    pattern = (32'h9e3779b1 * (number + 1)) ^ {32{invert}};
  endfunction

  // Every bit that holds what is written as 0 and as 1, each register with a value of its own; then the bus alone.
  task try_registers;
    begin
      for (round = 0; round < 2; round = round + 1) begin
        for (index = 0; index < REGISTERS; index = index + 1)
          if (registers[index][31:0] != 0)
            set_register(registers[index][75:64], pattern(index, round != 0) & registers[index][31:0]);
        for (index = 0; index < REGISTERS; index = index + 1)
          if (registers[index][31:0] != 0)
            expect_register(registers[index][75:64], pattern(index, round != 0) & registers[index][31:0]);
      end
      for (index = 0; index < REGISTERS; index = index + 1)
        if (registers[index][31:0] != 0) set_register(registers[index][75:64], registers[index][63:32]);

      // single bytes
      for (index = 0; index < 4; index = index + 1) begin
        wanted = 32'h3c5a96e7 & ~(32'hffffff00 << 8 * index);
        write(SCRATCH_ADDRESS, 32'h3c5a96e7, 4'b1 << index);
        expect_register(SCRATCH_ADDRESS, wanted);
      end
      write(SCRATCH_ADDRESS, 32'h0, 4'b0);
      expect_register(SCRATCH_ADDRESS, 32'h3c5a96e7);

      // no register there: every register's address with one more of the upper bits; a register that is read-only
      for (index = 0; index < REGISTERS; index = index + 1)
        for (round = 8; round < 12; round = round + 1) begin
          expect_hole(registers[index][75:64] | (12'h1 << round));
          if (registers[index][31:0] != 0) begin
            write(registers[index][75:64] | (12'h1 << round), 32'hffffffff, 4'hf);
            expect_answer(SLVERR, registers[index][75:64] | (12'h1 << round));
          end
        end
      expect_hole(HOLE_ADDRESS);
      write(ID_ADDRESS, 32'h0, 4'hf);
      expect_answer(SLVERR, ID_ADDRESS);
      expect_register(ID_ADDRESS, registers[0][63:32]);
      expect_register(SCRATCH_ADDRESS, 32'h3c5a96e7);
      set_register(SCRATCH_ADDRESS, 32'h0);
      expect_first_values;
      overlap_accesses;
@START@
    end
  endtask

  task expect_hole(input [11:0] address);
    begin
      read(address);
      expect_answer(SLVERR, address);
      if (word !== 32'h0) fail(14, {20'b0, address});
    end
  endtask

  // A second access is taken while the answer to the first one waits, and reads go beside writes.
  task overlap_accesses;
    begin
      @(posedge turn);
      {awaddr, wdata, wstrb, araddr} = {SCRATCH_ADDRESS, 32'h71c2d4b8, 4'hf, ID_ADDRESS};
      {write_open, read_open} = 2'b11;
      for (round = 0; round < 2; round = round + 1) begin
        {awvalid, wvalid, arvalid} = 3'b111;
        while (awvalid | wvalid | arvalid) begin
          @(posedge look);
          {address_taken, value_taken, read_taken} = {awready, wready, arready};
          @(posedge turn);
          {awvalid, wvalid, arvalid} = {awvalid, wvalid, arvalid} & ~{address_taken, value_taken, read_taken};
        end
        {awaddr, araddr} = {ID_ADDRESS, HOLE_ADDRESS};
      end
      repeat (3) @(posedge turn);
      {bready, rready} = 2'b11;
      @(posedge look);
      if ({bvalid, bresp, rvalid, rresp, rdata} !== {1'b1, OKAY, 1'b1, OKAY, registers[0][63:32]}) fail(15, 0);
      @(posedge look);
      if ({bvalid, bresp, rvalid, rresp, rdata} !== {1'b1, SLVERR, 1'b1, SLVERR, 32'h0}) fail(15, 1);
      @(posedge turn);
      {bready, rready, write_open, read_open} = 4'b0;
      expect_register(SCRATCH_ADDRESS, 32'h71c2d4b8);
    end
  endtask

  // The field, one load word of it with a wrong TKEEP; then runs of which the host hears by interrupts.
  task run_with_pauses;
    begin
      expect_register(STATUS_ADDRESS, 32'h0);
      loads_allowed = LOADS;
      while (loads_sent != LOADS) @(posedge turn);
      expect_register(IRQ_STATUS_ADDRESS, KEEP_ERROR);
      expect_irq(1'b0, 1);
      set_register(IRQ_ENABLE_ADDRESS, KEEP_ERROR);
      expect_irq(1'b1, 2);
      set_register(IRQ_ENABLE_ADDRESS, RUN_DONE);
      expect_irq(1'b0, 3);
      set_register(SCRATCH_ADDRESS, 32'hffffffff);
      set_register(IRQ_STATUS_ADDRESS, ~KEEP_ERROR);
      write(IRQ_STATUS_ADDRESS, 32'hffffffff, 4'he);
      expect_register(IRQ_STATUS_ADDRESS, KEEP_ERROR);
      set_register(IRQ_STATUS_ADDRESS, KEEP_ERROR);
      expect_register(IRQ_STATUS_ADDRESS, 32'h0);
      set_register(IRQ_ENABLE_ADDRESS, 32'h0);

      points_allowed = HELD_FIRST;
      while (results_taken != HELD_FIRST) @(posedge turn);
      expect_register(IRQ_STATUS_ADDRESS, RUN_DONE);
      expect_irq(1'b0, 4);
      set_register(IRQ_ENABLE_ADDRESS, RUN_DONE);
      expect_irq(1'b1, 5);
      set_register(IRQ_STATUS_ADDRESS, ~RUN_DONE);
      expect_register(IRQ_STATUS_ADDRESS, RUN_DONE);
      set_register(IRQ_ENABLE_ADDRESS, ~RUN_DONE);
      expect_irq(1'b0, 6);
      set_register(IRQ_ENABLE_ADDRESS, RUN_DONE);
      set_register(IRQ_STATUS_ADDRESS, RUN_DONE);
      expect_irq(1'b0, 7);
      expect_register(IRQ_STATUS_ADDRESS, 32'h0);

      expect_register(POINTS_ADDRESS, 32'h0);
      expect_register(RESULTS_ADDRESS, 32'h0);
      set_register(CONTROL_ADDRESS, 32'h1);
      expect_register(POINTS_ADDRESS, HELD_COUNT);
      expect_register(RESULTS_ADDRESS, HELD_COUNT);
    end
  endtask

  // Results are offered to a sink that is not ready, and taken one by one; the last one's event meets a clearing write.
  task hold_results;
    begin
      hold = 1'b1;
      points_allowed = TIMED_FIRST;
      await_result;
      repeat (10) @(posedge turn);
      expect_register(STATUS_ADDRESS, 32'h1);
      await_result;
      while (result_last !== 1'b1) begin
        @(posedge turn);
        take = 1'b1;
        @(posedge turn);
        take = 1'b0;
        await_result;
      end
      expect_register(IRQ_STATUS_ADDRESS, 32'h0);
      @(posedge turn);
      {awaddr, wdata, wstrb, awvalid, wvalid} = {IRQ_STATUS_ADDRESS, RUN_DONE, 4'hf, 2'b11};
      {bready, write_open} = 2'b11;
      @(posedge look);
      if ({awready, wready, result_valid} !== 3'b111) fail(16, 0);
      @(posedge turn);
      {awvalid, wvalid} = 2'b0;
      take = 1'b1;  // the register changes in the clock behind the transfer of address and data
      @(posedge turn);
      take = 1'b0;
      @(posedge look);
      @(posedge turn);
      {bready, write_open} = 2'b0;
      expect_irq(1'b1, 8);
      expect_register(IRQ_STATUS_ADDRESS, RUN_DONE);
      set_register(IRQ_STATUS_ADDRESS, RUN_DONE);
      expect_register(IRQ_STATUS_ADDRESS, 32'h0);
      expect_register(STATUS_ADDRESS, 32'h0);
    end
  endtask

  task await_result;
    begin
      @(posedge look);
      while (result_valid !== 1'b1) @(posedge look);
    end
  endtask

  // The same short run and the long one, a point of it with a wrong TKEEP. The sink takes nothing, and the watchdog is
  // too short, so that a processor fails; then comes the reset, with results on offer and points in every stage.
  task break_a_run;
    begin
      points_sent = HELD_FIRST;
      results_taken = HELD_FIRST;
      points_allowed = POINTS;
      await_result;
      while (points_sent < TIMED_FIRST + BATCH) @(posedge turn);
      repeat (20) @(posedge turn);
      expect_register(STATUS_ADDRESS, 32'h1);
      expect_register(FAILED_ADDRESS, 32'h0);
      expect_register(IRQ_STATUS_ADDRESS, KEEP_ERROR);
      expect_irq(1'b0, 9);
      set_register(IRQ_ENABLE_ADDRESS, NFP_FAILED);
      expect_irq(1'b0, 10);
      set_register(WATCHDOG_ADDRESS, 32'h1);
      repeat (20) @(posedge turn);
      expect_register(IRQ_STATUS_ADDRESS, KEEP_ERROR | NFP_FAILED);
      expect_irq(1'b1, 11);
      read(FAILED_ADDRESS);
      if (word === 32'h0) fail(17, 0);
      if (result_valid !== 1'b1) fail(18, 0);
    end
  endtask

  task run_without_pauses;
    begin
      {pauses, keep_wrong} = 2'b0;
      loads_sent = 0;
      loads_allowed = LOADS;
      while (loads_sent != LOADS) @(posedge turn);
      repeat (PRIMED) @(posedge turn);
      expect_register(STATUS_ADDRESS, 32'h0);
      points_sent = TIMED_FIRST;
      results_taken = TIMED_FIRST;
      points_allowed = POINTS;
      repeat (20) @(posedge turn);
      expect_register(STATUS_ADDRESS, 32'h1);
      while (results_taken != POINTS) @(posedge turn);
      repeat (100) @(posedge turn);
      if (last_clock - first_clock + 1 != TIMED_CLOCKS) begin
        $display("the run took %0d clocks, not %0d", last_clock - first_clock + 1, TIMED_CLOCKS);
        fail(19, 0);
      end
      expect_register(RESULTS_ADDRESS, 32'h0);
      set_register(CONTROL_ADDRESS, 32'h1);
      expect_register(POINTS_ADDRESS, TIMED_COUNT);
      expect_register(RESULTS_ADDRESS, TIMED_COUNT);
@COUNTERS@
      expect_register(STATUS_ADDRESS, 32'h0);
      expect_register(FAILED_ADDRESS, 32'h0);
      expect_register(IRQ_STATUS_ADDRESS, RUN_DONE);
      expect_irq(1'b0, 12);
    end
  endtask
