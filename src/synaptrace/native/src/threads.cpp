// See threads.hpp.
#include "threads.hpp"

#include <dlfcn.h>

#include <system_error>
#include <thread>
#include <vector>

namespace {

struct Crew {
    void (*member)(const void *, int64_t, int64_t);
    const void *data;
    int (*number)(), (*size)();
};

// GNU's OpenMP, which PyTorch brings along (other OpenMPs know its names, too).
struct OpenMP {
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned);
    int (*number)(), (*size)();
};

OpenMP find_openmp() {
    OpenMP found{};
#if !defined(__SANITIZE_THREAD__)  // it doesn't see how OpenMP's threads wait for each other
    found.parallel = reinterpret_cast<decltype(found.parallel)>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
    found.number = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_thread_num"));
    found.size = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_num_threads"));
#endif
    return found;
}

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

}  // namespace

void gather(int64_t threads, void (*member)(const void *, int64_t, int64_t), const void *data) {
    if (threads <= 1) return member(data, 0, 1);
    static const OpenMP openmp = find_openmp();
    if (openmp.parallel && openmp.number && openmp.size) {
        Crew crew{member, data, openmp.number, openmp.size};
        const auto start = [](void *of) {
            const Crew &c = *static_cast<const Crew *>(of);
            c.member(c.data, c.number(), c.size());
        };
        return openmp.parallel(start, &crew, static_cast<unsigned>(threads), 0);
    }
    std::atomic<int64_t> size{0};  // 0: not known yet, as the system may give fewer
    std::vector<std::thread> others;
    try {
        for (int64_t i = 1; i < threads; ++i)
            others.emplace_back([&, i] {
                int64_t n;
                while (!(n = size.load(std::memory_order_acquire))) std::this_thread::yield();
                member(data, i, n);
            });
    } catch (const std::system_error &) {  // the system gives no more threads: fewer will do
    }
    const int64_t n = static_cast<int64_t>(others.size()) + 1;
    size.store(n, std::memory_order_release);
    member(data, 0, n);
    for (std::thread &other : others) other.join();
}

void Rounds::meet(int64_t size) {
    const unsigned round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
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
