// Where everything lies in the working memory that Python lends for one sequence.
#pragma once
#include "job.hpp"
#include "trace.hpp"

namespace {

constexpr idx MAX_LAYERS = 16, TILE = 8, PACK_ROWS = 32, COLUMNS = 128;
constexpr idx MOST_STEPS = 32;  // of a block

// A matrix in working layout: row i is what input i adds to all outputs, so that a spike reads one
// contiguous row. (The readout's gradient alone keeps PyTorch's layout; `transposed` is false.)
template <class T>
struct Slab {
    idx rows, cols, width;
    T *w, *g, *m, *v;
    const Matrix *from;
    bool transposed;
    Trace<T> trace;  // x̄ of each input in each row of a stream; of no rows: none
};

// Spikes as bits, a byte for each neuron and tile of ≤ 8 rows: [tile][slot][neuron].
struct Bits {
    uint8_t *p;
    idx neurons, slots;  // neurons padded to 8
    uint8_t *at(idx tile, idx slot) const { return p + (tile * slots + slot) * neurons; }
};

template <class T>
struct Part {  // a hidden layer; rows 0 … B−1 are samples, B … B+C−1 the target stream
    const Layer *layer;
    idx n, width;
    Slab<T> in, recurrent;
    T *u;             // (R, width) membranes
    T *z;             // (K + 1, R, width) traces, a ring over steps
    T *g;             // (K, R, width) σ', then g
    T *e;             // (K, B, capacity) E
    T *p;             // (K, most wanted, capacity) P
    int32_t *index;   // (R, n) neurons that spiked last
    int32_t *count;   // (R,)
    Bits samples, targets;
};

template <class T>
struct Scratch {  // a thread's own
    T *current, *delta, *dense, *value, *chunk, *fold;
    int32_t *index, *list;
};

template <class T>
struct Work {
    const Job *job;
    idx batch, rows, capacity, all, layers, classes, classes_width, inputs;
    idx block, slots;               // K, and K + 1
    idx tile, tiles, class_tile, class_tiles;
    bool learn, label_trained, fold;
    idx wanted, most_wanted;  // target rows that some sample has: P has no others
    int32_t *wanted_row;      // (most wanted,) which
    int32_t *place;           // (capacity,) a row's place among them
    Part<T> part[MAX_LAYERS];
    Slab<T> label, label_recurrent, readout, readout_grad;
    Bits events;
    uint8_t *plain;    // (tiles,) this block's events are all ones
    T *logits;         // (B, classes_width)
    int64_t *ends;     // (B,) the step at which a sample ends
    T *error;          // (K, B, classes_width) (softmax(m) − y) / B
    T *log_n;          // (K, capacity)
    T *cool;           // (K, layers) 1 / τ
    idx *running;      // (K,) samples that have not ended
    double *losses;    // (tiles, layers + 1)
    double *rates;     // (tiles, layers)
    int64_t *spikes;   // (tiles, layers)
    Scratch<T> *scratch;

