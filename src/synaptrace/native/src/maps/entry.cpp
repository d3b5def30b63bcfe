// Entry points of the work on maps.
#include "../dispatch.hpp"
#include "../threads.hpp"
#include "maps.hpp"

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void synaptrace_fire(const Fire *job) {
    const auto row = target(job->level).maps->fire[job->is_double];
    share(job->threads, job->rows, [&](int64_t i) { row(*job, i); });
}

EXPORT void synaptrace_spread(const Spread *job) {
    const auto row = target(job->level).maps->spread[job->is_double];
    share(job->threads, job->rows, [&](int64_t i) { row(*job, i); });
}
