// What the structures that Python fills look like here, for library.py to compare with its own
// field by field: a library of another version must not be run.
#include <cstddef>
#include <string>
#include <type_traits>

#include "convolve/convolve.hpp"
#include "maps/maps.hpp"
#include "tp/job.hpp"

namespace {

template <class T>
char kind_of() {
    if (std::is_pointer_v<T>) return 'p';
    if (std::is_floating_point_v<T>) return 'd';
    return std::is_integral_v<T> ? 'i' : 's';
}

template <class T>
std::string field(const char *name, size_t offset) {
    return std::string(" ") + name + ":" + kind_of<T>() + ":" + std::to_string(offset) + ":" +
           std::to_string(sizeof(T));
}

#define FIELD(name) +field<decltype(S::name)>(#name, offsetof(S, name))

// A line "structure:bytes field:kind:offset:bytes …".
#define DEFINE(structure, fields)                                                      \
    std::string describe(const structure *) {                                          \
        typedef structure S;                                                           \
        return std::string(#structure ":") + std::to_string(sizeof(S)) fields + "\n"; \
    }

DEFINE(Matrix,
       FIELD(weight) FIELD(grad) FIELD(mean) FIELD(square) FIELD(has_grad) FIELD(step)
       FIELD(rate) FIELD(beta1) FIELD(beta2) FIELD(epsilon))
DEFINE(Layer,
       FIELD(inputs) FIELD(outputs) FIELD(hard) FIELD(surrogate) FIELD(threshold) FIELD(beta)
       FIELD(lam) FIELD(scale) FIELD(weight) FIELD(recurrent))
DEFINE(Job,
       FIELD(is_double) FIELD(learn) FIELD(steps) FIELD(batch) FIELD(layers) FIELD(classes)
       FIELD(rows) FIELD(capacity) FIELD(every) FIELD(threads) FIELD(level) FIELD(count_classes)
       FIELD(whole) FIELD(eligibility) FIELD(events) FIELD(lengths) FIELD(labels) FIELD(row)
       FIELD(class_of) FIELD(counts)
       FIELD(stream_offset) FIELD(stream_index) FIELD(label_threshold) FIELD(readout_decay)
       FIELD(temperature) FIELD(margin) FIELD(confidence) FIELD(label) FIELD(label_recurrent) FIELD(readout) FIELD(layer)
       FIELD(logits) FIELD(losses) FIELD(rates) FIELD(spikes) FIELD(ends) FIELD(update))
DEFINE(State,
       FIELD(membrane) FIELD(spikes) FIELD(next_membrane) FIELD(next_spikes) FIELD(trace)
       FIELD(input_trace) FIELD(recurrent_trace) FIELD(v) FIELD(slope))
DEFINE(Step,
       FIELD(job) FIELD(state) FIELD(before) FIELD(losses) FIELD(rates) FIELD(error) FIELD(time)
       FIELD(keeps_label) FIELD(has_label))
DEFINE(Outer,
       FIELD(is_double) FIELD(rows) FIELD(outputs) FIELD(inputs) FIELD(g) FIELD(x) FIELD(grad)
       FIELD(level))
DEFINE(Fire,
       FIELD(is_double) FIELD(rows) FIELD(size) FIELD(samples) FIELD(hard) FIELD(surrogate)
       FIELD(threshold) FIELD(other_threshold) FIELD(beta) FIELD(scale) FIELD(v) FIELD(u)
       FIELD(s) FIELD(threads) FIELD(level))
DEFINE(Spread,
       FIELD(is_double) FIELD(rows) FIELD(height) FIELD(width) FIELD(channels) FIELD(pool)
       FIELD(delta) FIELD(spikes) FIELD(slope) FIELD(threads) FIELD(level))
DEFINE(Convolution,
       FIELD(rows) FIELD(height) FIELD(width) FIELD(inputs) FIELD(outputs) FIELD(x) FIELD(g)
       FIELD(out) FIELD(parts) FIELD(work) FIELD(threads) FIELD(level))

template <class... S>
std::string describe_all() {
    return (describe(static_cast<const S *>(nullptr)) + ...);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const char *synaptrace_abi() {
    static const std::string text = describe_all<Matrix, Layer, Job, State, Step, Outer, Fire, Spread, Convolution>();
    return text.c_str();
}
