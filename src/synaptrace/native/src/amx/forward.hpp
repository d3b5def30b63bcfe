// The convolution: nine products of the packed input and the packed weight.
#pragma once
#include <atomic>

#include "pack.hpp"
#include "tiles.hpp"

namespace {

// Sums of 32 positions × 32 outputs over all taps and inputs.
void products(const Sizes &s, const bf16 *x, const bf16 *weight, float *sums) {
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    for (idx tap = 0; tap < TAPS; ++tap) {
        const bf16 *at = x + ((tap / 3 - 1) * s.line + tap % 3 - 1) * s.inputs;
        for (idx i = 0; i < s.inputs; i += DEEP) {
            _tile_loadd(4, at + i, s.inputs * 2);
            _tile_loadd(5, at + i + SIDE * s.inputs, s.inputs * 2);
            for (idx p = 0; p < PARTS; ++p, weight += 2 * TILE) {
                _tile_loadd(6, weight, 64);
                _tile_loadd(7, weight + TILE, 64);
                _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
            }
        }
    }
    _tile_stored(0, sums, PAIR * 4); _tile_stored(1, sums + SIDE, PAIR * 4);
    _tile_stored(2, sums + SIDE * PAIR, PAIR * 4);
    _tile_stored(3, sums + SIDE * PAIR + SIDE, PAIR * 4);
}

// Outputs 32 j … of the positions from … to − 1, for rows first … of the batch.
void forward_part(const Convolution &job, const Sizes &s, idx first, idx rows, idx j, idx from, idx to) {
    const Tiles tiles;
    const bf16 *x = static_cast<const bf16 *>(job.work) + s.guard * s.inputs;
    const bf16 *weight = static_cast<const bf16 *>(job.parts) +
                         j * TAPS * (s.inputs / DEEP) * PARTS * 2 * TILE;
    const idx some = std::min(PAIR, job.outputs - j * PAIR);
    alignas(64) float sums[PAIR * PAIR];
    for (idx at = from; at < to; at += PAIR) {
        products(s, x + at * s.inputs, weight, sums);
        for (idx i = 0; i < PAIR; ++i) {
            const idx row = (at + i) / s.map, place = (at + i) % s.map;
            const idx py = place / s.line - 1, px = place % s.line - 1;
            if (row >= rows || py < 0 || py >= job.height || px < 0 || px >= job.width) continue;
            std::memcpy(job.out + (((first + row) * job.height + py) * job.width + px) * job.outputs +
                            j * PAIR,
                        sums + i * PAIR, some * sizeof(float));
        }
    }
}

// Returns 1, and nothing is computed, where x isn't exact in bfloat16.
int64_t forward(const Convolution &job) {
    const Sizes s(job, false);
    bf16 *x = static_cast<bf16 *>(job.work);
    std::memset(x, 0, s.input_bytes(false));
    for (idx first = 0; first < job.rows; first += s.rows) {
        const idx rows = std::min(s.rows, job.rows - first);
        std::atomic<uint32_t> lost{0};
        share(job.threads, rows, [&](idx i) { lost |= pack_input(job, s, first + i, first, x); });
        if (lost) return 1;
        const idx chunks = (rows * s.map + CHUNK - 1) / CHUNK, columns = s.outputs / PAIR;
        share(job.threads, columns * chunks, [&](idx i) {
            const idx from = i % chunks * CHUNK;
            forward_part(job, s, first, rows, i / chunks, from, std::min(from + CHUNK, rows * s.map));
        });
    }
    return 0;
}

}  // namespace
