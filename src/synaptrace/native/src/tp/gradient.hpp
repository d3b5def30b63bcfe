// Gradients of a block, a few rows of weights at a time, and Adam while they are in cache.
#pragma once
#include "learn.hpp"

namespace {

// Whether a block is all there is between two updates: its gradient needs no room of its own.
template <class T>
INLINE bool alone(const Work<T> &w, const Block &block, const Slab<T> &slab) {
    return block.update && slab.m && block.first % w.job->every == 0 &&
           !(slab.from->has_grad && block.first == 0);
}

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

// For each of 8 neurons from `first` on, the rows of g (K, R) at which it spiked.
template <class T>
void collect(
    const Work<T> &w, const Block &block, const Bits &bits, idx lag, idx tiles, idx tile, idx offset,
    idx first, int32_t *list, idx *count
) {
    const idx room = w.block * w.all;
    for (idx i = 0; i < tiles; ++i)
        for (idx k = 0; k < block.steps; ++k) {
            uint64_t word;
            std::memcpy(&word, bits.at(i, w.slot(block.first + k - lag)) + first, sizeof word);
            const idx base = k * w.all + offset + i * tile;
            for (; word; word &= word - 1) {
                const int bit = __builtin_ctzll(word), neuron = bit >> 3;
                list[neuron * room + count[neuron]++] = static_cast<int32_t>(base + (bit & 7));
            }
        }
}

// GRADIENTS: rows first … first + 7 of ∂W in working layout, Σ over spikes of the rows of g.
template <class T>
void gradient_rows(
    const Work<T> &w, const Block &block, const Slab<T> &slab, idx l, idx first, Source<T> source,
    const Scratch<T> &scratch
) {
    const idx rows = std::min(CHUNK, slab.rows - first), room = w.block * w.all;
    const idx inputs = slab.rows;
    idx count[CHUNK] = {}, total = 0;
    collect(w, block, *source.samples, source.lag, w.tiles, w.tile, 0, first, scratch.list, count);
    if (source.targets)
        collect(w, block, *source.targets, source.lag, w.class_tiles, w.class_tile, w.batch, first,
                scratch.list, count);
    for (idx i = 0; i < rows; ++i) total += count[i];
    const bool dense = total * 4 > rows * block.steps * w.batch;
    T *value = scratch.chunk;  // (8, K · R): by place in the list, or where dense by row of g
    if (dense) std::memset(value, 0, CHUNK * room * sizeof(T));
    if (dense || source.events)
        for (idx i = 0; i < rows; ++i)
            for (idx j = 0; j < count[i]; ++j) {
                const idx at = scratch.list[i * room + j], k = at / w.all, b = at % w.all;
                const idx x = ((block.first + k) * w.batch + b) * inputs + first + i;
                value[i * room + (dense ? at : j)] = source.events ? source.events[x] : T(1);
            }
    const T *g = w.part[l].g;
    T *out = slab.g + first * slab.width;
    if (alone(w, block, slab)) {
        out = scratch.current;
        std::memset(out, 0, rows * slab.width * sizeof(T));
    }
    if (dense)
        for (idx k = 0; k < block.steps; ++k)
            add_product<T>(rows, slab.width, w.batch + (source.targets ? w.rows : 0),
                           {value + k * w.all, room, 1}, g + k * w.all * slab.width, slab.width,
                           out, slab.width);
    else
        for (idx i = 0; i < rows; ++i)
            add_rows(out + i * slab.width, g, slab.width, slab.width, scratch.list + i * room,
                     source.events ? value + i * room : nullptr, count[i]);
    if (block.update && slab.m) {
        const idx at = first * slab.width;
        adam(*slab.from, block, slab.w + at, out, slab.m + at, slab.v + at, rows * slab.width);
    }
}

// GRADIENTS: ∂S of one row of the target stream, or no more than Adam where its class is absent.
template <class T>
void label_gradient(const Work<T> &w, const Block &block, idx label) {
    const Slab<T> &slab = w.label;
    T *out = slab.g + label * slab.width;
    for (idx c = 0; c < w.rows; ++c)
        for (idx k = 0; w.job->class_of[c] == label && k < block.steps; ++k) {
            const T *g = w.grad(0, k, w.batch + c);
            for (idx i = 0; i < slab.width; ++i) out[i] += g[i];
        }
    if (block.update && slab.m) {
        const idx at = label * slab.width;
        adam(*slab.from, block, slab.w + at, out, slab.m + at, slab.v + at, slab.width);
    }
}

// GRADIENTS: ∂W_o of a range of the last layer's neurons, all classes.
template <class T>
void readout_gradient(const Work<T> &w, const Block &block, idx from) {
    const Slab<T> &slab = w.readout_grad;
    const idx some = std::min(COLUMNS, slab.width - from), l = w.layers - 1;
    for (idx k = 0; k < block.steps; ++k)
        add_product<T>(w.classes, some, w.batch,
                       {w.error + k * w.batch * w.classes_width, 1, w.classes_width},
                       w.trace(l, block.first + k, 0) + from, slab.width, slab.g + from,
                       slab.width);
    if (!block.update || !slab.m) return;
    for (idx c = 0; c < w.classes; ++c) {
        const idx at = c * slab.width + from;
        adam(*slab.from, block, slab.w + at, slab.g + at, slab.m + at, slab.v + at, some);
        const idx end = std::min(from + some, slab.cols);
        for (idx i = from; i < end; ++i)
            w.readout.w[i * w.classes_width + c] = slab.w[c * slab.width + i];
    }
}

}  // namespace
