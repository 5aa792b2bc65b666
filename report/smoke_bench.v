// Smoke test of @TOP@. Plain Verilog-2005; needs no other tool than a simulator.
//
// It identifies the build by its registers, loads a small radiance field, sends points with pauses on every stream and
// compares each result bit for bit with the golden model's. The last run has no pauses: its clocks must be those of the
// cycle model. Run it where load.hex, points.hex and results.hex lie. The last line says PASS or FAIL.
`timescale 1ns / 1ps

module @TOP@_smoke;
  localparam integer LOADS = @LOADS@;                 // load words
  localparam integer POINTS = @POINTS@;               // @POINTS_ARE@
  localparam integer POINT_BITS = @POINT_BITS@;       // of a point's TDATA
  localparam integer RESULT_BITS = @RESULT_BITS@;     // of a result's TDATA
  localparam integer TIMED_FIRST = @TIMED_FIRST@;     // first point of the run without pauses
  localparam integer TIMED_CLOCKS = @TIMED_CLOCKS@;   // from its transfer to that of the last result, both included
  localparam integer LIMIT = @LIMIT@;                 // clocks after which the test has failed
@ADDRESSES@
  reg clk;
  reg rst;
  integer clocks;
  integer errors;

  // registers
  reg  [11:0] awaddr, araddr;
  reg  [31:0] wdata;
  reg         awvalid, wvalid, bready, arvalid, rready;
  wire        awready, wready, bvalid, arready, rvalid;
  wire [1:0]  bresp, rresp;
  wire [31:0] rdata;
  reg  [31:0] word;
  reg  [1:0]  answer;

  // streams: words in memory, how many may go, how many went
  reg  [127:0]         load_words [0:LOADS-1];
  reg  [POINT_BITS@ABOVE@:0]  point_words [0:POINTS-1];      // @IN_FRONT@ in front of TDATA
  reg  [RESULT_BITS@ABOVE@:0] result_words [0:POINTS-1];
  integer loads_sent, points_sent, results_taken, loads_allowed, points_allowed;
  reg     load_valid, point_valid, result_ready, pauses;
  wire    load_ready, point_ready, result_valid, result_last;
  wire    @USER_BITS@result_user;
  wire [RESULT_BITS-1:0]   result_data;
  wire [RESULT_BITS/8-1:0] result_keep;
  wire irq;
  integer first_clock, last_clock;
  reg [15:0] noise;

  wire [127:0]          load_now = load_words[loads_sent < LOADS ? loads_sent : 0];
  wire [POINT_BITS@ABOVE@:0]   point_now = point_words[points_sent < POINTS ? points_sent : 0];
  wire [RESULT_BITS@ABOVE@:0]  result_now = result_words[results_taken < POINTS ? results_taken : 0];

  @TOP@ dut (
    .clk(clk),
    .rst(rst),
    .irq(irq),
    .s_axil_awaddr(awaddr), .s_axil_awvalid(awvalid), .s_axil_awready(awready),
    .s_axil_wdata(wdata), .s_axil_wstrb(4'hf), .s_axil_wvalid(wvalid), .s_axil_wready(wready),
    .s_axil_bresp(bresp), .s_axil_bvalid(bvalid), .s_axil_bready(bready),
    .s_axil_araddr(araddr), .s_axil_arvalid(arvalid), .s_axil_arready(arready),
    .s_axil_rdata(rdata), .s_axil_rresp(rresp), .s_axil_rvalid(rvalid), .s_axil_rready(rready),
    .s_axis_load_tdata(load_now), .s_axis_load_tkeep(16'hffff), .s_axis_load_tlast(1'b0),
    .s_axis_load_tvalid(load_valid), .s_axis_load_tready(load_ready),
    .s_axis_points_tdata(point_now[POINT_BITS-1:0]), .s_axis_points_tkeep(@POINT_KEEP@),
    .s_axis_points_tlast(point_now[POINT_BITS]),
    .s_axis_points_tvalid(point_valid), .s_axis_points_tready(point_ready),
@OUTSIDE@
    .m_axis_results_tdata(result_data), .m_axis_results_tkeep(result_keep), .m_axis_results_tlast(result_last),
    .m_axis_results_tuser(result_user), .m_axis_results_tvalid(result_valid), .m_axis_results_tready(result_ready)
  );

  initial clk = 1'b0;
  always #5 clk = ~clk;

  task fail(input integer code, input integer place);
    begin
      errors = errors + 1;
      if (errors <= 10) $display("error %0d at %0d, clock %0d", code, place, clocks);
    end
  endtask

  // sources and the sink
  always @(posedge clk) begin
    clocks <= clocks + 1;
    noise <= {1'b0, noise[15:1]} ^ (noise[0] ? 16'hb400 : 16'h0);
    if (rst) begin
      loads_sent <= 0;
      points_sent <= 0;
      load_valid <= 1'b0;
      point_valid <= 1'b0;
      result_ready <= 1'b0;
    end else begin
      if (load_valid & load_ready) loads_sent <= loads_sent + 1;
      if (~load_valid | load_ready)
        load_valid <= loads_sent + ((load_valid & load_ready) ? 1 : 0) < loads_allowed & ~(pauses & noise[3]);
      if (point_valid & point_ready) points_sent <= points_sent + 1;
      if (~point_valid | point_ready)
        point_valid <= points_sent + ((point_valid & point_ready) ? 1 : 0) < points_allowed & ~(pauses & noise[7]);
      result_ready <= ~(pauses & noise[11]);
      if (point_valid & point_ready & (points_sent == TIMED_FIRST)) first_clock <= clocks;
    end
  end

  // every result against the golden model's
  always @(posedge clk) begin
    if (rst) begin
      results_taken <= 0;
    end else if (result_valid & result_ready) begin
      if (results_taken >= POINTS) fail(1, results_taken);
      else begin
        if (result_data !== result_now[RESULT_BITS-1:0]) fail(2, results_taken);
        if (result_last !== result_now[RESULT_BITS]) fail(3, results_taken);
        if (result_user !== 1'b0 | @RESULT_KEEP@) fail(4, results_taken);
      end
      results_taken <= results_taken + 1;
      last_clock <= clocks;
    end
  end

  /* verilator lint_off INITIALDLY */  // what the clocked blocks read changes with the clock
  task read(input [11:0] address);
    begin
      araddr <= address;
      arvalid <= 1'b1;
      rready <= 1'b1;
      @(posedge clk);
      while (~arready) @(posedge clk);
      arvalid <= 1'b0;
      while (~rvalid) @(posedge clk);
      word = rdata;
      answer = rresp;
      rready <= 1'b0;
    end
  endtask

  task write(input [11:0] address, input [31:0] value);
    reg address_taken, value_taken;
    begin
      awaddr <= address;
      wdata <= value;
      awvalid <= 1'b1;
      wvalid <= 1'b1;
      bready <= 1'b1;
      address_taken = 1'b0;
      value_taken = 1'b0;
      while (~(address_taken & value_taken)) begin
        @(posedge clk);
        if (awvalid & awready) begin address_taken = 1'b1; awvalid <= 1'b0; end
        if (wvalid & wready) begin value_taken = 1'b1; wvalid <= 1'b0; end
      end
      while (~bvalid) @(posedge clk);
      answer = bresp;
      bready <= 1'b0;
    end
  endtask

  task expect_register(input [11:0] address, input [31:0] value, input integer code);
    begin
      read(address);
      if (answer !== 2'b00 | word !== value) begin
        $display("register %h is %h, not %h", address, word, value);
        fail(code, 0);
      end
    end
  endtask

  task finish_test;
    begin
      if (errors == 0 & results_taken == POINTS)
        $display("PASS @TOP@_smoke: %0d results, %0d clocks in the run without pauses", results_taken,
                 last_clock - first_clock + 1);
      else
        $display("FAIL @TOP@_smoke: %0d errors, %0d of %0d results, clock %0d", errors, results_taken, POINTS, clocks);
      $finish;
    end
  endtask

  initial begin
    $readmemh("load.hex", load_words);
    $readmemh("points.hex", point_words);
    $readmemh("results.hex", result_words);
    clocks = 0;
    errors = 0;
    noise = 16'h1;
    pauses = 1'b1;
    loads_allowed = 0;
    points_allowed = 0;
    first_clock = 0;
    last_clock = 0;
    {awvalid, wvalid, bready, arvalid, rready} = 5'b0;
    {awaddr, araddr, wdata} = 56'b0;
    rst = 1'b1;
    repeat (4) @(posedge clk);
    rst <= 1'b0;
    @(posedge clk);

    // which build is it, and does it refuse what it must
    expect_register(ID_ADDRESS, ID, 10);
    expect_register(CONFIG_HASH_ADDRESS, CONFIG_HASH, 11);
    read(HOLE_ADDRESS);
    if (answer !== 2'b10) fail(12, 0);
    write(ID_ADDRESS, 32'h0);
    if (answer !== 2'b10) fail(13, 0);
    write(IRQ_ENABLE_ADDRESS, 32'h1);
    if (answer !== 2'b00) fail(14, 0);

    // the field, then runs with pauses
    loads_allowed <= LOADS;
    wait (loads_sent == LOADS);
    points_allowed <= TIMED_FIRST;
    wait (results_taken == TIMED_FIRST);
    repeat (4) @(posedge clk);
    if (irq !== 1'b1) fail(15, 0);
    write(IRQ_STATUS_ADDRESS, 32'h1);
    repeat (4) @(posedge clk);
    if (irq !== 1'b0) fail(16, 0);

    // a run without
    pauses <= 1'b0;
    repeat (4) @(posedge clk);
    points_allowed <= POINTS;
    wait (results_taken == POINTS);
    repeat (100) @(posedge clk);
    if (last_clock - first_clock + 1 != TIMED_CLOCKS) begin
      $display("the run took %0d clocks, not %0d", last_clock - first_clock + 1, TIMED_CLOCKS);
      fail(17, 0);
    end
    write(CONTROL_ADDRESS, 32'h1);
    expect_register(POINTS_ADDRESS, @COUNT@, 18);
    expect_register(RESULTS_ADDRESS, @COUNT@, 19);
    expect_register(STATUS_ADDRESS, 32'h0, 20);
    expect_register(FAILED_ADDRESS, 32'h0, 21);
    finish_test;
  end

  initial begin
    repeat (LIMIT) @(posedge clk);
    fail(99, 0);
    finish_test;
  end
endmodule
