// Threads, the order of the phases, and the choice of an instruction set.
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "job.hpp"

extern const Kernels kernels_plain[2];
#ifdef WITH_AVX2
extern const Kernels kernels_avx2[2];
#endif
#ifdef WITH_AVX512
extern const Kernels kernels_avx512[2];
#endif

namespace {

struct Level {
    const char *name;
    const Kernels *kernels;
};

Level best() {
#if defined(WITH_AVX2) || defined(WITH_AVX512)
    __builtin_cpu_init();
#endif
#ifdef WITH_AVX512
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return {"avx512", kernels_avx512};
#endif
#ifdef WITH_AVX2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return {"avx2", kernels_avx2};
#endif
    return {"plain", kernels_plain};
}

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// While it lives, this thread takes numbers below the normal ones (1e-38 in float32) for zeros.
// Processors do arithmetic on them in many times the time, and Adam's moments of weights that have
// stopped learning are full of them.
class FlushTiny {
  public:
#if defined(__x86_64__)
    FlushTiny() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }  // results and operands
    ~FlushTiny() { _mm_setcsr(before_); }
    FlushTiny(const FlushTiny &) = delete;

  private:
    unsigned before_;
#elif defined(__aarch64__)
    FlushTiny() {
        __asm__ volatile("mrs %0, fpcr" : "=r"(before_));
        __asm__ volatile("msr fpcr, %0" : : "r"(before_ | 1u << 24));
    }
    ~FlushTiny() { __asm__ volatile("msr fpcr, %0" : : "r"(before_)); }
    FlushTiny(const FlushTiny &) = delete;

  private:
    uint64_t before_;
#else
    FlushTiny() {}
#endif
};

// A few threads that do tasks together and wait for each other between phases. They live as long
// as one call: nothing is left behind, and a fork between calls finds nothing broken.
class Crew {
  public:
    explicit Crew(int64_t size) : size_(size) {}

    // Every thread of the crew calls this with the same arguments.
    template <class F>
    void share(int64_t tasks, F task) {
        for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < tasks;) task(i);
        meet();
    }

    void resize(int64_t size) { size_ = size; }

  private:
    void meet() {
        const unsigned round = round_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
            arrived_.store(0, std::memory_order_relaxed);
            next_.store(0, std::memory_order_relaxed);
            {
                std::lock_guard<std::mutex> lock(mutex_);
                round_.store(round + 1, std::memory_order_release);
            }
            met_.notify_all();
            return;
        }
        for (int i = 0; i < 1000; ++i) {
            if (round_.load(std::memory_order_acquire) != round) return;
            relax();
        }
        std::unique_lock<std::mutex> lock(mutex_);
        met_.wait(lock, [&] { return round_.load(std::memory_order_relaxed) != round; });
    }

    int64_t size_;
    std::atomic<int64_t> arrived_{0}, next_{0};
    std::atomic<unsigned> round_{0};
    std::mutex mutex_;
    std::condition_variable met_;
};

// What every thread does, phase after phase; all of them count steps and updates alike.
void work(const Job &job, const Kernels &kernels, const void *memory, Crew &crew, int64_t thread) {
    const FlushTiny flush;
    const auto phase = [&](Phase name, const Block &block) {
        const int64_t tasks = kernels.tasks(memory, name, block);
        if (tasks)
            crew.share(tasks, [&](int64_t i) { kernels.task(memory, name, block, i, thread); });
    };
    Block block{0, 0, false, 0};
    phase(PACK, block);
    if (!job.learn) return phase(INFER, block);
    const int64_t most = kernels.block_steps(job);
    while (block.first < job.steps) {
        const int64_t to_update = job.every - block.first % job.every;
        const int64_t to_end = job.steps - block.first;
        block.steps = most < to_update ? most : to_update;
        if (to_end < block.steps) block.steps = to_end;
        // The update after the last step is the caller's.
        block.update = block.steps == to_update && block.steps < to_end;
        for (const Phase name : {TARGETS, DISTANCES, SAMPLES, FOLD, GRADIENTS}) phase(name, block);
        block.first += block.steps;
        block.updates += block.update;
    }
    phase(UNPACK, block);
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT const char *synaptrace_level() { return best().name; }

EXPORT int64_t synaptrace_sizes(int64_t which) { return which ? sizeof(Layer) : sizeof(Job); }

EXPORT int64_t synaptrace_bytes(const Job *job) {
    return static_cast<int64_t>(best().kernels[job->is_double].bytes(*job));
}

// Runs a whole sequence in `memory`, which starts on 64 bytes and was zeros before its first use.
EXPORT void synaptrace_run(const Job *job, void *memory) {
    const Kernels &kernels = best().kernels[job->is_double];
    kernels.open(*job, memory);
    Crew crew(0);
    std::atomic<bool> ready{false};
    std::vector<std::thread> others;
    try {
        for (int64_t i = 1; i < job->threads; ++i)
            others.emplace_back([&, i] {
                while (!ready.load(std::memory_order_acquire)) std::this_thread::yield();
                work(*job, kernels, memory, crew, i);
            });
    } catch (const std::system_error &) {  // the system gives no more threads: fewer will do
    }
    crew.resize(static_cast<int64_t>(others.size()) + 1);
    ready.store(true, std::memory_order_release);
    work(*job, kernels, memory, crew, 0);
    for (std::thread &other : others) other.join();
    kernels.close(memory);
}
