// What Python hands over: plain structures, mirrored field by field in structures.py.
// Every array is contiguous; a matrix is (outputs, inputs) as PyTorch keeps it.
#pragma once
#include <cstddef>
#include <cstdint>

struct Matrix {
    void *weight;      // null: the matrix doesn't exist
    void *grad;        // null: not trained; else what is summed since the last update ends here
    void *mean, *square;  // Adam's moments; null: not updated before the end of the sequence
    int64_t has_grad;  // grad holds an earlier sum to go on from
    int64_t step;      // updates that Adam has done before
    double rate, beta1, beta2, epsilon;
};

struct Layer {
    int64_t inputs, outputs;
    int64_t hard;       // the reset: 0 subtracts the threshold, 1 sets to zero
    int64_t surrogate;  // 0 atan, 1 fast sigmoid, 2 triangle
    double threshold, beta, lam, scale;
    Matrix weight, recurrent;
};

struct Job {
    int64_t is_double, learn;  // float64, else float32; learn = 0: inference only
    int64_t steps, batch, layers, classes;
    int64_t rows;      // rows of the target stream, C
    int64_t capacity;  // the most rows that memory is laid out for
    int64_t every;     // steps between two updates
    int64_t threads;
    int64_t level;     // number of the instruction set, see dispatch.hpp
    int64_t count_classes;    // 1: log n enters (contrast "batch"), 0: it doesn't ("class")
    int64_t whole;            // samples of the whole batch, of which these may be a part
    int64_t eligibility;      // 1: a weight learns from its filtered input, 0: from this step's
    const void *events;       // (T, B, inputs)
    const int64_t *lengths;   // (B,) in steps, or null
    const int64_t *labels;    // (B,) class of each sample
    const int64_t *row;       // (B,) its row of the target stream
    const int64_t *class_of;  // (C,) class of each row
    const int64_t *counts;    // (T, C) samples of the whole batch that run, or null: no part
    const int64_t *stream_offset;  // (T · classes + 1,) into stream_index; null: label is trained
    const int32_t *stream_index;   // spikes of layer 1's target stream, step after step
    double label_threshold, readout_decay;
    double temperature, margin;  // τ, or 0: from the target rows, by the margin M
    double confidence;  // inference: a sample ends where a class is so probable; 0: no matter
    Matrix label, label_recurrent, readout;
    const Layer *layer;
    void *logits;      // (B, classes) out
    double *losses;    // (layers + 1,) out, summed over steps
    double *rates;     // (layers,) out, summed over steps
    int64_t *spikes;   // (layers,) out, spikes of running samples
    int64_t *ends;     // (B,) out, steps that a sample ran
    int64_t (*update)();  // updates weights from gradients where they lie outside; not 0: stop here.
                          // null: Adam's moments are given, or there is no update within
};

struct State {  // a layer's between two steps; rows are samples, then those of the target stream
    const void *membrane, *spikes;      // (R, outputs)
    void *next_membrane, *next_spikes;  // after the step; may be the same
    void *trace;                        // (R, outputs)
    void *input_trace, *recurrent_trace;  // (rows that learn, inputs or outputs), or null
    void *v, *slope;  // (R, outputs) out: the membrane before its reset, and σ'(v − θ); or null
};

struct Step {  // one step of a job, whose `events` are (B, inputs)
    const Job *job;
    const State *state;  // of each layer
    const void *before;  // (B, classes) logits of the step before
    void *losses, *rates;  // (layers + 1,) and (layers,), added to
    void *error;           // (B, classes) out: the readout's, which adds to its loss; or null
    int64_t time;          // steps before this one
    int64_t keeps_label;   // the label's recurrent weights are kept in the working memory …
    int64_t has_label;     // … where they are already
};

struct Outer {  // grad (outputs, inputs) += gᵀ x, where few of x (rows, inputs) aren't zeros
    int64_t is_double, rows, outputs, inputs;
    const void *g, *x;  // (rows, outputs), (rows, inputs)
    void *grad;
    int64_t level;
};

// One compilation of tasks.cpp for one instruction set and one type. Tasks of a phase are
// independent of each other; which thread does which never changes a bit of the result.
enum Phase { PACK, TARGETS, DISTANCES, SAMPLES, FOLD, FILTER, GRADIENTS, UNPACK, REPACK, INFER };

struct Block {  // steps first … first + steps − 1, computed between two meetings of the threads
    int64_t first, steps;
    bool update;       // the optimizer steps at its end
    int64_t updates;   // updates done before in this sequence
    int64_t from, to;  // of its steps those whose errors GRADIENTS is to take
};

struct Kernels {
    size_t (*bytes)(const Job &job);
    void (*open)(const Job &job, void *memory);
    int64_t (*block_steps)(const Job &job);
    int64_t (*part_steps)(const Job &job);  // steps whose errors GRADIENTS takes at once
    int64_t (*tasks)(const void *work, Phase phase, const Block &block);
    void (*task)(const void *work, Phase phase, const Block &block, int64_t index, int64_t thread);
    void (*close)(const void *work);
    size_t (*step_bytes)(const Step &step);
    void (*step)(const Step &step, void *memory);
    size_t (*outer_bytes)(const Outer &job);
    int64_t (*outer)(const Outer &job, void *memory);  // 0: too many aren't zeros, nothing is done
};
