"""Numbers and places that the loop of the DRAM model and those who call it share.

The state of the channels that are run in turn is one vector of int32, ``words``, so that a place in it is a sum:
pseudo-channel ``p``, counted over all of them, has its words from ``p * P_WORDS`` on, what is kept per bank takes 64
words a field, and a slot of a window is named by where it lies.

The compiler's cache does not see changes here: touch ``dram_kernel.py`` after one.
"""

__all__ = [
    "ACT", "ACT_MAKES", "AGE", "ALL", "BANK_LEVEL", "BANK_TIMES", "BEFORE_HIT", "BEST", "BIG", "BYPASS", "CHANNEL",
    "COLUMN_BUS", "COLUMN_KEY", "COMMANDS", "CONFLICT", "COUNTS_AS", "CURSOR", "DUE", "FAW", "FAW_NEXT", "FIRST",
    "FREE", "GROUP_LEVEL", "GROUP_TIMES", "GROUP_WAIT", "HEAD", "HIT", "IN_TURN", "LAST", "LATENCY", "LATENCY_SUM",
    "LIMIT", "LOW", "MISS", "MODE", "NEVER", "NONE", "NOW", "N_COMMANDS", "N_FREE", "N_REFRESHES", "N_SUMS",
    "N_TURNS", "N_WORDS", "OFFSET", "OPEN", "PC_LEVEL", "PC_TIMES", "PC_WORDS", "PRE", "P_WORDS", "RD", "REF",
    "REFRESHED", "REFRESHING", "REFRESH_DUE", "REMAINING", "REQUEST_SUM", "ROW_BUS", "ROW_KEY", "SEEN", "SERVED",
    "SERVED_SHIFT", "SLOTS", "STOP", "S_LOW", "S_NEXT", "S_REQUEST", "S_ROW", "TAIL", "TFAW", "TO_ACT", "TO_COLUMN",
    "TO_END", "TO_PRE", "UNDECIDED", "WAITS_UNTIL", "WR",
]  # fmt: skip

ACT, PRE, RD, WR, REF = range(5)
COMMANDS = ("ACT", "PRE", "RD", "WR", "REF")
"""Commands by number; REF is a per-bank refresh, or an all-bank refresh whose bank is ``ALL``."""

BIG = 1 << 30  # a tick that never comes; real ones stay below half of it
NEVER = 1 << 62
ALL = -2
NONE = -1
AGE = (1 << 20) - 1

IN_TURN = 2
"""Channels that are run in turn, a command each."""

P_WORDS = 34064
"""Words of a pseudo-channel: a multiple of a cache line's 16, and such that what all use most falls into different sets
of a cache."""

# Per bank, at ``field + b``
OPEN = 0 << 6  # row, -1 if closed
BYPASS = 1 << 6  # hits that overtook the oldest request
COUNTS_AS = 2 << 6  # what the next column command is: 0 hit, 1 miss, 2 conflict
ACT_MAKES = 3 << 6  # what the next ACT makes of it
HEAD, TAIL = (
    4 << 6,
    6 << 6,
)  # of the lists of waiting reads and, one field further, of waiting writes: slots, 0 if empty
HIT, BEFORE_HIT = 8 << 6, 9 << 6  # the chosen hit, and the one before it
TO_ACT, TO_PRE, TO_COLUMN = (
    10 << 6,
    11 << 6,
    12 << 6,
)  # what it wants: the tick from which bank and group allow it, or BIG
LOW = 13 << 6  # age << 7 | bank << 1 of the request it works for

# Earliest ticks by rules of a bank, of a group, of the pseudo-channel: eight words each, one a command
BANK_TIMES, GROUP_TIMES, PC_TIMES = 1280, 1792, 1856
FREE = 1920  # stack of free slots of reads and, 1024 further, of writes
SLOTS = 4480  # of both windows, four words each
S_ROW, S_LOW, S_REQUEST, S_NEXT = range(4)
SEEN = 1 << 14  # per kind, bank and row modulo 32: waiting requests

# Behind all pseudo-channels
LATENCY = 2 * IN_TURN * P_WORDS + 160  # eight words a command and level: ticks it puts off each command
BANK_LEVEL, GROUP_LEVEL, PC_LEVEL = range(3)
GROUP_WAIT = LATENCY + 128  # 64 words a command and group: ticks it puts off the same command in each bank
N_WORDS = GROUP_WAIT + (5 << 9) + 64

# ``pc[p << 5 | field]``
MODE = 0  # 0 reading, 1 writing
UNDECIDED = 1  # a bit per bank that must decide anew
REFRESHING, DUE, REFRESHED = 3, 4, 5  # bank about to be refreshed; tick; a bit per bank of this round
CURSOR, STOP, FIRST = 6, 7, 8  # next request to enter, first of the next pseudo-channel, its own first
WAITS_UNTIL = 9  # tick of the arrival it waits for
N_FREE = 10  # free slots of reads and, one further, of writes
FAW, FAW_NEXT = 12, 20  # ticks of four ACT, and four places for what is none; which of the ACT is the oldest
SERVED, SERVED_SHIFT = 24, 2  # RD issued for hits, misses and conflicts; WR, four further

# Behind all pseudo-channels, two words each: keys of the first column and the first row command. A vector is made of
# them; far apart, they are not read at once, which would have to wait until all of them are in the cache.
COLUMN_KEY = 2 * IN_TURN << 5
ROW_KEY = COLUMN_KEY + 4 * IN_TURN
PC_WORDS = ROW_KEY + 4 * IN_TURN

# ``state[c << 4 | field]``: its number; requests left; tick, and what is added to it; ticks from which its buses are
# free; tick of the next arrival or refresh; whether a refresh is due; its next command
CHANNEL, REMAINING, NOW, OFFSET, COLUMN_BUS, ROW_BUS, LIMIT, REFRESH_DUE, BEST = range(9)

LATENCY_SUM, LAST, N_COMMANDS, N_REFRESHES, N_TURNS, REQUEST_SUM = range(6)
"""Sums of a run: ticks of latency; end of the last data; commands, refreshes, turnarounds; the numbers of the requests
served, since their count alone would not show one that was served in another's stead."""
N_SUMS = 6

MISS, CONFLICT = 1, 2
TFAW, TO_END = 5, 6
