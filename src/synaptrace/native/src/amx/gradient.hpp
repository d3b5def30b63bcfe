// The gradient of the weight: nine products of the packed input and the packed error.
#pragma once
#include <atomic>

#include "pack.hpp"
#include "tiles.hpp"

namespace {

// Adds what the packed positions give for outputs 32 j … and inputs from … to − 1 to the sums, which
// are [32 outputs][tap][input][output].
void gradient_part(const Convolution &job, const Sizes &s, idx j, idx from, idx to) {
    const Tiles tiles;
    const bf16 *x = static_cast<const bf16 *>(job.work) + s.guard;
    const bf16 *g = static_cast<const bf16 *>(job.work) + s.input_bytes(true) / 2;
    const idx blocks = s.outputs / SIDE, pairs = s.positions() / 2, stride = s.stride() * 2;
    float *sums = s.sums(job) + j * TAPS * s.inputs * PAIR;
    for (idx chunk = 0; chunk < s.positions(); chunk += NEAR) {
        const idx end = std::min(chunk + NEAR, s.positions());
        for (idx i = from; i < to; i += PAIR)
            for (idx tap = 0; tap < TAPS; ++tap) {
                const bf16 *left = x + i * s.stride() + (tap / 3 - 1) * s.line + tap % 3 - 1;
                float *sum = sums + (tap * s.inputs + i) * PAIR;
                constexpr idx row = PAIR * sizeof(float);
                _tile_loadd(0, sum, row); _tile_loadd(1, sum + SIDE, row);
                _tile_loadd(2, sum + SIDE * PAIR, row);
                _tile_loadd(3, sum + SIDE * PAIR + SIDE, row);
                for (idx at = chunk; at < end; at += DEEP) {
                    _tile_loadd(4, left + at, stride);
                    _tile_loadd(5, left + SIDE * s.stride() + at, stride);
                    for (idx p = 0; p < PARTS; ++p) {
                        const bf16 *right = g + ((p * blocks + 2 * j) * pairs + at / 2) * DEEP;
                        _tile_loadd(6, right, 64);
                        _tile_loadd(7, right + pairs * DEEP, 64);
                        _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
                        _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
                    }
                }
                _tile_stored(0, sum, row); _tile_stored(1, sum + SIDE, row);
                _tile_stored(2, sum + SIDE * PAIR, row);
                _tile_stored(3, sum + SIDE * PAIR + SIDE, row);
            }
    }
}

// Returns 1, and nothing is of use, where x isn't exact in bfloat16.
int64_t gradient(const Convolution &job) {
    const Sizes s(job, true);
    bf16 *x = static_cast<bf16 *>(job.work), *g = x + s.input_bytes(true) / 2;
    std::memset(x, 0, s.input_bytes(true) + s.error_bytes() + s.sum_bytes());
    for (idx first = 0; first < job.rows; first += s.rows) {
        const idx rows = std::min(s.rows, job.rows - first);
        if (rows < s.rows) std::memset(x, 0, s.input_bytes(true) + s.error_bytes());
        std::atomic<uint32_t> lost{0};
        share(job.threads, rows, [&](idx i) {
            lost |= pack_transposed(job, s, first + i, first, x);
            pack_error(job, s, first + i, first, g);
        });
        if (lost) return 1;
        constexpr idx group = 4 * PAIR;
        const idx columns = s.outputs / PAIR, groups = (s.inputs + group - 1) / group;
        share(job.threads, columns * groups, [&](idx i) {
            const idx from = i % groups * group;
            gradient_part(job, s, i / groups, from, std::min(from + group, s.inputs));
        });
    }
    const float *sums = s.sums(job);
    share(job.threads, TAPS * job.inputs, [&](idx i) {
        const idx in = i / job.inputs * s.inputs + i % job.inputs;
        for (idx o = 0; o < job.outputs; o += PAIR)
            std::memcpy(job.out + i * job.outputs + o,
                        sums + (o / PAIR * TAPS * s.inputs + in) * PAIR,
                        std::min(PAIR, job.outputs - o) * sizeof(float));
    });
    return 0;
}

}  // namespace
