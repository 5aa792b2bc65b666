  // Address and data together, data first and address first take turns, and so do answers taken at once and late.
  task write(input [11:0] address, input [31:0] value, input [3:0] bytes);
    begin
      writes = writes + 1;
      @(posedge turn);
      awaddr = address;
      wdata = value;
      wstrb = bytes;
      awvalid = writes % 3 != 1;
      wvalid = writes % 3 != 2;
      bready = writes % 4 == 0;
      write_open = 1'b1;
      take_write;
      @(posedge look);
      while (bvalid !== 1'b1) @(posedge look);
      if (~bready) begin
        repeat (writes % 4) @(posedge turn);
        bready = 1'b1;
        @(posedge look);
      end
      answer = bresp;
      @(posedge turn);
      bready = 1'b0;
      write_open = 1'b0;
    end
  endtask

  task take_write;
    begin
      address_taken = 1'b0;
      value_taken = 1'b0;
      while (~(address_taken & value_taken)) begin
        @(posedge look);
        if (awvalid & awready) address_taken = 1'b1;
        if (wvalid & wready) value_taken = 1'b1;
        @(posedge turn);
        if (address_taken) awvalid = 1'b0;
        if (value_taken) wvalid = 1'b0;
        if (~(address_taken & value_taken) & ~awvalid & ~wvalid) begin
          repeat (2) @(posedge turn);
          awvalid = ~address_taken;
          wvalid = ~value_taken;
        end
      end
    end
  endtask

  task read(input [11:0] address);
    begin
      reads = reads + 1;
      @(posedge turn);
      araddr = address;
      arvalid = 1'b1;
      rready = reads % 3 == 0;
      read_open = 1'b1;
      take_address;
      arvalid = 1'b0;
      @(posedge look);
      while (rvalid !== 1'b1) @(posedge look);
      if (~rready) begin
        repeat (reads % 3) @(posedge turn);
        rready = 1'b1;
        @(posedge look);
      end
      word = rdata;
      answer = rresp;
      @(posedge turn);
      rready = 1'b0;
      read_open = 1'b0;
    end
  endtask

  task take_address;
    begin
      @(posedge look);
      while (arready !== 1'b1) @(posedge look);
      @(posedge turn);
    end
  endtask

  task expect_answer(input [1:0] response, input [11:0] address);
    if (answer !== response) begin
      $display("the answer at %h is %b, not %b", address, answer, response);
      fail(10, {20'b0, address});
    end
  endtask

  task expect_register(input [11:0] address, input [31:0] value);
    begin
      read(address);
      expect_answer(OKAY, address);
      if (word !== value) begin
        $display("register %h is %h, not %h", address, word, value);
        fail(11, {20'b0, address});
      end
    end
  endtask

  task set_register(input [11:0] address, input [31:0] value);
    begin
      write(address, value, 4'hf);
      expect_answer(OKAY, address);
    end
  endtask

  task expect_irq(input value, input integer place);
    begin
      repeat (3) @(posedge look);
      if (irq !== value) fail(12, place);
    end
  endtask

  // Nothing is offered from the first clock of a reset on, and behind it every register has its first value.
  task reset_build;
    begin
      @(posedge turn);
      rst = 1'b1;
      {loads_allowed, points_allowed} = 64'b0;
      @(posedge look);
      repeat (4) begin
        @(posedge look);
        if ({bvalid, rvalid, result_valid, irq@OUTSIDE_VALIDS@} !== 0) fail(13, 0);
      end
      @(posedge turn);
      rst = 1'b0;
      hold = 1'b0;
      expect_first_values;
    end
  endtask

  task expect_first_values;
    for (index = 0; index < REGISTERS; index = index + 1)
      expect_register(registers[index][75:64], registers[index][63:32]);
  endtask

  task finish_test;
    if (errors == 0) begin
      $display("PASS @TOP@_smoke: %0d results, %0d clocks in the run without pauses, %0d in all", compared,
               last_clock - first_clock + 1, clocks);
      $finish;
    end else begin
      $display("FAIL @TOP@_smoke: %0d errors, %0d results, clock %0d", errors, compared, clocks);
`ifdef __ICARUS__
      $finish_and_return(1);
`else
      $stop;
`endif
    end
  endtask
