// The gradient of the weight: for each tap and input, the sums of the errors at places where it spiked.
#pragma once
#include <atomic>

#include "codes.hpp"
#include "table.hpp"

namespace {

// The errors of four rows of the batch at one place, a block of outputs each.
INLINE void errors(const Convolution &job, const Sizes &s, idx four, idx place, idx block, float *to) {
    const idx some = std::min(WIDE, job.outputs - block * WIDE);
    for (idx r = 0; r < 4; ++r, to += WIDE) {
        const idx row = four * 4 + r;
        if (row >= job.rows) {
            std::memset(to, 0, WIDE * sizeof(float));
            continue;
        }
        const float *g = job.g + (row * s.places + place) * job.outputs + block * WIDE;
        if (some == WIDE) {
            std::memcpy(to, g, WIDE * sizeof(float));
        } else {
            std::memset(to, 0, WIDE * sizeof(float));
            std::memcpy(to, g, some * sizeof(float));
        }
    }
}

// Taps first … last − 1 of a block of outputs.
void gradient_part(const Convolution &job, const Sizes &s, idx block, idx first, idx last) {
    const code_t *codes = static_cast<const code_t *>(job.work);
    float *all = reinterpret_cast<float *>(static_cast<char *>(job.work) + s.codes) + block * s.results();
    std::memset(all + first * s.inputs * WIDE, 0, (last - first) * s.inputs * WIDE * sizeof(float));
    Tables tables;
    for (idx four = 0; four < s.fours; ++four)
        for (idx from = 0; from < s.places; from += DEEP) {
            const idx deep = std::min(DEEP, s.places - from);
            idx at[DEEP];
            for (idx k = 0; k < deep; ++k) {
                alignas(64) float rows[4 * WIDE];
                errors(job, s, four, from + k, block, rows);
                tables.make(k, rows);
                at[k] = (four * s.map + s.padded(job, from + k)) * s.inputs;
            }
            for (idx tap = first; tap < last; ++tap) {
                const code_t *here = codes + s.shift(tap) * s.inputs;
                float *results = all + tap * s.inputs * WIDE;
                for (idx i = 0; i < s.inputs; i += LINES)
                    tables.add<LINES>(deep, results + i * WIDE,
                                      [&](idx l, idx k) { return here[at[k] + i + l]; });
            }
        }
    const idx some = std::min(WIDE, job.outputs - block * WIDE);
    for (idx tap = first; tap < last; ++tap)
        for (idx i = 0; i < job.inputs; ++i)
            std::memcpy(job.out + (tap * job.inputs + i) * job.outputs + block * WIDE,
                        all + (tap * s.inputs + i) * WIDE, some * sizeof(float));
}

int64_t gradient(const Convolution &job) {
    const Sizes s(job, GRADIENT);
    code_t *codes = static_cast<code_t *>(job.work);
    std::atomic<uint32_t> lost{0};
    share(job.threads, s.fours, [&](idx four) { lost |= encode_rows(job, s, four, codes); });
    if (lost) return 1;
    // A line of taps is a task of its own where there are threads for it.
    const idx parts = s.blocks < 2 * job.threads ? 3 : 1, taps = TAPS / parts;
    share(job.threads, s.blocks * parts, [&](idx i) {
        gradient_part(job, s, i / parts, i % parts * taps, (i % parts + 1) * taps);
    });
    return 0;
}

}  // namespace
