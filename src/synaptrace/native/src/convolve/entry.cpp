// Entry points of the convolutions.
#include "../dispatch.hpp"
#include "convolve.hpp"

namespace {

const Convolutions &of(const Convolution *job) { return *target(job->level).convolutions; }

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int64_t synaptrace_convolution_bytes(const Convolution *job, int64_t need) {
    return of(job).bytes(*job, static_cast<Need>(need));
}

EXPORT void synaptrace_convolution_pack(const Convolution *job, const float *weight, void *parts) {
    of(job).pack(*job, weight, parts);
}

EXPORT int64_t synaptrace_convolution_forward(const Convolution *job) {
    return of(job).forward(*job);
}

EXPORT int64_t synaptrace_convolution_gradient(const Convolution *job) {
    return of(job).gradient(*job);
}
