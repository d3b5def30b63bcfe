// Threads that work together, the one place where they come from.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

// Calls member(data, thread, size) on `size` ≤ `threads` threads at once and returns when all have
// ended. They are PyTorch's own where they can be found, as others would wait for its to stop
// spinning; else new ones that live as long as the call.
void gather(int64_t threads, void (*member)(const void *, int64_t, int64_t), const void *data);

template <class F>
void crew(int64_t threads, const F &member) {
    gather(threads, [](const void *f, int64_t i, int64_t n) { (*static_cast<const F *>(f))(i, n); },
           &member);
}

// Calls task(i) for i < tasks, on so many threads at most.
template <class F>
void share(int64_t threads, int64_t tasks, const F &task) {
    std::atomic<int64_t> next{0};
    crew(threads < tasks ? threads : tasks, [&](int64_t, int64_t) {
        for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) task(i);
    });
}

// What a crew needs to do one share after another: each ends before the next begins.
class Rounds {
  public:
    // Every thread of the crew calls this with the same arguments, `size` being their number.
    template <class F>
    void share(int64_t size, int64_t tasks, F task) {
        for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < tasks;) task(i);
        meet(size);
    }

  private:
    void meet(int64_t size);

    std::atomic<int64_t> arrived_{0}, next_{0};
    std::atomic<unsigned> round_{0};
    std::mutex mutex_;
    std::condition_variable met_;
};
