// A 3×3 convolution, padding 1, whose input is spikes; maps are channels last. amx/ and sums/ are two
// ways to do it, both with the sums of float32.
#pragma once
#include <cstdint>

struct Convolution {  // mirrored field by field in structures.py
    int64_t rows, height, width, inputs, outputs;
    const float *x;     // (rows, height, width, inputs)
    const float *g;     // gradient: (rows, height, width, outputs)
    float *out;         // forward: like g; gradient: (3, 3, inputs, outputs)
    const void *parts;  // forward: the packed weight
    void *work;         // working memory, from 64 bytes on
    int64_t threads, level;  // level: number of the instruction set, see dispatch.hpp
};

// What needs memory, and how it is numbered in convolve.py.
enum Need : int64_t { FORWARD, GRADIENT, PARTS_OF_WEIGHT };

struct Convolutions {  // what one instruction set does; 1: x isn't spikes, and nothing is to be used
    int64_t least;     // inputs, with fewer of which it doesn't pay
    int64_t (*bytes)(const Convolution &job, Need need);
    void (*pack)(const Convolution &job, const float *weight, void *parts);
    int64_t (*forward)(const Convolution &job);
    int64_t (*gradient)(const Convolution &job);
};

constexpr int64_t TAPS = 9;
