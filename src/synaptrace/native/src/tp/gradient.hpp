// Gradients of a block, a few rows of weights at a time, and Adam while they are in cache.
#pragma once
#include "learn.hpp"

namespace {

// Whether a block is all there is between two updates: its gradient needs no room of its own.
template <class T>
INLINE bool alone(const Work<T> &w, const Block &block, const Slab<T> &slab) {
    const bool whole = block.from == 0 && block.to == block.steps;
    return block.update && whole && slab.m && block.first % w.job->every == 0 &&
           !(slab.from->has_grad && block.first == 0);
}

// Whether an update follows these errors.
inline bool updates(const Block &block) { return block.update && block.to == block.steps; }

// PyTorch's Adam without weight decay, on n weights; the gradient is cleared.
template <class T>
void adam(const Matrix &from, const Block &block, T *w, T *g, T *m, T *v, idx n) {
    const double step = static_cast<double>(from.step + block.updates + 1);
    const double first = 1 - std::pow(from.beta1, step), second = 1 - std::pow(from.beta2, step);
    const T mix = static_cast<T>(1 - from.beta1), keep = static_cast<T>(from.beta2);
    const T add = static_cast<T>(1 - from.beta2), epsilon = static_cast<T>(from.epsilon);
    const T rate = static_cast<T>(from.rate / first), scale = static_cast<T>(1 / std::sqrt(second));
    for (idx i = 0; i < n; ++i) {
        m[i] += mix * (g[i] - m[i]);
        v[i] = keep * v[i] + add * (g[i] * g[i]);
        w[i] -= rate * m[i] / (std::sqrt(v[i]) * scale + epsilon);
        g[i] = T(0);
    }
}

template <class T>
struct Source {  // whose spikes a gradient's rows come from
    const Bits *samples, *targets;  // targets: null where they have no part
    idx lag;                        // 1: the spikes of the step before
    const T *events;                // the values of spikes, (T, B, inputs), null: ones
};

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "eight bytes of bits are read at once");

// Calls each(i, k, row) for the spikes of neurons first + i, i < 8, at steps k of the block from
// `from` up to `to`, in rows of either stream.
template <class T, class Each>
INLINE void for_each_spike(
    const Work<T> &w, const Block &block, const Source<T> &source, idx first, idx from, idx to,
    Each each
) {
    const auto stream = [&](const Bits &bits, idx tiles, idx tile, idx offset) {
        for (idx i = 0; i < tiles; ++i)
            for (idx k = from; k < to; ++k) {
                uint64_t word;
                const idx slot = w.slot(block.first + k - source.lag);
                std::memcpy(&word, bits.at(i, slot) + first, sizeof word);
                for (; word; word &= word - 1) {
                    const int bit = __builtin_ctzll(word);
                    each(bit >> 3, k, offset + i * tile + (bit & 7));
                }
            }
    };
    stream(*source.samples, w.tiles, w.tile, 0);
    if (source.targets) stream(*source.targets, w.class_tiles, w.class_tile, w.batch);
}

// The traces of neurons first … first + 7 meet the errors of the block's first step, which hold all
// later ones (see filter), and then move on to its last step:
//
//     x̄^{t0} = β x̄^{t0−1} + x^{t0},  out += x̄^{t0} ⊗ g^{t0},  x̄ = β^{K−1} x̄^{t0} + Σ_k β^{K−1−k} x^k
template <class T>
void trace_rows(
    const Work<T> &w, const Block &block, const Slab<T> &slab, idx l, idx first, idx rows,
    const Source<T> &source, T *out
) {
    const idx last = block.steps - 1, all = w.batch + (source.targets ? w.rows : 0);
    const Trace<T> &trace = slab.trace;
    const T beta = static_cast<T>(w.part[l].layer->beta);
    T power[MOST_STEPS];
    const auto add = [&](idx i, idx k, idx row) {
        const idx x = ((block.first + k) * w.batch + row) * slab.rows + first + i;
        trace.add(first + i, row, source.events ? power[k] * source.events[x] : power[k]);
    };
    power[last] = T(1);
    for (idx k = last; k > 0; --k) power[k - 1] = beta * power[k];
    if (block.first == 0) {  // nothing lies before, and the gradient takes all spikes one by one
        trace.clear(first, rows);
        return for_each_spike(w, block, source, first, 0, block.steps, add);
    }
    const T later = power[0];
    power[0] = T(1);
    trace.decay(first, rows, beta);
    for_each_spike(w, block, source, first, 0, 1, add);
    add_traces(trace, first, rows, all, w.part[l].g, slab.width, out);
    if (!last) return;
    trace.decay(first, rows, later);
    for_each_spike(w, block, source, first, 1, block.steps, add);
}

