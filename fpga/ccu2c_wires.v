// The carry cell of ECP5, two bits of it, for the LUT mapper: its delays to the inputs A and B hold a wire of 1 ns, for
// the mapper reckons with wires before LUTs only and would take a LUT before an adder for free. In ps: those of Yosys'
// model of the cell, and the wire.
(* abc9_box, lib_whitebox *)
module CCU2C (
    (* abc9_carry *) input CIN,
    input A0, B0, C0, D0, A1, B1, C1, D1,
    output S0, S1,
    (* abc9_carry *) output COUT
);
    parameter [15:0] INIT0 = 16'h0000;
    parameter [15:0] INIT1 = 16'h0000;
    parameter INJECT1_0 = "YES";
    parameter INJECT1_1 = "YES";

    // a bit passes its carry on where its function of four inputs is 1, and makes one where that of A and B is
    wire pass0 = INIT0[{D0, C0, B0, A0}];
    wire pass1 = INIT1[{D1, C1, B1, A1}];
    wire make0 = INIT0[{2'b00, B0, A0}];
    wire make1 = INIT1[{2'b00, B1, A1}];
    wire no_carry0 = INJECT1_0 == "YES";
    wire no_carry1 = INJECT1_1 == "YES";
    wire carry = pass0 ? CIN : make0 & ~no_carry0;
    assign S0 = pass0 ^ (CIN & ~no_carry0);
    assign S1 = pass1 ^ (carry & ~no_carry1);
    assign COUT = pass1 ? carry : make1 & ~no_carry1;

    specify
        (A0 => S0) = 1379;
        (B0 => S0) = 1379;
        (C0 => S0) = 275;
        (D0 => S0) = 141;
        (CIN => S0) = 257;
        (A0 => S1) = 1630;
        (B0 => S1) = 1630;
        (C0 => S1) = 526;
        (D0 => S1) = 392;
        (A1 => S1) = 1379;
        (B1 => S1) = 1379;
        (C1 => S1) = 275;
        (D1 => S1) = 141;
        (CIN => S1) = 273;
        (A0 => COUT) = 1516;
        (B0 => COUT) = 1516;
        (C0 => COUT) = 412;
        (D0 => COUT) = 278;
        (A1 => COUT) = 1516;
        (B1 => COUT) = 1516;
        (C1 => COUT) = 412;
        (D1 => COUT) = 278;
        (CIN => COUT) = 43;
    endspecify
endmodule
