// The contrast of Traces Propagation, a function an equation, on rows of numbers: Z are traces of
// samples, Y of the target stream's C rows, both (rows, width) with padding.
//
//     similarity             A = Z Yᵀ
//     log_counts             log n_c
//     spread                 ½ mean over pairs of rows of ‖Y_c − Y_c'‖²
//     label_distance         D of layer 1, between traces of one-hot labels
//     trace_distance         D of a deeper layer, between the target stream's traces below
//     target_distribution    P = softmax(log n − D)
//     contrast_error         E / τ, E = (softmax(A / τ + log n) − P) / B, and the loss
//     sample_errors          δ^z = E Y / τ
//     target_errors          δ^y = Eᵀ Z / τ
#pragma once
#include "work.hpp"

namespace {

constexpr double SHIFT = 1e-9;  // added to differences of traces, as the published code does

// a (samples × classes, rows `stride` apart)
template <class T>
void similarity(const T *z, idx samples, const T *y, idx classes, idx width, T *a, idx stride) {
    products(samples, classes, width, z, width, y, width, a, stride);
}

// log n of all rows at step t, zeros where counts don't enter; returns how many samples run. Both
// of the whole batch.
template <class T>
idx log_counts(const Work<T> &w, idx t, T *log_n) {
    idx running = 0;
    for (idx c = 0; c < w.rows; ++c) log_n[c] = T(0);
    const int64_t *counts = w.job->counts;
    for (idx c = 0; counts && c < w.rows; ++c)
        running += counts[t * w.rows + c], log_n[c] = T(counts[t * w.rows + c]);
    for (idx b = 0; !counts && b < w.batch; ++b)
        if (w.alive(b, t)) ++running, log_n[w.job->row[b]] += T(1);
    for (idx c = 0; c < w.rows; ++c)
        log_n[c] = w.job->count_classes && running ? std::log(log_n[c]) : T(0);
    return running;
}

// Σ_{k < n} decayᵏ
inline double geometric(double decay, idx n) {
    const double terms = static_cast<double>(n);
    return decay == 1 ? terms : (1 - std::pow(decay, terms)) / (1 - decay);
}

// The variance of y's rows, summed over neurons; `mean` is room for a row. At least two rows.
template <class T>
T spread(const T *y, idx rows, idx width, T *mean) {
    constexpr idx lanes = PAD_BYTES / sizeof(T);
    const T share = T(1) / static_cast<T>(rows);
    std::memset(mean, 0, width * sizeof(T));
    for (idx c = 0; c < rows; ++c)
        for (idx i = 0; i < width; ++i) mean[i] += y[c * width + i] * share;
    T part[lanes] = {}, total = 0;
    for (idx c = 0; c < rows; ++c)
        for (idx i = 0; i < width; i += lanes)
            for (idx v = 0; v < lanes; ++v) {
                const T apart = y[c * width + i + v] - mean[i + v];
                part[v] += apart * apart;
            }
    for (idx v = 0; v < lanes; ++v) total += part[v];
    return total / static_cast<T>(rows - 1);
}

template <class T>
struct LabelDistance {
    T same, apart;  // between a label's trace and itself, and another's
};

template <class T>
LabelDistance<T> label_distance(double lam, idx steps, idx classes) {
    const double trace = geometric(lam, steps);
    return {static_cast<T>(SHIFT * std::sqrt(static_cast<double>(classes))),
            static_cast<T>(std::sqrt(2.0) * trace)};
}

// Row i of D, between y's rows of n neurons.
template <class T>
void trace_distance(const T *y, idx n, idx width, idx i, idx rows, T *d) {
    const T *one = y + i * width, shift = static_cast<T>(SHIFT);
    for (idx c = 0; c < rows; ++c) {
        const T *other = y + c * width;
        constexpr idx lanes = PAD_BYTES / sizeof(T);
        T part[lanes] = {};
        idx j = 0;
        for (; j + lanes <= n; j += lanes)
            for (idx v = 0; v < lanes; ++v) {
                const T apart = (one[j + v] + shift) - other[j + v];
                part[v] += apart * apart;
            }
        T total = 0;
        for (; j < n; ++j) {
            const T apart = (one[j] + shift) - other[j];
            total += apart * apart;
        }
        for (idx v = 0; v < lanes; ++v) total += part[v];
        d[c] = std::sqrt(total);
    }
}

// A row of softmax(x) in place of x, `rows` numbers; returns log Σ exp(x).
template <class T>
T softmax(T *x, idx rows) {
    T most = -INFINITY, total = 0;
    for (idx c = 0; c < rows; ++c) most = std::max(most, x[c]);
    for (idx c = 0; c < rows; ++c) x[c] -= most;
    exps(x, rows);
    for (idx c = 0; c < rows; ++c) total += x[c];
    for (idx c = 0; c < rows; ++c) x[c] /= total;
    return most + std::log(total);
}

// A row of P in place of a row of D.
template <class T>
void target_distribution(const T *log_n, idx rows, T *p) {
    for (idx c = 0; c < rows; ++c) p[c] = log_n[c] - p[c];
    softmax(p, rows);
}

// A row of E / τ in place of a row of A; `share` is 1 / B, `cool` 1 / τ. Returns the row's part of
// the loss.
template <class T>
double contrast_error(const T *log_n, const T *p, T share, T cool, idx rows, T *e) {
    const T scale = share * cool;
    T entropy = 0, sure = 0;  // Σ P (A / τ) and Σ P over classes that take part
    for (idx c = 0; c < rows; ++c) {
        const T a = e[c] * cool;
        if (!(p[c] <= T(0))) entropy -= p[c] * a, sure += p[c];
        e[c] = a + log_n[c];
    }
    entropy += sure * softmax(e, rows);
    for (idx c = 0; c < rows; ++c) e[c] = (e[c] - p[c]) * scale;
    return entropy * share;
}

// delta (samples × width) of e (samples × rows, rows `stride` apart)
template <class T>
void sample_errors(const T *e, idx stride, idx samples, const T *y, idx rows, idx width, T *delta) {
    std::memset(delta, 0, samples * width * sizeof(T));
    add_product<T>(samples, width, rows, {e, stride, 1}, y, width, delta, width);
}

// delta (rows × COLUMNS) for `some` neurons, z starting at the first of them.
template <class T>
void target_errors(
    const T *e, idx stride, idx rows, const T *z, idx samples, idx width, idx some, T *delta
) {
    std::memset(delta, 0, rows * COLUMNS * sizeof(T));
    add_product<T>(rows, some, samples, {e, 1, stride}, z, width, delta, COLUMNS);
}

}  // namespace
