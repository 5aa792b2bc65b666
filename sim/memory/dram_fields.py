"""Numbers and array columns that the loop of the DRAM model and those who call it share.

The compiler's cache does not see changes here: touch ``dram_kernel.py`` after one.
"""

__all__ = [
    "ACT", "ACT_MAKES", "AGE", "ALL", "BANK_LEVEL", "BEFORE_HIT", "BIG", "BYPASS", "COLUMN", "COLUMN_KEY",
    "COMMANDS", "CONFLICT", "COUNTS_AS", "CURSOR", "DUE", "ENTER", "FAW", "FAW_NEXT", "GATE_ACT", "GATE_COLUMN",
    "GATE_PRE", "GROUP_LEVEL", "HEAD", "HIT", "KEY_SHIFT", "LAST", "LATENCY", "LOW", "MISS", "MODE", "NEVER", "NONE",
    "N_BANK_FIELDS", "N_COMMANDS", "N_FREE", "N_PC_FIELDS", "N_REFRESHES", "N_SLOT_FIELDS", "N_SUMS", "N_TODO",
    "N_TURNS", "OPEN", "PC_LEVEL", "PRE", "RD", "REF", "REFRESH", "REFRESHED", "REFRESHING", "ROW", "ROW_KEY",
    "STALE_COLUMN", "STALE_ROW", "S_AGE", "S_ENTERED", "S_NEXT", "S_REQUEST", "S_ROW", "TAIL", "TFAW", "TO_END", "WR",
]  # fmt: skip

ACT, PRE, RD, WR, REF = range(5)
COMMANDS = ("ACT", "PRE", "RD", "WR", "REF")
"""Commands by number; REF is a per-bank refresh, or an all-bank refresh whose bank is ``ALL``."""

KEY_SHIFT = 26  # a key is tick << 26 | age << 6 | bank
BIG = 1 << 35  # beyond any tick; twice of it still fits a key
NEVER = 1 << 62
ALL = -2
NONE = -1
AGE = (1 << 20) - 1

# ``bank[p, field, b]``: 0 to 4 are the earliest ticks of the five commands, by rules of the bank and its group
GATE_ACT, GATE_PRE, GATE_COLUMN = 5, 6, 7
LOW = 8  # age << 6 | bank of the request it works for
OPEN = 9  # row, -1 if closed
COUNTS_AS = 10  # what the next column command is: 0 hit, 1 miss, 2 conflict
ACT_MAKES = 11  # what the next ACT makes of it
BYPASS = 12  # hits that overtook the oldest request
HIT, BEFORE_HIT = 13, 14  # slot of the chosen hit, and the one before it
HEAD, TAIL = 15, 17  # of the lists of waiting reads and, one further, of waiting writes
N_BANK_FIELDS = 19

# ``pc[p, field]``: 0 to 4 are the earliest ticks of the five commands, by rules of the pseudo-channel
MODE = 5  # 0 reading, 1 writing
ROW_KEY, COLUMN_KEY, STALE_ROW = 6, 7, 8
ENTER = 9  # whether requests may be waiting to enter
N_TODO = 10
REFRESHING, DUE, REFRESHED = 11, 12, 13  # bank about to be refreshed; tick; a bit per bank of this round
CURSOR = 14  # next request to enter
N_FREE = 15  # free slots of reads and, one further, of writes
FAW, FAW_NEXT = 17, 21
STALE_COLUMN = 22
N_PC_FIELDS = 23

# ``slot[s, field]``
S_ROW, S_AGE, S_ENTERED, S_REQUEST, S_NEXT = range(5)
N_SLOT_FIELDS = 5

LATENCY, LAST, N_COMMANDS, N_REFRESHES, N_TURNS = range(3, 8)
"""Sums of a run; 0 to 2 are hits, misses and conflicts."""
N_SUMS = 8

COLUMN, ROW, REFRESH = range(3)
MISS, CONFLICT = 1, 2
BANK_LEVEL, GROUP_LEVEL, PC_LEVEL = range(3)
TFAW, TO_END = 5, 6
