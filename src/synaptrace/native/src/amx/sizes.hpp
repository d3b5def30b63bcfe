// How a convolution's operands lie in the working memory. Positions are counted over padded maps,
// (height + 2) (width + 2) a row, so that a tap is a shift, and both the convolution and its gradient
// are nine products of matrices.
#pragma once
#include <algorithm>

#include "../convolve/convolve.hpp"

namespace {

typedef int64_t idx;
constexpr idx SIDE = 16, DEEP = 32, PAIR = 32, PARTS = 3;
typedef uint16_t bf16;
constexpr idx MOST_BYTES = idx(16) << 20;
// Positions in a task, and of a gradient those whose errors stay in the first cache.
constexpr idx CHUNK = 512, NEAR = 128, TILE = SIDE * DEEP;

constexpr idx up(idx n, idx unit) { return (n + unit - 1) / unit * unit; }

struct Sizes {
    idx line, map;     // positions of a padded line and map
    idx inputs, outputs;  // padded to 32
    idx rows;          // of the batch at a time
    idx guard;         // zeros before the first position, for the taps above it
    explicit Sizes(const Convolution &job, bool gradient)
        : line(job.width + 2), map((job.height + 2) * line), inputs(up(job.inputs, DEEP)),
          outputs(up(job.outputs, PAIR)), guard(up(line + 1, DEEP)) {
        const idx each = map * 2 * (inputs + (gradient ? PARTS * outputs : 0));
        rows = std::max<idx>(1, std::min<idx>(MOST_BYTES / each, job.rows));
    }
    idx positions() const { return up(rows * map, PAIR); }
    idx length() const { return positions() + 2 * guard; }
    // An odd number of cache lines, so that channels don't share the same few sets.
    idx stride() const { return (up(length(), DEEP) / DEEP | 1) * DEEP; }
    idx input_bytes(bool gradient) const {
        return 2 * inputs * (gradient ? stride() : length());
    }
    idx error_bytes() const { return 2 * PARTS * outputs * positions(); }
    idx sum_bytes() const { return 4 * TAPS * inputs * outputs; }
    float *sums(const Convolution &job) const {
        return reinterpret_cast<float *>(static_cast<char *>(job.work) + input_bytes(true) +
                                         error_bytes());
    }
};

}  // namespace
