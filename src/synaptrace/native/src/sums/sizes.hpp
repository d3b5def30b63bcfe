// Sums that are looked up: spikes are zeros and ones, so that of four rows of numbers there are
// sixteen sums, and one addition does for four inputs what a product of matrices needs four for,
// however many of them spike.
//
//     forward    the four are inputs of one tap, the rows their weights
//     gradient   the four are rows of the batch at one place, the rows their errors
//
// Maps are padded, (height + 2) (width + 2) places, so that a tap is a shift.
#pragma once
#include <algorithm>
#include <cstring>

#include "../convolve/convolve.hpp"
#include "../threads.hpp"
#include "../tp/vec.hpp"

namespace {

typedef uint8_t code_t;  // which of four are one, times 16
constexpr idx LANES = Vec<float>::lanes;
// Outputs in a block; the vectors that hold them; lines of results at a time, so that eight additions
// don't wait for each other; tables at a time, 16 KiB, so that they stay in the first cache.
constexpr idx WIDE = LANES == 16 ? 32 : 16, VECTORS = WIDE / LANES, LINES = 8 / VECTORS;
constexpr idx DEEP = (16 << 10) / (16 * WIDE * 4);
constexpr idx MOST = (64 << 10) / (WIDE * 4);  // results in a task: 64 KiB, in the second cache

constexpr idx up(idx n, idx unit) { return (n + unit - 1) / unit * unit; }

struct Sizes {
    idx line, map;             // places of a padded line and map
    idx places;                // of a map that isn't padded
    idx inputs;                // padded to lines
    idx fours;                 // of inputs, or of rows
    idx blocks;                // of outputs
    idx codes;                 // bytes
    Sizes(const Convolution &job, Need need)
        : line(job.width + 2), map((job.height + 2) * line), places(job.height * job.width),
          inputs(up(job.inputs, LINES)), blocks((job.outputs + WIDE - 1) / WIDE) {
        fours = ((need == GRADIENT ? job.rows : job.inputs) + 3) / 4;
        codes = up((need == GRADIENT ? inputs : job.rows) * map * fours, 64);
    }
    // Where a place of a map lies in the padded one.
    idx padded(const Convolution &job, idx place) const {
        return (place / job.width + 1) * line + place % job.width + 1;
    }
    idx shift(idx tap) const { return (tap / 3 - 1) * line + tap % 3 - 1; }
    idx results() const { return TAPS * inputs * WIDE; }  // of the gradient, for a block of outputs
};

}  // namespace
