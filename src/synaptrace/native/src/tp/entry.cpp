// Entry points of a sequence, what every thread does, phase after phase, and of a step.
#include <initializer_list>

#include "../dispatch.hpp"
#include "../threads.hpp"
#include "flush.hpp"
#include "job.hpp"
#include "sections.hpp"

namespace {

const Kernels &kernels_of(const Job &job) { return target(job.level).kernels[job.is_double]; }

// All threads count steps and updates alike. `stopped` is set where an update from outside failed.
void work(
    const Job &job, const Kernels &kernels, const void *memory, Rounds &rounds, bool &stopped,
    int64_t thread, int64_t size
) {
    const auto phase = [&](Phase name, const Block &block) {
        const FlushTiny flush;  // in our own arithmetic alone
        const Section section(name, thread);
        const int64_t tasks = kernels.tasks(memory, name, block);
        if (!tasks) return;
        rounds.share(size, tasks, [&](int64_t i) { kernels.task(memory, name, block, i, thread); });
    };
    Block block{};
    phase(PACK, block);
    if (!job.learn) return phase(INFER, block);
    const int64_t most = kernels.block_steps(job), part = kernels.part_steps(job);
    while (block.first < job.steps) {
        const int64_t to_update = job.every - block.first % job.every;
        const int64_t to_end = job.steps - block.first;
        block.steps = most < to_update ? most : to_update;
        if (to_end < block.steps) block.steps = to_end;
        // The update after the last step is the caller's.
        block.update = block.steps == to_update && block.steps < to_end;
        for (const Phase name : {TARGETS, DISTANCES, SAMPLES, FOLD, FILTER}) phase(name, block);
        for (block.from = 0; block.from < block.steps; block.from = block.to) {
            block.to = block.from + part < block.steps ? block.from + part : block.steps;
            phase(GRADIENTS, block);
        }
        if (block.update && job.update) {
            phase(UNPACK, block);
            if (!thread) stopped = job.update() != 0;  // the caller's thread
            rounds.share(size, 0, [](int64_t) {});
            if (stopped) return;
            phase(REPACK, block);
        }
        block.first += block.steps;
        block.updates += block.update;
    }
    phase(UNPACK, block);
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int64_t synaptrace_bytes(const Job *job) {
    return static_cast<int64_t>(kernels_of(*job).bytes(*job));
}

// Runs a whole sequence in `memory`, which starts on 64 bytes and was zeros before its first use.
EXPORT void synaptrace_run(const Job *job, void *memory) {
    const Kernels &kernels = kernels_of(*job);
    kernels.open(*job, memory);
    Rounds rounds;
    bool stopped = false;
    crew(job->threads, [&](int64_t thread, int64_t size) {
        work(*job, kernels, memory, rounds, stopped, thread, size);
    });
    kernels.close(memory);
}

EXPORT int64_t synaptrace_step_bytes(const Step *step) {
    return static_cast<int64_t>(kernels_of(*step->job).step_bytes(*step));
}

// Does one step on the caller's thread in `memory`, which starts on 64 bytes.
EXPORT void synaptrace_step(const Step *step, void *memory) {
    const FlushTiny flush;
    kernels_of(*step->job).step(*step, memory);
}

EXPORT int64_t synaptrace_outer_bytes(const Outer *job) {
    return static_cast<int64_t>(target(job->level).kernels[job->is_double].outer_bytes(*job));
}

// Adds a product to a gradient on the caller's thread in `memory`, which starts on 64 bytes.
EXPORT int64_t synaptrace_outer(const Outer *job, void *memory) {
    const FlushTiny flush;
    return target(job->level).kernels[job->is_double].outer(*job, memory);
}
