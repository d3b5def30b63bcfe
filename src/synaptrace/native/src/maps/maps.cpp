// The element-wise work on maps, compiled once for each instruction set (LEVEL).
#include "maps.hpp"

#include <algorithm>
#include <cmath>

namespace {

typedef int64_t idx;

template <class T>
T slope(idx surrogate, T xi, T scale) {
    if (surrogate == 0) {
        constexpr T pi = T(3.14159265358979323846);
        return scale / (T(1) + pi * pi * xi * xi);
    }
    const T away = std::fabs(xi);
    if (surrogate == 1) {
        const T root = T(1) + scale * away;
        return T(1) / (root * root);
    }
    return scale * std::max(T(0), T(1) - away);
}

template <class T, int SURROGATE, bool HARD>
void fire_row(const Fire &job, idx row) {
    T *__restrict__ v = static_cast<T *>(job.v) + row * job.size;
    T *__restrict__ u = static_cast<T *>(job.u) + row * job.size;
    T *__restrict__ s = static_cast<T *>(job.s) + row * job.size;
    const T threshold = T(row < job.samples ? job.threshold : job.other_threshold);
    const T beta = T(job.beta), scale = T(job.scale);
    for (idx i = 0; i < job.size; ++i) {
        const T now = v[i] + beta * u[i];
        const T spike = now >= threshold ? T(1) : T(0);
        u[i] = HARD ? now * (T(1) - spike) : now - threshold * spike;
        s[i] = spike;
        v[i] = slope<T>(SURROGATE, now - threshold, scale);
    }
}

template <class T, bool HARD>
void fire_reset(const Fire &job, idx row) {
    if (job.surrogate == 0) return fire_row<T, 0, HARD>(job, row);
    if (job.surrogate == 1) return fire_row<T, 1, HARD>(job, row);
    fire_row<T, 2, HARD>(job, row);
}

template <class T>
void fire(const Fire &job, idx row) {
    job.hard ? fire_reset<T, true>(job, row) : fire_reset<T, false>(job, row);
}

// The error goes to the first of the places that hold the maximum.
template <class T>
void spread(const Spread &job, idx row) {
    constexpr idx most = 64;
    const idx n = job.pool, h = job.height, w = job.width, c = job.channels;
    const T *spikes = static_cast<const T *>(job.spikes) + row * h * w * c;
    const T *delta = static_cast<const T *>(job.delta) + row * (h / n) * (w / n) * c;
    T *slope = static_cast<T *>(job.slope) + row * h * w * c;
    for (idx y = 0; y < h; ++y)
        for (idx x = 0; x < w; ++x) {
            const idx at = (y * w + x) * c;
            if (y / n >= h / n || x / n >= w / n) std::fill_n(slope + at, c, T(0));
        }
    for (idx y = 0; y < h / n; ++y)
        for (idx x = 0; x < w / n; ++x)
            for (idx from = 0; from < c; from += most) {
                const idx some = std::min(most, c - from);
                T best[most], left[most];
                std::copy_n(spikes + (y * n * w + x * n) * c + from, some, best);
                for (idx k = 1; k < n * n; ++k) {
                    const T *here = spikes + ((y * n + k / n) * w + x * n + k % n) * c + from;
                    for (idx i = 0; i < some; ++i) best[i] = std::max(best[i], here[i]);
                }
                std::copy_n(delta + (y * (w / n) + x) * c + from, some, left);
                for (idx k = 0; k < n * n; ++k) {
                    const idx at = ((y * n + k / n) * w + x * n + k % n) * c + from;
                    const T *__restrict__ here = spikes + at;
                    T *__restrict__ g = slope + at;
                    for (idx i = 0; i < some; ++i) {
                        const T taken = here[i] == best[i] ? left[i] : T(0);
                        g[i] *= taken;
                        left[i] -= taken;
                    }
                }
            }
}

}  // namespace

#define NAME2(level) maps_##level
#define NAME(level) NAME2(level)
extern const Maps NAME(LEVEL);
const Maps NAME(LEVEL) = {{fire<float>, fire<double>}, {spread<float>, spread<double>}};
