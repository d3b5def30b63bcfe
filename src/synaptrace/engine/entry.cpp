// Entry points of the work on maps: threads, and the choice of an instruction set.
#include <dlfcn.h>

#include <atomic>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include "maps.hpp"

extern const Maps maps_plain;
#ifdef WITH_AVX2
extern const Maps maps_avx2;
#endif
#ifdef WITH_AVX512
extern const Maps maps_avx512;
#endif

extern "C" const char *synaptrace_level();

namespace {

const Maps &maps() {
    [[maybe_unused]] const char *level = synaptrace_level();
#ifdef WITH_AVX512
    if (!std::strcmp(level, "avx512")) return maps_avx512;
#endif
#ifdef WITH_AVX2
    if (!std::strcmp(level, "avx2")) return maps_avx2;
#endif
    return maps_plain;
}

struct Shared {
    void (*task)(const void *, int64_t);
    const void *data;
    int64_t tasks;
    std::atomic<int64_t> next{0};
};

void serve(void *shared) {
    Shared &work = *static_cast<Shared *>(shared);
    for (int64_t i; (i = work.next.fetch_add(1, std::memory_order_relaxed)) < work.tasks;)
        work.task(work.data, i);
}

}  // namespace

void parallel(int64_t threads, int64_t tasks, void (*task)(const void *, int64_t), const void *data) {
    Shared work{task, data, tasks};
    if (threads > tasks) threads = tasks;
    if (threads <= 1) return serve(&work);
    typedef void (*Start)(void (*)(void *), void *, unsigned, unsigned);
    static const Start pool = reinterpret_cast<Start>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
    if (pool) return pool(serve, &work, static_cast<unsigned>(threads), 0);
    std::vector<std::thread> others;
    try {
        for (int64_t i = 1; i < threads; ++i) others.emplace_back(serve, &work);
    } catch (const std::system_error &) {  // the system gives no more threads: fewer will do
    }
    serve(&work);
    for (std::thread &other : others) other.join();
}

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int64_t synaptrace_maps_sizes(int64_t which) { return which ? sizeof(Spread) : sizeof(Fire); }

EXPORT void synaptrace_fire(const Fire *job) {
    const auto row = maps().fire[job->is_double];
    share(job->threads, job->rows, [&](int64_t i) { row(*job, i); });
}

EXPORT void synaptrace_spread(const Spread *job) {
    const auto row = maps().spread[job->is_double];
    share(job->threads, job->rows, [&](int64_t i) { row(*job, i); });
}
