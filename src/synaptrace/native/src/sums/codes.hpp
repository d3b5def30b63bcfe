// Spikes as codes: one byte for four of them.
#pragma once
#include "sizes.hpp"

namespace {

// codes[i] of four rows of n numbers, some of which may be null for zeros; returns what isn't zero or one.
inline uint32_t encode(const float *const (&rows)[4], idx n, code_t *codes) {
    constexpr uint32_t ONE = 0x3F800000;
    uint32_t lost = 0;
    for (idx from = 0; from < n; from += 64) {
        const idx some = std::min<idx>(64, n - from);
        uint32_t all[64] = {};
        for (idx r = 0; r < 4; ++r) {
            if (!rows[r]) continue;
            uint32_t bits[64];
            std::memcpy(bits, rows[r] + from, some * sizeof(float));
            for (idx i = 0; i < some; ++i) {
                const uint32_t spike = bits[i] == ONE;
                lost |= bits[i] ^ (spike ? ONE : 0);
                all[i] |= spike << (4 + r);
            }
        }
        for (idx i = 0; i < some; ++i) codes[from + i] = static_cast<code_t>(all[i]);
    }
    return lost;
}

// A row of the batch as [padded place][four of inputs]: inputs i, i + fours, i + 2 fours and i + 3 fours.
uint32_t encode_inputs(const Convolution &job, const Sizes &s, idx row, code_t *codes) {
    uint32_t lost = 0;
    code_t *to = codes + row * s.map * s.fours;
    std::memset(to, 0, s.map * s.fours);
    for (idx place = 0; place < s.places; ++place) {
        const float *x = job.x + (row * s.places + place) * job.inputs;
        const float *rows[4];
        for (idx r = 0; r < 4; ++r) rows[r] = r * s.fours < job.inputs ? x + r * s.fours : nullptr;
        code_t *at = to + s.padded(job, place) * s.fours;
        // The last of the four may be short.
        const idx whole = std::max<idx>(0, job.inputs - 3 * s.fours);
        lost |= encode(rows, whole, at);
        for (idx i = whole; i < s.fours; ++i) {
            const float *one[4];
            for (idx r = 0; r < 4; ++r) one[r] = r * s.fours + i < job.inputs ? rows[r] + i : nullptr;
            lost |= encode(one, 1, at + i);
        }
    }
    return lost;
}

// Four rows of the batch as [padded place][input].
uint32_t encode_rows(const Convolution &job, const Sizes &s, idx four, code_t *codes) {
    uint32_t lost = 0;
    code_t *to = codes + four * s.map * s.inputs;
    std::memset(to, 0, s.map * s.inputs);
    for (idx place = 0; place < s.places; ++place) {
        const float *rows[4];
        for (idx r = 0; r < 4; ++r) {
            const idx row = four * 4 + r;
            rows[r] = row < job.rows ? job.x + (row * s.places + place) * job.inputs : nullptr;
        }
        lost |= encode(rows, job.inputs, to + s.padded(job, place) * s.inputs);
    }
    return lost;
}

}  // namespace
