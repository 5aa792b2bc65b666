// Sign extension as casts and shifts: the same values as Verilator's own functions, whose negated masks no compiler
// takes for a sign extension. Bytes and half-words become widening vector loads and narrow products.
#pragma once

#include "verilated.h"

static inline IData ngpc_extend(int bits, IData value) {
    if (bits == 8) return static_cast<IData>(static_cast<int8_t>(value));
    if (bits == 16) return static_cast<IData>(static_cast<int16_t>(value));
    return static_cast<IData>(static_cast<int32_t>(value << (32 - bits)) >> (32 - bits));
}
static inline QData ngpc_extend_q(int bits, QData value) {
    return static_cast<QData>(static_cast<int64_t>(value << (64 - bits)) >> (64 - bits));
}

#define VL_EXTENDS_II(to, bits, value) ngpc_extend(bits, value)
#define VL_EXTENDS_QI(to, bits, value) ngpc_extend_q(bits, value)
#define VL_EXTENDS_QQ(to, bits, value) ngpc_extend_q(bits, value)
#define VL_MULS_III(bits, left, right) (ngpc_extend(bits, left) * ngpc_extend(bits, right))
#define VL_MULS_QQQ(bits, left, right) (ngpc_extend_q(bits, left) * ngpc_extend_q(bits, right))
