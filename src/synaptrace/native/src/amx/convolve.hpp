// A 3×3 convolution, padding 1, whose input is exact in bfloat16 as spikes are; maps are
// channels last. The float32 operand is cut into three bfloat16 parts, which hold all its bits, so
// the products are exact and the sums those of float32, on the matrix unit of recent processors.
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

struct Convolutions {  // what one instruction set does; 1: x isn't exact in bfloat16, nothing is done
    int64_t (*bytes)(const Convolution &job, bool gradient);
    void (*pack)(const Convolution &job, const float *weight, void *parts);
    int64_t (*forward)(const Convolution &job);
    int64_t (*gradient)(const Convolution &job);
};

constexpr int64_t SIDE = 16, DEEP = 32, PAIR = 32, PARTS = 3, TAPS = 9;
