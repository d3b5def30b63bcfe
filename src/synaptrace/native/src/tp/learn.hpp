// Traces Propagation on a block of steps: target stream and errors, by the equations of contrast.hpp.
//
//     g^z = δ^z ⊙ σ'        g^y = δ^y ⊙ σ'        ∂W = g^zᵀ s^z + g^yᵀ s^y
//     ∂W_o = (softmax(m) − y)ᵀ Z_L / B
#pragma once
#include "contrast.hpp"
#include "forward.hpp"

namespace {

// TARGETS: all layers of a few classes through the block.
template <class T>
void target_rows(const Work<T> &w, const Block &block, idx index, const Scratch<T> &scratch) {
    const Tile tile = class_tile(w, index);
    const Job &job = *w.job;
    for (idx k = 0; k < block.steps; ++k) {
        const idx t = block.first + k;
        const Part<T> &first = w.part[0];
        Spikes<T> below{};
        if (w.label_trained || !job.stream_offset) {
            for (idx r = 0; r < tile.n; ++r)
                std::memcpy(scratch.current + r * first.width,
                            w.label.w + job.class_of[tile.first + r - w.batch] * first.width,
                            first.width * sizeof(T));
            advance(w, 0, tile, t, static_cast<T>(job.label_threshold), scratch.current,
                    w.label_recurrent, true, w.label_trained, block, scratch.dense);
            below = spikes_of(first, tile);
        } else {  // computed before, as it is the same for every batch
            const T lam = static_cast<T>(first.layer->lam);
            for (idx r = 0; r < tile.n; ++r) {
                const idx row = tile.first + r, c = t * w.classes + job.class_of[row - w.batch];
                below.index[r] = job.stream_index + job.stream_offset[c];
                below.count[r] = job.stream_offset[c + 1] - job.stream_offset[c];
                const T *before = w.trace(0, t - 1, row);
                T *z = w.trace(0, t, row);
                for (idx i = 0; i < first.n; ++i) z[i] = lam * before[i];
                for (idx i = 0; i < below.count[r]; ++i) z[below.index[r][i]] += T(1);
            }
            if (w.layers > 1) mark(first.targets, tile.index, w.slot(t), below, tile.n);
        }
        for (idx l = 1; l < w.layers; ++l) {
            const Part<T> &part = w.part[l];
            std::memset(scratch.current, 0, tile.n * part.width * sizeof(T));
            drive(part.in, below, tile.n, scratch.current, scratch.dense);
            advance(w, l, tile, t, static_cast<T>(part.layer->threshold), scratch.current,
                    part.recurrent, true, true, block, scratch.dense);
            below = spikes_of(part, tile);
        }
    }
}

// TARGETS too: log n of step k, P of layer 1, from the one-hot labels' traces, and τ where it is
// a number, else 1.
template <class T>
void label_targets(const Work<T> &w, const Block &block, idx k) {
    const idx t = block.first + k;
    T *log_n = w.log_n + k * w.capacity;
    w.running[k] = log_counts(w, t, log_n);
    const double tau = w.job->temperature;
    for (idx l = 0; l < w.layers; ++l)
        w.cool[k * w.layers + l] = tau > 0 ? static_cast<T>(1 / tau) : T(1);
    const LabelDistance<T> d = label_distance<T>(w.part[0].layer->lam, t + 1, w.classes);
    for (idx i = 0; i < w.wanted; ++i) {
        T *p = w.p(0, k, i);
        for (idx c = 0; c < w.rows; ++c) p[c] = d.apart;
        p[w.wanted_row[i]] = d.same;
        target_distribution(log_n, w.rows, p);
    }
}

// DISTANCES: the i-th wanted row of P of layer l ≥ 1 at step k of the block.
template <class T>
void distance_row(const Work<T> &w, const Block &block, idx k, idx l, idx i) {
    const Part<T> &below = w.part[l - 1];
    T *p = w.p(l, k, i);
    trace_distance(w.trace(l - 1, block.first + k, w.batch), below.n, below.width,
                   w.wanted_row[i], w.rows, p);
    target_distribution(w.log_n + k * w.capacity, w.rows, p);
}

// DISTANCES too: τ = max(1, spread / M) of layer l at step k; with one row 1.
template <class T>
void warmth(const Work<T> &w, const Block &block, idx k, idx l, const Scratch<T> &scratch) {
    if (w.rows < 2) return;
    const T apart = spread(w.trace(l, block.first + k, w.batch), w.rows, w.part[l].width,
                           scratch.current);
    w.cool[k * w.layers + l] = T(1) / std::max(T(1), apart / static_cast<T>(w.job->margin));
}

// A (rows × C) of a tile becomes E / τ; returns its share of the loss.
template <class T>
double tile_error(const Work<T> &w, idx k, idx l, Tile tile, idx t, T *e) {
    const T share = T(1) / static_cast<T>(w.job->whole);
    double loss = 0;
    for (idx r = 0; r < tile.n; ++r, e += w.capacity) {
        const idx b = tile.first + r;
        const T *p = w.p(l, k, w.place[w.job->row[b]]);
        if (w.alive(b, t))
            loss += contrast_error(w.log_n + k * w.capacity, p, share, w.cool[k * w.layers + l],
                                   w.rows, e);
        else
            for (idx c = 0; c < w.rows; ++c) e[c] = T(0);
    }
    return loss;
}

// The readout's error of a tile's samples; returns their share of its loss.
template <class T>
double readout_error(const Work<T> &w, idx k, Tile tile, idx t) {
    const T share = T(1) / static_cast<T>(w.job->whole);
    double loss = 0;
    for (idx r = 0; r < tile.n; ++r) {
        const idx b = tile.first + r, label = w.job->labels[b];
        T *e = w.error + (k * w.batch + b) * w.classes_width;
        const T *m = w.logits + b * w.classes_width;
        if (!w.alive(b, t)) {
            for (idx c = 0; c < w.classes; ++c) e[c] = T(0);
            continue;
        }
        for (idx c = 0; c < w.classes; ++c) e[c] = m[c];
        loss -= (m[label] - softmax(e, w.classes)) * share;
        for (idx c = 0; c < w.classes; ++c)
            e[c] = (e[c] - (c == label ? T(1) : T(0))) * share;
    }
    return loss;
}

// g^t becomes Σ_{t' ≥ t} β^{t' − t} g^{t'} within the block, for some rows of a layer.
template <class T>
void filter(const Work<T> &w, const Block &block, idx l, idx first, idx rows) {
    const T beta = static_cast<T>(w.part[l].layer->beta);
    const idx n = rows * w.part[l].width;
    for (idx k = block.steps - 2; k >= 0; --k) {
        T *g = w.grad(l, k, first);
        const T *later = w.grad(l, k + 1, first);
        for (idx i = 0; i < n; ++i) g[i] += beta * later[i];
    }
}

// SAMPLES: a tile of samples through the block, up to its g, filtered where there is eligibility.
template <class T>
void sample_rows(const Work<T> &w, const Block &block, idx index, const Scratch<T> &scratch) {
    const Tile tile = sample_tile(w, index);
    double *losses = w.losses + index * (w.layers + 1), *rates = w.rates + index * w.layers;
    bool plain = true;
    for (idx k = 0; k < block.steps; ++k) {
        const idx t = block.first + k;
        bool ones = true;
        Spikes<T> below = events_of(w, tile, t, scratch, &ones);
        mark(w.events, tile.index, w.slot(t), below, tile.n);
        plain &= ones;
        for (idx l = 0; l < w.layers; ++l) {
            const Part<T> &part = w.part[l];
            const idx width = part.width;
            std::memset(scratch.current, 0, tile.n * width * sizeof(T));
            drive(part.in, below, tile.n, scratch.current, scratch.dense);
            advance(w, l, tile, t, static_cast<T>(part.layer->threshold), scratch.current,
                    part.recurrent, false, true, block, scratch.dense);
            below = spikes_of(part, tile);

            T *e = part.e + (k * w.batch + tile.first) * w.capacity;
            const T *y = w.trace(l, t, w.batch);
            similarity(w.trace(l, t, tile.first), tile.n, y, w.rows, width, e, w.capacity);
            losses[l] += tile_error(w, k, l, tile, t, e);
            sample_errors(e, w.capacity, tile.n, y, w.rows, width, scratch.delta);
            T *g = w.grad(l, k, tile.first);
            for (idx i = 0; i < tile.n * width; ++i) g[i] *= scratch.delta[i];
        }
        int64_t spikes[MAX_LAYERS] = {};
        read_out(w, tile, t, spikes);
        losses[w.layers] += readout_error(w, k, tile, t);
        for (idx l = 0; l < w.layers; ++l) {
            w.spikes[index * w.layers + l] += spikes[l];
            const double running = static_cast<double>(std::max<idx>(w.running[k], 1));
            rates[l] += static_cast<double>(spikes[l]) / (running * w.part[l].n);
        }
    }
    for (idx l = 0; w.job->eligibility && l < w.layers; ++l)
        filter(w, block, l, tile.first, tile.n);
    w.plain[index] = plain;
}

// FOLD: g^y = Eᵀ Z ⊙ σ' of one step, layer and range of neurons.
template <class T>
void fold(const Work<T> &w, const Block &block, idx k, idx l, idx from, const Scratch<T> &scratch) {
    const Part<T> &part = w.part[l];
    const idx some = std::min(COLUMNS, part.width - from), t = block.first + k;
    target_errors(part.e + k * w.batch * w.capacity, w.capacity, w.rows, w.trace(l, t, 0) + from,
                  w.batch, part.width, some, scratch.fold);
    for (idx c = 0; c < w.rows; ++c) {
        T *g = w.grad(l, k, w.batch + c) + from;
        const T *delta = scratch.fold + c * COLUMNS;
        for (idx i = 0; i < some; ++i) g[i] *= delta[i];
    }
}

}  // namespace
