// One step of one layer for a few rows of a stream: currents, membranes, spikes, traces.
#pragma once
#include <type_traits>

#include "find.hpp"
#include "work.hpp"

namespace {

struct Tile {  // rows first … first + n − 1 of a layer's arrays, tile `index` of its stream
    idx first, n, index;
};

template <class T>
struct Spikes {  // for each row of a tile the neurons that spiked, and their values if not one
    const int32_t *index[TILE];
    const T *value[TILE];
    idx count[TILE];
};

template <class T>
Tile sample_tile(const Work<T> &w, idx i) {
    const idx first = i * w.tile;
    return {first, std::min(w.tile, w.batch - first), i};
}

template <class T>
Tile class_tile(const Work<T> &w, idx i) {
    const idx first = i * w.class_tile;
    return {w.batch + first, std::min(w.class_tile, w.rows - first), i};
}

// A layer's spikes as its arrays have them.
template <class T>
Spikes<T> spikes_of(const Part<T> &part, Tile tile) {
    Spikes<T> s{};
    for (idx r = 0; r < tile.n; ++r) {
        s.index[r] = part.index + (tile.first + r) * part.n;
        s.count[r] = part.count[tile.first + r];
    }
    return s;
}

// The events of step t; an ended sample has none.
template <class T>
Spikes<T> events_of(const Work<T> &w, Tile tile, idx t, const Scratch<T> &scratch, bool *ones) {
    Spikes<T> s{};
    for (idx r = 0; r < tile.n; ++r) {
        const idx b = tile.first + r;
        int32_t *index = scratch.index + r * w.inputs;
        T *value = scratch.value + r * w.inputs;
        const T *x = static_cast<const T *>(w.job->events) + (t * w.batch + b) * w.inputs;
        s.index[r] = index, s.value[r] = value;
        if (t + 1 < w.job->steps) prefetch(x + w.batch * w.inputs, w.inputs);
        if (w.alive(b, t)) s.count[r] = indices_of_events(x, w.inputs, index, value, ones);
    }
    for (idx r = 0; r < tile.n; ++r)
        if (*ones) s.value[r] = nullptr;
    return s;
}

template <class T>
void mark(const Bits &bits, idx tile, idx slot, const Spikes<T> &s, idx rows) {
    uint8_t *at = bits.at(tile, slot);
    std::memset(at, 0, bits.neurons);
    for (idx r = 0; r < rows; ++r)
        for (idx i = 0; i < s.count[r]; ++i) at[s.index[r][i]] |= static_cast<uint8_t>(1u << r);
}

// current (rows × width) += what the spikes add through the slab: row by row where they are
// sparse, else as a dense product, which reads each row of weights once for four of the tile's.
template <class T>
void drive(const Slab<T> &slab, const Spikes<T> &s, idx rows, T *current, T *dense) {
    idx total = 0;
    for (idx r = 0; r < rows; ++r) total += s.count[r];
    if (rows < 4 || total * 4 < rows * slab.rows) {
        for (idx r = 0; r < rows; ++r)
            add_rows(current + r * slab.width, slab.w, slab.width, slab.width, s.index[r],
                     s.value[r], s.count[r]);
        return;
    }
    std::memset(dense, 0, rows * slab.rows * sizeof(T));
    for (idx r = 0; r < rows; ++r)
        for (idx i = 0; i < s.count[r]; ++i)
            dense[r * slab.rows + s.index[r][i]] = s.value[r] ? s.value[r][i] : T(1);
    add_product<T>(rows, slab.width, slab.rows, {dense, slab.rows, 1}, slab.w, slab.width, current,
                   slab.width);
}

// σ'(ξ), to `slope`.
template <class T>
INLINE void surrogate(const Layer &layer, const T *xi, T *slope, idx n) {
    const T a = static_cast<T>(layer.scale), one = T(1);
    if (layer.surrogate == 0)
        for (idx i = 0; i < n; ++i) {
            const T y = static_cast<T>(3.14159265358979323846) * xi[i];
            slope[i] = a / (one + y * y);
        }
    else if (layer.surrogate == 1)
        for (idx i = 0; i < n; ++i) {
            const T y = one + a * std::abs(xi[i]);
            slope[i] = one / (y * y);
        }
    else
        for (idx i = 0; i < n; ++i) {
            const T y = one - std::abs(xi[i]);
            slope[i] = a * (y < T(0) ? T(0) : y);
        }
}

// v = β u + I, ξ = v − θ, s = [ξ ≥ 0], the reset, and z = λ z + s; ξ takes the place of I.
template <class T>
INLINE void fire(const Layer &layer, T theta, T *xi, T *u, const T *z_before, T *z, idx n) {
    const T beta = static_cast<T>(layer.beta), lam = static_cast<T>(layer.lam);
    const T zero = T(0), one = T(1);
    const auto each = [&](auto hard, auto traced) {
#pragma GCC ivdep  // z may be z_before
        for (idx i = 0; i < n; ++i) {
            const T v = beta * u[i] + xi[i], above = v - theta;
            const bool spike = above >= zero;
            xi[i] = above;
            u[i] = hard ? v * (spike ? zero : one) : v - (spike ? theta : zero);
            if (traced) z[i] = lam * z_before[i] + (spike ? one : zero);
        }
    };
    const std::true_type yes;
    const std::false_type no;
    if (layer.hard)
        z ? each(yes, yes) : each(yes, no);
    else
        z ? each(no, yes) : each(no, no);
}

// One step of layer l for a tile, from its input current (rows × width), which already holds what
// comes from below: adds the recurrence, then moves membranes, spikes and traces on. With
// `slopes`, σ' is left where the errors will be. `target`: rows of the target stream, none ends.
template <class T>
void advance(
    const Work<T> &w, idx l, Tile tile, idx t, T theta, T *current, const Slab<T> &recurrent,
    bool target, bool slopes, const Block &block, T *dense
) {
    const Part<T> &part = w.part[l];
    if (recurrent.rows) drive(recurrent, spikes_of(part, tile), tile.n, current, dense);
    for (idx r = 0; r < tile.n; ++r) {
        const idx row = tile.first + r;
        T *xi = current + r * part.width;
        T *z = w.learn ? w.trace(l, t, row) : nullptr;
        T *slope = slopes ? w.grad(l, t - block.first, row) : nullptr;
        if (!target && !w.alive(row, t)) {
            part.count[row] = 0;
            if (z) std::memset(z, 0, part.width * sizeof(T));
            if (slope) std::memset(slope, 0, part.width * sizeof(T));
            continue;
        }
        fire(*part.layer, theta, xi, part.u + row * part.width,
             z ? w.trace(l, t - 1, row) : nullptr, z, part.n);
        part.count[row] =
            static_cast<int32_t>(indices_of_spikes(xi, part.n, part.index + row * part.n));
        if (slope) surrogate(*part.layer, xi, slope, part.n);
    }
    if (!w.learn) return;
    if (!target)
        mark(part.samples, tile.index, w.slot(t), spikes_of(part, tile), tile.n);
    else if (w.layers > 1)
        mark(part.targets, tile.index, w.slot(t), spikes_of(part, tile), tile.n);
}

// m = α m + W_o s for the tile's samples that run; their number of spikes goes to `spikes`.
template <class T>
void read_out(const Work<T> &w, Tile tile, idx t, int64_t *spikes) {
    const T alpha = static_cast<T>(w.job->readout_decay);
    const Part<T> &last = w.part[w.layers - 1];
    for (idx r = 0; r < tile.n; ++r) {
        const idx b = tile.first + r;
        if (!w.alive(b, t)) continue;
        T *m = w.logits + b * w.classes_width;
        for (idx c = 0; c < w.classes_width; ++c) m[c] *= alpha;
        add_rows<T>(m, w.readout.w, w.classes_width, w.classes_width, last.index + b * last.n,
                    nullptr, last.count[b]);
        for (idx l = 0; l < w.layers; ++l) spikes[l] += w.part[l].count[b];
    }
}

// Ends the tile's samples that are sure of their class after step t.
template <class T>
void decide(const Work<T> &w, Tile tile, idx t) {
    for (idx b = tile.first; b < tile.first + tile.n; ++b) {
        if (!w.alive(b, t)) continue;
        const T *m = w.logits + b * w.classes_width;
        T most = -INFINITY, total = 0;
        for (idx c = 0; c < w.classes; ++c) most = std::max(most, m[c]);
        for (idx c = 0; c < w.classes; ++c) total += std::exp(m[c] - most);
        if (T(1) / total >= static_cast<T>(w.job->confidence)) w.ends[b] = t + 1;
    }
}

// The sample stream alone, a tile of samples through all steps.
template <class T>
void infer(const Work<T> &w, idx index, const Scratch<T> &scratch) {
    const Tile tile = sample_tile(w, index);
    int64_t *spikes = w.spikes + index * w.layers;
    for (idx t = 0; t < w.job->steps; ++t) {
        bool ones = true;
        Spikes<T> below = events_of(w, tile, t, scratch, &ones);
        for (idx l = 0; l < w.layers; ++l) {
            const Part<T> &part = w.part[l];
            std::memset(scratch.current, 0, tile.n * part.width * sizeof(T));
            drive(part.in, below, tile.n, scratch.current, scratch.dense);
            advance(w, l, tile, t, static_cast<T>(part.layer->threshold), scratch.current,
                    part.recurrent, false, false, Block{}, scratch.dense);
            below = spikes_of(part, tile);
        }
        read_out(w, tile, t, spikes);
        if (w.job->confidence > 0) decide(w, tile, t);
    }
}

}  // namespace
