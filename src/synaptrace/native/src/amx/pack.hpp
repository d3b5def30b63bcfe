// Operands as the matrix unit takes them, in bfloat16.
#pragma once
#include <immintrin.h>

#include <cstring>

#include "../threads.hpp"
#include "sizes.hpp"

namespace {

inline uint32_t bits(float x) {
    uint32_t n;
    std::memcpy(&n, &x, sizeof n);
    return n;
}

// Each place of rows first … first + n − 1: call(position, pointer) with its channels.
template <class F>
void places(const Convolution &job, const Sizes &s, const float *maps, idx channels, idx row, idx first, F call) {
    for (idx y = 0; y < job.height; ++y)
        for (idx x = 0; x < job.width; ++x)
            call((row - first) * s.map + (y + 1) * s.line + x + 1,
                 maps + ((row * job.height + y) * job.width + x) * channels);
}

// x as [position][channel]; returns the bits that bfloat16 has no room for.
uint32_t pack_input(const Convolution &job, const Sizes &s, idx row, idx first, bf16 *to) {
    uint32_t lost = 0;
    places(job, s, job.x, job.inputs, row, first, [&](idx at, const float *x) {
        bf16 *out = to + (s.guard + at) * s.inputs;
        for (idx i = 0; i < job.inputs; ++i) {
            lost |= bits(x[i]);
            out[i] = static_cast<bf16>(bits(x[i]) >> 16);
        }
    });
    return lost & 0xFFFFu;
}

inline __m512i words(const float *p, __mmask16 some) {
    return _mm512_castps_si512(_mm512_maskz_loadu_ps(some, p));
}

inline __mmask16 first(idx n) {
    return static_cast<__mmask16>(n >= SIDE ? 0xFFFF : n > 0 ? (1 << n) - 1 : 0);
}

// 0, step, 2 step … 15 step.
inline __m512i steps(idx step) {
    return _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
        _mm512_set1_epi32(static_cast<int>(step)));
}

// The upper halves of x, rounded to nearest even, still as the bits of floats.
inline __m512i rounded(__m512 x) {
    const __m512i n = _mm512_castps_si512(x);
    const __m512i even = _mm512_and_si512(_mm512_srli_epi32(n, 16), _mm512_set1_epi32(1));
    const __m512i most = _mm512_add_epi32(_mm512_set1_epi32(0x7FFF), even);
    return _mm512_and_si512(_mm512_add_epi32(n, most), _mm512_set1_epi32(static_cast<int>(0xFFFF0000u)));
}

// x as [channel][position]: pairs of positions as words, which 16 channels scatter to their lines.
uint32_t pack_transposed(const Convolution &job, const Sizes &s, idx row, idx first_row, bf16 *to) {
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
    const __m512i lines = steps(SIDE);
    __m512i lost = _mm512_setzero_si512();
    for (idx y = 0; y < job.height; ++y) {
        const float *line = job.x + (row * job.height + y) * job.width * job.inputs;
        bf16 *out = to + s.guard + (row - first_row) * s.map + (y + 1) * s.line + 1;
        for (idx from = 0; from < job.inputs; from += SIDE) {
            const idx channels = std::min(SIDE, job.inputs - from);
            const __mmask16 some = first(channels);
            for (idx x = 0; x < job.width; x += DEEP) {
                const idx wide = std::min(DEEP, job.width - x);
                alignas(64) uint32_t part[SIDE * SIDE];
                const float *at = line + x * job.inputs + from;
                for (idx j = 0; j < wide; j += 2, at += 2 * job.inputs) {
                    const __m512i even = words(at, some);
                    const __m512i odd = words(at + job.inputs, j + 1 < wide ? some : __mmask16(0));
                    lost = _mm512_or_si512(lost, _mm512_or_si512(even, odd));
                    const __m512i pair = _mm512_or_si512(_mm512_srli_epi32(even, 16),
                                                         _mm512_and_si512(odd, upper));
                    _mm512_i32scatter_epi32(part + j / 2, lines, pair, 4);
                }
                for (idx i = 0; i < channels; ++i)
                    std::memcpy(out + (from + i) * s.stride() + x, part + i * SIDE, wide * sizeof(bf16));
            }
        }
    }
    return static_cast<uint32_t>(_mm512_reduce_or_epi32(lost)) & 0xFFFFu;
}

// g as [part][16 channels][pair of positions][channel][2].
void pack_error(const Convolution &job, const Sizes &s, idx row, idx first_row, bf16 *to) {
    const idx blocks = s.outputs / SIDE, pairs = s.positions() / 2;
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
    places(job, s, job.g, job.outputs, row, first_row, [&](idx at, const float *g) {
        for (idx b = 0; b * SIDE < job.outputs; ++b) {
            __m512 rest = _mm512_maskz_loadu_ps(first(job.outputs - b * SIDE), g + b * SIDE);
            bf16 *out = to + (b * pairs + at / 2) * DEEP;
            for (idx p = 0; p < PARTS; ++p, out += blocks * pairs * DEEP) {
                const __m512i part = rounded(rest);
                rest = _mm512_sub_ps(rest, _mm512_castsi512_ps(part));
                // The other half of the word is the pair's other place: what is there stays.
                const __m512i there = _mm512_load_si512(out);
                const __m512i both =
                    at % 2 ? _mm512_or_si512(_mm512_andnot_si512(upper, there), part)
                           : _mm512_or_si512(_mm512_and_si512(upper, there), _mm512_srli_epi32(part, 16));
                _mm512_store_si512(out, both);
            }
        }
    });
}

// weight (outputs, 3, 3, inputs) → parts [32 outputs][tap][32 inputs][part][16 outputs][pairs of
// inputs][output][2].
void pack_weight(const Convolution &job, const float *weight, void *parts) {
    const Sizes s(job, false);
    const idx deep = s.inputs / DEEP;
    const __m512i lines = steps(SIDE);
    // A tile has a line for each pair of inputs; an output's word in each is scattered at once.
    share(job.threads, s.outputs / SIDE * TAPS, [&](idx task) {
        const idx outputs = task / TAPS, tap = task % TAPS;
        for (idx from = 0; from < s.inputs; from += DEEP) {
            bf16 *to = static_cast<bf16 *>(parts) + outputs % 2 * TILE +
                       ((outputs / 2 * TAPS + tap) * deep + from / DEEP) * PARTS * 2 * TILE;
            for (idx o = 0; o < SIDE; ++o) {
                const idx output = outputs * SIDE + o;
                const idx left = output < job.outputs ? job.inputs - from : 0;
                const float *at = weight + (std::min(output, job.outputs - 1) * TAPS + tap) * job.inputs + from;
                __m512 low = _mm512_maskz_loadu_ps(first(left), at);
                __m512 high = _mm512_maskz_loadu_ps(first(left - SIDE), at + SIDE);
                for (idx p = 0; p < PARTS; ++p) {
                    const __m512i one = rounded(low), two = rounded(high);
                    const __m256i front = _mm512_cvtepi32_epi16(_mm512_srli_epi32(one, 16));
                    const __m256i back = _mm512_cvtepi32_epi16(_mm512_srli_epi32(two, 16));
                    const __m512i pairs = _mm512_inserti64x4(_mm512_castsi256_si512(front), back, 1);
                    _mm512_i32scatter_epi32(to + p * 2 * TILE + 2 * o, lines, pairs, 4);
                    low = _mm512_sub_ps(low, _mm512_castsi512_ps(one));
                    high = _mm512_sub_ps(high, _mm512_castsi512_ps(two));
                }
            }
        }
    });
}

}  // namespace
