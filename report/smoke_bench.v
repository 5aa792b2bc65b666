// Smoke test of @TOP@. Plain Verilog-2005; needs no other tool than a simulator.
//
// It reads and writes every register, loads a small radiance field, sends points with pauses on every stream, compares
// each result bit for bit with the golden model's, resets the build in the middle of a run, and loads and runs again.
// The last run has no pauses: its clocks and counters must be those of the cycle model. Run it where load.hex,
// points.hex and results.hex lie.
//
// The verdict is a line that begins with PASS or FAIL; some simulators add lines of their own. After FAIL the simulator
// ends with a status that is not 0 (vvp, Verilator), or stands at $stop where it is interactive.
`timescale 1ns / 1ps

module @TOP@_smoke;
  localparam integer LOADS = @LOADS@;                 // load words
  localparam integer POINTS = @POINTS@;               // @POINTS_ARE@
  localparam integer POINT_BITS = @POINT_BITS@;       // of a point's TDATA
  localparam integer RESULT_BITS = @RESULT_BITS@;     // of a result's TDATA
  localparam integer HELD_FIRST = @HELD_FIRST@;       // first point of the short run whose results wait for the test
  localparam integer HELD_COUNT = @HELD_COUNT@;       // points before it
  localparam integer TIMED_FIRST = @TIMED_FIRST@;     // first point of the run without pauses
  localparam integer TIMED_COUNT = @TIMED_COUNT@;     // points of that run
  localparam integer TIMED_CLOCKS = @TIMED_CLOCKS@;   // from its transfer to that of the last result, both included
  localparam integer BATCH = @BATCH@;                 // transfers of its first nano-batch
  localparam integer PRIMED = @PRIMED@;               // clocks behind a field after which a run is as fast as any
  localparam integer LIMIT = @LIMIT@;                 // clocks after which the test has failed
  localparam integer REGISTERS = @REGISTERS@;
@CONSTANTS@
  reg clk, rst, drive, turn, look;
  integer clocks;
  integer errors;

  // Registers of the build: address, value behind a reset, bits that hold what is written.
  reg [75:0] registers [0:REGISTERS-1];
  initial begin
@REGISTER_TABLE@
  end

  // register bus
  reg  [11:0] awaddr, araddr;
  reg  [31:0] wdata;
  reg  [3:0]  wstrb;
  reg         awvalid, wvalid, bready, arvalid, rready;
  wire        awready, wready, bvalid, arready, rvalid;
  wire [1:0]  bresp, rresp;
  wire [31:0] rdata;
  reg  [31:0] word, wanted;
  reg  [1:0]  answer;
  reg         write_open, read_open, address_taken, value_taken, read_taken;
  integer     writes, reads, index, round;

  // streams: words in memory, how many may go, how many went
  reg  [127:0]         load_words [0:LOADS-1];
  reg  [POINT_BITS@ABOVE@:0]  point_words [0:POINTS-1];      // @IN_FRONT@ in front of TDATA
  reg  [RESULT_BITS@ABOVE@:0] result_words [0:POINTS-1];
  integer loads_sent, points_sent, results_taken, loads_allowed, points_allowed, compared;
  reg     load_valid, point_valid, sink_ready, load_moved, point_moved;
  reg     pauses, hold, take, keep_wrong;
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
  wire [15:0]             load_keep = {15'h7fff, ~(keep_wrong & (loads_sent == 0))};
  wire [POINT_BITS/8-1:0] point_keep = @POINT_KEEP@;
  wire [POINT_BITS/8-1:0] point_keep_wrong = {point_keep[POINT_BITS/8-1:1], 1'b0};
  wire result_ready = sink_ready | take;
@OUTSIDE_WIRES@
  @TOP@ dut (
    .clk(clk),
    .rst(rst),
    .irq(irq),
    .s_axil_awaddr(awaddr), .s_axil_awvalid(awvalid), .s_axil_awready(awready),
    .s_axil_wdata(wdata), .s_axil_wstrb(wstrb), .s_axil_wvalid(wvalid), .s_axil_wready(wready),
    .s_axil_bresp(bresp), .s_axil_bvalid(bvalid), .s_axil_bready(bready),
    .s_axil_araddr(araddr), .s_axil_arvalid(arvalid), .s_axil_arready(arready),
    .s_axil_rdata(rdata), .s_axil_rresp(rresp), .s_axil_rvalid(rvalid), .s_axil_rready(rready),
    .s_axis_load_tdata(load_now), .s_axis_load_tkeep(load_keep), .s_axis_load_tlast(1'b0),
    .s_axis_load_tvalid(load_valid), .s_axis_load_tready(load_ready),
    .s_axis_points_tdata(point_now[POINT_BITS-1:0]),
    .s_axis_points_tkeep(keep_wrong & (points_sent == TIMED_FIRST) ? point_keep_wrong : point_keep),
    .s_axis_points_tlast(point_now[POINT_BITS]),
    .s_axis_points_tvalid(point_valid), .s_axis_points_tready(point_ready),
@OUTSIDE@
    .m_axis_results_tdata(result_data), .m_axis_results_tkeep(result_keep), .m_axis_results_tlast(result_last),
    .m_axis_results_tuser(result_user), .m_axis_results_tvalid(result_valid), .m_axis_results_tready(result_ready)
  );

  // One clock is 10 ns. Inputs change far from its rising edge, and outputs are looked at when all is settled, so that
  // no simulator's order of events counts: streams change at "drive", the test acts at "turn", what the edge will see
  // is looked at at "look". "given" are the outputs as the edge before left them.
  wire [@OUTPUT_WIDTH@:0] outputs = {
    awready, wready, bvalid, bresp, arready, rvalid, rresp, rdata, load_ready, point_ready,
    result_valid, result_last, result_user, result_keep, result_data, irq@OUTSIDE_OUTPUTS@
  };
  reg  [@OUTPUT_WIDTH@:0] given;
  initial {clk, drive, turn, look} = 4'b0;
  always begin
    #1 turn = 1'b1;
    drive = 1'b0;
    #3 look = 1'b1;
    #1 clk = 1'b1;
    #2 given = outputs;
    {turn, look} = 2'b0;
    #3 clk = 1'b0;
    drive = 1'b1;
  end

  task fail(input integer code, input integer place);
    begin
      errors = errors + 1;
      if (errors <= 10) $display("error %0d at %0d, clock %0d", code, place, clocks);
    end
  endtask

  // sources and the sink
  always @(posedge drive) begin
    clocks = clocks + 1;
    noise = {1'b0, noise[15:1]} ^ (noise[0] ? 16'hb400 : 16'h0);
    if (load_moved) loads_sent = loads_sent + 1;
    if (point_moved) points_sent = points_sent + 1;
    if (rst) {load_valid, point_valid, sink_ready} = 3'b0;
    else begin
      if (~load_valid | load_moved) load_valid = (loads_sent < loads_allowed) & ~(pauses & noise[3]);
      if (~point_valid | point_moved) point_valid = (points_sent < points_allowed) & ~(pauses & noise[7]);
      sink_ready = ~hold & ~(pauses & noise[11]);
    end
  end

  reg b_waits, r_waits, result_waits;
  reg [2:0] b_before;
  reg [34:0] r_before;
  reg [@RESULT_WIDTH@:0] result_before;
  wire [@RESULT_WIDTH@:0] result_offer = {result_valid, result_last, result_user, result_keep, result_data};
  always @(posedge look) begin
    load_moved = load_valid & load_ready & ~rst;
    point_moved = point_valid & point_ready & ~rst;
    if (point_moved & (points_sent == TIMED_FIRST)) first_clock = clocks;

    // the rules of the buses, in every clock behind the first ones of the reset
    if (clocks > 2) begin
      if (outputs !== given) fail(1, 0);                                       // an input reaches an output in its clock
      if (b_waits && {bvalid, bresp} !== b_before) fail(2, 0);                 // an offer holds until it is taken
      if (r_waits && {rvalid, rresp, rdata} !== r_before) fail(3, 0);
      if (result_waits && result_offer !== result_before) fail(4, results_taken);
      if ((bvalid & ~write_open | rvalid & ~read_open) !== 1'b0) fail(5, 0);   // nobody asked
      if ({1'b0@OUTSIDE_VALIDS@} !== 0) fail(5, 1);                            // no program runs
    end
    b_waits = bvalid & ~bready & ~rst;
    b_before = {bvalid, bresp};
    r_waits = rvalid & ~rready & ~rst;
    r_before = {rvalid, rresp, rdata};
    result_waits = result_valid & ~result_ready & ~rst;
    result_before = result_offer;

    // every result against the golden model's
    if (result_valid & result_ready & ~rst) begin
      if (results_taken >= POINTS) fail(6, results_taken);
      else begin
        if (result_data !== result_now[RESULT_BITS-1:0]) fail(7, results_taken);
        if (result_last !== result_now[RESULT_BITS]) fail(8, results_taken);
        if ((|result_user) !== 1'b0 | @RESULT_KEEP@) fail(9, results_taken);
      end
      results_taken = results_taken + 1;
      compared = compared + 1;
      last_clock = clocks;
    end
  end

@TASKS@
@STEPS@
  initial begin
    $readmemh("load.hex", load_words);
    $readmemh("points.hex", point_words);
    $readmemh("results.hex", result_words);
    clocks = 0;
    errors = 0;
    compared = 0;
    writes = 0;
    reads = 0;
    noise = 16'h1;
    {loads_sent, points_sent, results_taken, loads_allowed, points_allowed, first_clock, last_clock} = 224'b0;
    {load_valid, point_valid, sink_ready, load_moved, point_moved, hold, take, write_open, read_open} = 9'b0;
    {pauses, keep_wrong} = 2'b11;
    {awvalid, wvalid, bready, arvalid, rready} = 5'b0;
    {awaddr, araddr, wdata, wstrb} = 60'b0;

    reset_build;
    try_registers;
    run_with_pauses;
    hold_results;
    break_a_run;
    reset_build;
    run_without_pauses;
    finish_test;
  end

  initial begin
    repeat (LIMIT) @(posedge look);
    fail(99, 0);
    finish_test;
  end
endmodule
