"""Measurements by open FPGA tools: cells, routed clocks, bitstreams."""
