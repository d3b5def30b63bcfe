// A gradient that spikes decide: gᵀ x, which only the columns of active inputs are touched for.
#pragma once
#include "sparse.hpp"
#include "step.hpp"

namespace {

constexpr idx SCARCE = 4;  // one input in so many, at most, may be active

template <class T>
struct Laid {
    Lists<T> x;
    Room<T> room;
    T *g;  // (rows, width)
};

template <class T>
size_t lay_out(const Outer &job, char *base, Laid<T> &laid) {
    Arena arena{base};
    const idx groups = job.inputs / Vec<T>::lanes + 1;
    laid.x = lists<T>(arena, job.rows, job.rows * job.inputs);
    laid.room.tile = nullptr;
    laid.room.sum = arena.take<T>((job.inputs + Vec<T>::lanes) * OUT<T>);
    laid.room.id = arena.take<int32_t>(groups), laid.room.seen = arena.take<uint8_t>(groups);
    laid.g = arena.take<T>(job.rows * padded<T>(job.outputs));
    return arena.used;
}

template <class T>
size_t outer_bytes(const Outer &job) {
    Laid<T> laid;
    return lay_out(job, nullptr, laid);
}

template <class T>
int64_t outer(const Outer &job, void *memory) {
    Laid<T> laid;
    lay_out(job, static_cast<char *>(memory), laid);
    const idx rows = job.rows, n = job.outputs, width = padded<T>(n);
    list(static_cast<const T *>(job.x), rows, job.inputs, laid.x, [](idx) { return true; });
    if (laid.x.offset[rows] * SCARCE > rows * job.inputs) return 0;
    for (idx r = 0; r < rows; ++r) {
        std::memcpy(laid.g + r * width, static_cast<const T *>(job.g) + r * n, n * sizeof(T));
        std::memset(laid.g + r * width + n, 0, (width - n) * sizeof(T));
    }
    std::memset(laid.room.sum, 0, (job.inputs + Vec<T>::lanes) * OUT<T> * sizeof(T));
    const Groups active = groups_of(laid.x, 0, rows, job.inputs, laid.room);
    scatter(static_cast<T *>(job.grad), false, n, job.inputs, laid.x, 0, rows, active, laid.g, width,
            laid.room);
    return 1;
}

}  // namespace
