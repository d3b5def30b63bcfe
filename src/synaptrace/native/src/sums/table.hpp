// A table of sums, and how it is used.
#pragma once
#include "sizes.hpp"

namespace {

typedef Vec<float>::type Floats;

struct alignas(64) Tables {
    float sum[DEEP][16][WIDE];

    // All sums of four rows of WIDE numbers, from 16 or more bytes on.
    INLINE void make(idx k, const float *rows) {
        float(*t)[WIDE] = sum[k];
        for (idx v = 0; v < WIDE; v += LANES) {
            Floats s[16];
            s[0] = Floats{};
            for (idx r = 0; r < 4; ++r) {
                const Floats row = load(rows + r * WIDE + v);
                const idx have = idx(1) << r;
#pragma GCC unroll 8
                for (idx n = 0; n < have; ++n) s[have + n] = s[n] + row;
            }
            for (idx n = 0; n < 16; ++n) store(t[n] + v, s[n]);
        }
    }

    // Adds the sums that code(line, k) names, k < deep, to so many lines of WIDE results.
    template <idx COUNT, class F>
    INLINE void add(idx deep, float *results, const F &code) const {
        Floats total[COUNT][VECTORS] = {};
        for (idx k = 0; k < deep; ++k) {
            const char *table = reinterpret_cast<const char *>(sum[k]);
#pragma GCC unroll 8
            for (idx i = 0; i < COUNT; ++i) {
                const float *at = reinterpret_cast<const float *>(table + size_t(code(i, k)) * (WIDE / 4));
#pragma GCC unroll 8
                for (idx v = 0; v < VECTORS; ++v) total[i][v] += load(at + v * LANES);
            }
        }
#pragma GCC unroll 8
        for (idx i = 0; i < COUNT; ++i)
#pragma GCC unroll 8
            for (idx v = 0; v < VECTORS; ++v) {
                float *to = results + i * WIDE + v * LANES;
                store(to, load(to) + total[i][v]);
            }
    }
};

}  // namespace