// GRADIENTS: rows first … first + 7 of ∂W in working layout, Σ over spikes of the rows of g.
template <class T>
void gradient_rows(
    const Work<T> &w, const Block &block, const Slab<T> &slab, idx l, idx first, Source<T> source,
    const Scratch<T> &scratch
) {
    const idx rows = std::min(CHUNK, slab.rows - first), room = w.block * w.all;
    const idx inputs = slab.rows;
    const T *g = w.part[l].g;
    T *out = slab.g + first * slab.width;
    if (alone(w, block, slab)) {
        out = scratch.current;
        std::memset(out, 0, rows * slab.width * sizeof(T));
    }
    const bool traced = slab.trace.rows && block.from == 0;
    if (traced) trace_rows(w, block, slab, l, first, rows, source, out);
    const idx start = traced && block.first > 0 ? 1 : block.from;  // the first step is in the trace
    idx count[CHUNK] = {}, total = 0;
    for_each_spike(w, block, source, first, start, block.to, [&](idx i, idx k, idx row) {
        scratch.list[i * room + count[i]++] = static_cast<int32_t>(k * w.all + row);
    });
    for (idx i = 0; i < rows; ++i) total += count[i];
    const bool dense = total * 4 > rows * (block.to - block.from) * w.batch;
    T *value = scratch.chunk;  // (8, K · R): by place in the list, or where dense by row of g
    if (dense) std::memset(value, 0, CHUNK * room * sizeof(T));
    if (dense || source.events)
        for (idx i = 0; i < rows; ++i)
            for (idx j = 0; j < count[i]; ++j) {
                const idx at = scratch.list[i * room + j], k = at / w.all, b = at % w.all;
                const idx x = ((block.first + k) * w.batch + b) * inputs + first + i;
                value[i * room + (dense ? at : j)] = source.events ? source.events[x] : T(1);
            }
    if (dense)
        for (idx k = start; k < block.to; ++k)
            add_product<T>(rows, slab.width, w.batch + (source.targets ? w.rows : 0),
                           {value + k * w.all, room, 1}, g + k * w.all * slab.width, slab.width,
                           out, slab.width);
    else
        for (idx i = 0; i < rows; ++i)
            add_rows(out + i * slab.width, g, slab.width, slab.width, scratch.list + i * room,
                     source.events ? value + i * room : nullptr, count[i]);
    if (updates(block) && slab.m) {
        const idx at = first * slab.width;
        adam(*slab.from, block, slab.w + at, out, slab.m + at, slab.v + at, rows * slab.width);
    }
}

// GRADIENTS: ∂S of one row of the target stream, or no more than Adam where its class is absent.
// With eligibility the label's trace, Σ βᵏ, meets the block's first errors, as in trace_rows.
template <class T>
void label_gradient(const Work<T> &w, const Block &block, idx label) {
    const Slab<T> &slab = w.label;
    T *out = slab.g + label * slab.width;
    const T first = w.job->eligibility
        ? static_cast<T>(geometric(w.part[0].layer->beta, block.first + 1)) : T(1);
    for (idx c = 0; c < w.rows; ++c)
        for (idx k = block.from; w.job->class_of[c] == label && k < block.to; ++k) {
            const T *g = w.grad(0, k, w.batch + c);
            const T y = k ? T(1) : first;
            for (idx i = 0; i < slab.width; ++i) out[i] += y * g[i];
        }
    if (updates(block) && slab.m) {
        const idx at = label * slab.width;
        adam(*slab.from, block, slab.w + at, out, slab.m + at, slab.v + at, slab.width);
    }
}

// GRADIENTS: ∂W_o of a range of the last layer's neurons, all classes.
template <class T>
void readout_gradient(const Work<T> &w, const Block &block, idx from) {
    const Slab<T> &slab = w.readout_grad;
    const idx some = std::min(COLUMNS, slab.width - from), l = w.layers - 1;
    for (idx k = block.from; k < block.to; ++k)
        add_product<T>(w.classes, some, w.batch,
                       {w.error + k * w.batch * w.classes_width, 1, w.classes_width},
                       w.trace(l, block.first + k, 0) + from, slab.width, slab.g + from,
                       slab.width);
    if (!updates(block) || !slab.m) return;
    for (idx c = 0; c < w.classes; ++c) {
        const idx at = c * slab.width + from;
        adam(*slab.from, block, slab.w + at, slab.g + at, slab.m + at, slab.v + at, some);
        const idx end = std::min(from + some, slab.cols);
        for (idx i = from; i < end; ++i)
            w.readout.w[i * w.classes_width + c] = slab.w[c * slab.width + i];
    }
}

}  // namespace
