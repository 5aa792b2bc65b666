// Runs a Verilator model in blocks of cycles: streams are fed from and collected into arrays, so Python acts once a
// block, not once a cycle. ports.h, generated beside the model, lists the top module's streams.
//
// One cycle: drive valid/payload/ready, settle with clk low, note transfers (valid and ready both high), rise clk.
// A stalled source holds valid and payload until the transfer, as the stream rules ask.

#include <cstdint>
#include <memory>

#include "Vtop.h"
#include "ports.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

template <typename T> void write_port(T& port, const uint32_t* words) {
    port = static_cast<T>(words[0]);
    if constexpr (sizeof(T) == 8) port |= static_cast<T>(words[1]) << 32;
}
template <std::size_t N> void write_port(VlWide<N>& port, const uint32_t* words) {
    for (std::size_t i = 0; i < N; ++i) port[i] = words[i];
}
template <typename T> void read_port(const T& port, uint32_t* words) {
    words[0] = static_cast<uint32_t>(port);
    if constexpr (sizeof(T) == 8) words[1] = static_cast<uint32_t>(port >> 32);
}
template <std::size_t N> void read_port(const VlWide<N>& port, uint32_t* words) {
    for (std::size_t i = 0; i < N; ++i) words[i] = port[i];
}

struct Simulation {
    VerilatedContext context;
    std::unique_ptr<Vtop> top;
    uint64_t cycle = 0;
    uint64_t random = 1;
#if VM_TRACE
    std::unique_ptr<VerilatedVcdC> trace;
#endif

    Simulation() {
        context.traceEverOn(true);
        top = std::make_unique<Vtop>(&context);
    }
    void settle() {
        top->clk = 0;
        top->eval();
        dump();
    }
    void rise() {
        top->clk = 1;
        top->eval();
        dump();
        ++cycle;
    }
    void dump() {
        context.timeInc(1);
#if VM_TRACE
        if (trace) trace->dump(context.time());
#endif
    }
    // True with probability threshold / 2^32 (xorshift64*).
    bool chance(uint32_t threshold) {
        if (threshold == 0) return false;
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        return static_cast<uint32_t>((random * 0x2545F4914F6CDD1DULL) >> 32) < threshold;
    }
};

struct Source {
    const uint32_t* words;  // count x words-per-payload
    uint64_t count;
    uint64_t* clocks;  // clock of every transfer, or null
    uint64_t position;
    uint32_t offering;
    uint32_t padding;
};

struct Sink {
    uint32_t* words;
    uint64_t count;
    uint64_t* clocks;
    uint64_t position;
    uint32_t ready;
    uint32_t padding;
};

}  // namespace

extern "C" {

Simulation* ngpc_open(const char* waves) {
    auto* simulation = new Simulation;
#if VM_TRACE
    if (waves && *waves) {
        simulation->trace = std::make_unique<VerilatedVcdC>();
        simulation->top->trace(simulation->trace.get(), 99);
        simulation->trace->open(waves);
    }
#else
    (void)waves;
#endif
    simulation->top->rst = 1;
    for (int i = 0; i < 2; ++i) {
        simulation->settle();
        simulation->rise();
    }
    simulation->top->rst = 0;
    simulation->cycle = 0;
    return simulation;
}

void ngpc_close(Simulation* simulation) {
#if VM_TRACE
    if (simulation->trace) simulation->trace->close();
#endif
    simulation->top->final();
    delete simulation;
}

void ngpc_seed(Simulation* simulation, uint64_t seed) { simulation->random = seed * 2 + 1; }

// Reads a plain output into words, as the last rising edge left it.
void ngpc_probe(Simulation* simulation, uint64_t index, uint32_t* words) {
    simulation->top->clk = 0;
    simulation->top->eval();
    switch (index) {
#define PROBE(index, name, size) \
    case index: read_port(simulation->top->name, words); break;
        NGPC_PROBES(PROBE)
#undef PROBE
        default: break;
    }
    (void)words;
}

uint64_t ngpc_cycle(const Simulation* simulation) { return simulation->cycle; }

// Runs until every source is empty and every sink full, or for max_cycles. Returns the cycles run.
uint64_t ngpc_run(Simulation* simulation, uint64_t max_cycles, Source* sources, Sink* sinks, uint32_t idle,
                  uint32_t backpressure) {
    Vtop* top = simulation->top.get();
    const uint64_t start = simulation->cycle;
    while (simulation->cycle - start < max_cycles) {
        bool busy = false;
#define DRIVE(index, name, size)                                                          \
    {                                                                                     \
        Source& source = sources[index];                                                  \
        if (!source.offering && source.position < source.count && !simulation->chance(idle)) { \
            source.offering = 1;                                                          \
            write_port(top->name##payload, source.words + source.position * (size)); \
        }                                                                                 \
        top->name##valid = source.offering;                                             \
        busy |= source.position < source.count;                                           \
    }
        NGPC_SOURCES(DRIVE)
#undef DRIVE
#define ACCEPT(index, name, size)                                                         \
    {                                                                                     \
        Sink& sink = sinks[index];                                                        \
        sink.ready = sink.position < sink.count && !simulation->chance(backpressure);     \
        top->name##ready = sink.ready;                                                  \
        busy |= sink.position < sink.count;                                               \
    }
        NGPC_SINKS(ACCEPT)
#undef ACCEPT
        if (!busy) break;
        simulation->settle();
#define SENT(index, name, size)                                                           \
    if (sources[index].offering && top->name##ready) {                                  \
        Source& source = sources[index];                                                  \
        if (source.clocks) source.clocks[source.position] = simulation->cycle;            \
        ++source.position;                                                                \
        source.offering = 0;                                                              \
    }
        NGPC_SOURCES(SENT)
#undef SENT
#define TAKEN(index, name, size)                                                          \
    if (sinks[index].ready && top->name##valid) {                                       \
        Sink& sink = sinks[index];                                                        \
        read_port(top->name##payload, sink.words + sink.position * (size));             \
        if (sink.clocks) sink.clocks[sink.position] = simulation->cycle;                  \
        ++sink.position;                                                                  \
    }
        NGPC_SINKS(TAKEN)
#undef TAKEN
        simulation->rise();
    }
    return simulation->cycle - start;
}

}  // extern "C"
