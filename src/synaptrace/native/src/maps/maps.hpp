// What the layers of a convolutional network do to their maps, in PyTorch's channels-last order:
// (rows, height, width, channels) in memory. Structures are mirrored field by field in structures.py.
#pragma once
#include <cstdint>

struct Fire {  // v → s and σ'(v − θ), u → the membrane after the reset
    int64_t is_double, rows, size;  // size: numbers in a row
    int64_t samples;                // the first rows, whose threshold is the first one
    int64_t hard, surrogate;        // as in tp/job.hpp
    double threshold, other_threshold, beta, scale;
    void *v;  // in: input current; out: σ'
    void *u;  // in: u of the step before; out: u
    void *s;  // out
    int64_t threads, level;  // level: number of the instruction set, see dispatch.hpp
};

struct Spread {  // g = σ' ⊙ (the transpose of max-pooling) δ, in place of σ'
    int64_t is_double, rows, height, width, channels, pool;
    const void *delta;   // (rows, height / pool, width / pool, channels)
    const void *spikes;  // (rows, height, width, channels)
    void *slope;         // the same; in: σ', out: g
    int64_t threads, level;  // level: number of the instruction set, see dispatch.hpp
};

struct Maps {  // one compilation of maps.cpp for one instruction set: a row's work, float32 and float64
    void (*fire[2])(const Fire &job, int64_t row);
    void (*spread[2])(const Spread &job, int64_t row);
};
