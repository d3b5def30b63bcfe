// The convolution: for each place and tap, the sums of the weights of inputs that spike.
#pragma once
#include <atomic>

#include "codes.hpp"
#include "table.hpp"

namespace {

// weight (outputs, 3, 3, inputs) → parts [block of outputs][tap][four][4][WIDE], zeros where there is
// nothing.
void pack_weight(const Convolution &job, const float *weight, void *parts) {
    const Sizes s(job, FORWARD);
    share(job.threads, s.blocks * TAPS, [&](idx task) {
        const idx block = task / TAPS, tap = task % TAPS;
        float *to = static_cast<float *>(parts) + task * s.fours * 4 * WIDE;
        std::memset(to, 0, s.fours * 4 * WIDE * sizeof(float));
        const idx some = std::min(WIDE, job.outputs - block * WIDE);
        for (idx r = 0; r < 4; ++r)
            for (idx f = 0; f < s.fours && r * s.fours + f < job.inputs; ++f) {
                const float *at = weight + (block * WIDE * TAPS + tap) * job.inputs + r * s.fours + f;
                for (idx o = 0; o < some; ++o)
                    to[(f * 4 + r) * WIDE + o] = at[o * TAPS * job.inputs];
            }
    });
}

// A block of outputs of the results from … to − 1, which are counted over places of all rows.
void forward_part(const Convolution &job, const Sizes &s, idx block, idx from, idx to) {
    const float *weight = static_cast<const float *>(job.parts) + block * TAPS * s.fours * 4 * WIDE;
    const code_t *codes = static_cast<const code_t *>(job.work);
    const idx count = to - from;
    alignas(64) float results[MOST * WIDE];
    idx at[MOST];
    Tables tables;
    std::memset(results, 0, count * WIDE * sizeof(float));
    for (idx i = 0; i < count; ++i)
        at[i] = ((from + i) / s.places * s.map + s.padded(job, (from + i) % s.places)) * s.fours;
    for (idx tap = 0; tap < TAPS; ++tap)
        for (idx first = 0; first < s.fours; first += DEEP) {
            const idx deep = std::min(DEEP, s.fours - first);
            for (idx k = 0; k < deep; ++k, weight += 4 * WIDE) tables.make(k, weight);
            const code_t *here = codes + s.shift(tap) * s.fours + first;
            idx i = 0;
            for (; i + LINES <= count; i += LINES) {
                const code_t *lines[LINES];
                for (idx l = 0; l < LINES; ++l) lines[l] = here + at[i + l];
                tables.add<LINES>(deep, results + i * WIDE, [&](idx l, idx k) { return lines[l][k]; });
            }
            for (; i < count; ++i) {
                const code_t *line = here + at[i];
                tables.add<1>(deep, results + i * WIDE, [&](idx, idx k) { return line[k]; });
            }
        }
    const idx some = std::min(WIDE, job.outputs - block * WIDE);
    for (idx i = 0; i < count; ++i)
        std::memcpy(job.out + (from + i) * job.outputs + block * WIDE, results + i * WIDE,
                    some * sizeof(float));
}

int64_t forward(const Convolution &job) {
    const Sizes s(job, FORWARD);
    code_t *codes = static_cast<code_t *>(job.work);
    std::atomic<uint32_t> lost{0};
    share(job.threads, job.rows, [&](idx row) { lost |= encode_inputs(job, s, row, codes); });
    if (lost) return 1;
    const idx all = job.rows * s.places, chunks = (all + MOST - 1) / MOST;
    share(job.threads, s.blocks * chunks, [&](idx i) {
        const idx from = i % chunks * MOST;
        forward_part(job, s, i / chunks, from, std::min(from + MOST, all));
    });
    return 0;
}

}  // namespace