    idx slot(idx t) const { return (t + slots) % slots; }  // t ≥ −1
    T *trace(idx l, idx t, idx row) const {
        return part[l].z + (slot(t) * all + row) * part[l].width;
    }
    T *grad(idx l, idx k, idx row) const { return part[l].g + (k * all + row) * part[l].width; }
    T *p(idx l, idx k, idx wanted_) const {
        return part[l].p + (k * most_wanted + wanted_) * capacity;
    }
    bool alive(idx b, idx t) const { return t < ends[b]; }
};

template <class T>
void find_wanted(Work<T> &w) {
    std::fill_n(w.place, w.rows, -1);
    w.wanted = 0;
    for (idx b = 0; b < w.batch; ++b) {
        int32_t &at = w.place[w.job->row[b]];
        if (at >= 0) continue;
        w.wanted_row[w.wanted] = static_cast<int32_t>(w.job->row[b]);
        at = static_cast<int32_t>(w.wanted++);
    }
}

// Hands out aligned pieces; with no memory behind it, it only counts.
struct Arena {
    char *base;
    size_t used = 0;
    template <class U>
    U *take(idx n) {
        used = (used + PAD_BYTES - 1) / PAD_BYTES * PAD_BYTES;
        U *piece = base ? reinterpret_cast<U *>(base + used) : nullptr;
        used += static_cast<size_t>(n) * sizeof(U);
        return piece;
    }
};

template <class T>
Slab<T> slab(
    Arena &arena, const Matrix &from, idx outputs, idx inputs, bool learn, idx traced = 0
) {
    Slab<T> s{inputs, outputs, padded<T>(outputs), nullptr, nullptr, nullptr, nullptr, &from, true,
              {}};
    if (!from.weight) {
        s.rows = 0;
        return s;
    }
    const idx size = s.rows * s.width;
    s.w = arena.take<T>(size);
    if (learn && from.grad) s.g = arena.take<T>(size);
    if (learn && from.grad && traced) {
        s.trace.rows = traced, s.trace.groups = (traced + GROUP - 1) / GROUP;
        s.trace.value = arena.take<T>(s.rows * traced);
        s.trace.seen = arena.take<uint64_t>(s.rows * s.trace.groups);
    }
    if (learn && from.mean) s.m = arena.take<T>(size), s.v = arena.take<T>(size);
    return s;
}

inline Bits bits(Arena &arena, idx neurons, idx tiles, idx slots) {
    const idx wide = (neurons + 7) / 8 * 8;
    return {arena.take<uint8_t>(tiles * slots * wide), wide, slots};
}

// Steps in a block: as many as keep traces and errors near the second cache. With
// eligibility a block costs a dense product with the trace, more than the third cache does.
template <class T>
idx block_steps(const Job &job) {
    if (!job.learn) return 1;
    const idx cache = idx(job.eligibility ? 16 : 2) << 20;
    idx width = 0;
    for (idx l = 0; l < job.layers; ++l) width += padded<T>(job.layer[l].outputs);
    const idx bytes = 2 * (job.batch + job.capacity) * width * idx(sizeof(T));
    return std::min({std::max<idx>(cache / bytes, 1), MOST_STEPS, idx(job.every), idx(job.steps)});
}

// With eligibility a block's errors outgrow the second cache, and gradients take them in parts.
template <class T>
idx part_steps(const Job &job) {
    const idx block = block_steps<T>(job), cache = idx(1) << 20;
    if (!job.eligibility) return block;
    idx widest = 0;
    for (idx l = 0; l < job.layers; ++l) widest = std::max(widest, padded<T>(job.layer[l].outputs));
    const idx bytes = (job.batch + job.capacity) * widest * idx(sizeof(T));
    return std::min(block, std::max<idx>(cache / bytes, 1));
}

// Lays `job` out from `base` (null: counts) and returns the bytes; the Work is the first piece.
template <class T>
size_t lay_out(const Job &job, char *base) {
    Arena arena{base};
    Work<T> *place = arena.take<Work<T>>(1);
    Work<T> w{};
    w.job = &job;
    w.batch = job.batch, w.rows = job.rows, w.capacity = job.capacity;
    w.all = w.batch + w.capacity, w.layers = job.layers, w.classes = job.classes;
    w.classes_width = padded<T>(w.classes), w.inputs = job.layer[0].inputs;
    w.learn = job.learn, w.label_trained = job.learn && job.label.grad;
    w.fold = w.learn && (w.layers > 1 || w.label_trained);
    w.most_wanted = std::min(w.batch, w.capacity);
    w.block = block_steps<T>(job), w.slots = w.block + 1;
    w.tile = std::min<idx>((w.batch + 15) / 16, TILE);
    w.tiles = (w.batch + w.tile - 1) / w.tile;
    w.class_tile = std::max<idx>(1, std::min<idx>((w.rows + 15) / 16, TILE));
    w.class_tiles = (w.rows + w.class_tile - 1) / w.class_tile;
    const idx most_tiles = w.capacity;  // a tile for each row, whatever w.rows is today

    idx widest = 0, most_inputs = 0;
    for (idx l = 0; l < w.layers; ++l) {
        Part<T> &part = w.part[l];
        const Layer &layer = job.layer[l];
        part.layer = &layer, part.n = layer.outputs, part.width = padded<T>(part.n);
        widest = std::max(widest, part.width);
        most_inputs = std::max({most_inputs, idx(layer.inputs), part.n});
        const idx traced = job.eligibility ? (l ? w.all : w.batch) : 0;
        part.in = slab<T>(arena, layer.weight, part.n, layer.inputs, w.learn, traced);
        part.recurrent = slab<T>(arena, layer.recurrent, part.n, part.n, w.learn, traced);
        part.u = arena.take<T>(w.all * part.width);
        part.index = arena.take<int32_t>(w.all * part.n);
        part.count = arena.take<int32_t>(w.all);
        if (!w.learn) continue;
        part.z = arena.take<T>(w.slots * w.all * part.width);
        part.g = arena.take<T>(w.block * w.all * part.width);
        part.e = arena.take<T>(w.block * w.batch * w.capacity);
        part.p = arena.take<T>(w.block * w.most_wanted * w.capacity);
        part.samples = bits(arena, part.n, w.tiles, w.slots);
        if (w.layers > 1) part.targets = bits(arena, part.n, most_tiles, w.slots);
    }
    const Part<T> &last = w.part[w.layers - 1];
    w.label = slab<T>(arena, job.label, w.part[0].n, w.classes, w.learn);
    w.label_recurrent = slab<T>(arena, job.label_recurrent, w.part[0].n, w.part[0].n, false);
    w.readout = slab<T>(arena, job.readout, w.classes, last.n, false);
    w.logits = arena.take<T>(w.batch * w.classes_width);
    w.ends = arena.take<int64_t>(w.batch);
    w.losses = arena.take<double>(w.tiles * (w.layers + 1));
    w.rates = arena.take<double>(w.tiles * w.layers);
    w.spikes = arena.take<int64_t>(w.tiles * w.layers);
    if (w.learn) {
        w.readout_grad = slab<T>(arena, job.readout, last.n, w.classes, true);
        w.readout_grad.transposed = false;
        w.events = bits(arena, w.inputs, w.tiles, w.slots);
        w.plain = arena.take<uint8_t>(w.tiles);
        w.error = arena.take<T>(w.block * w.batch * w.classes_width);
        w.log_n = arena.take<T>(w.block * w.capacity);
        w.cool = arena.take<T>(w.block * w.layers);
        w.running = arena.take<idx>(w.block);
        w.wanted_row = arena.take<int32_t>(w.most_wanted);
        w.place = arena.take<int32_t>(w.capacity);
        if (base) find_wanted(w);
    }
    w.scratch = arena.take<Scratch<T>>(job.threads);
    for (idx i = 0; i < job.threads; ++i) {
        Scratch<T> s{};
        s.current = arena.take<T>(TILE * widest);
        s.dense = arena.take<T>(TILE * most_inputs);
        s.index = arena.take<int32_t>(TILE * w.inputs);
        s.value = arena.take<T>(TILE * w.inputs);
        if (w.learn) {
            s.delta = arena.take<T>(TILE * widest);
            s.list = arena.take<int32_t>(CHUNK * w.block * w.all);
            s.chunk = arena.take<T>(CHUNK * w.block * w.all);
            s.fold = arena.take<T>(std::max(w.capacity, w.classes) * COLUMNS);
        }
        if (base) w.scratch[i] = s;
    }
    if (base) *place = w;
    return arena.used;
}

}  // namespace
