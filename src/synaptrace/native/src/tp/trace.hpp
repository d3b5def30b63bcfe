// Filtered inputs x̄ = β x̄ + x of some rows of a stream. They fill up with time; as long as many are
// zero, only the others meet an error.
#pragma once
#include "vec.hpp"

namespace {

constexpr idx CHUNK = 8;   // inputs at a time
constexpr idx GROUP = 64;  // rows at a time: 8 vectors of each row's errors stay in the first cache

template <class T>
struct Trace {
    idx rows, groups;
    T *value;        // (inputs, rows)
    uint64_t *seen;  // (inputs, groups): a bit for each row in which the input ever was active

    void add(idx input, idx row, T x) const {
        value[input * rows + row] += x;
        seen[input * groups + row / GROUP] |= uint64_t(1) << row % GROUP;
    }
    void clear(idx first, idx inputs) const {
        std::memset(value + first * rows, 0, inputs * rows * sizeof(T));
        std::memset(seen + first * groups, 0, inputs * groups * sizeof(uint64_t));
    }
    void decay(idx first, idx inputs, T by) const {
        for (idx i = first * rows; i < (first + inputs) * rows; ++i) value[i] *= by;
    }
};

// out (inputs × width) += x̄ ⊗ g over one group of rows, g (rows × width) starting at its first.
template <class T>
void add_group(
    const Trace<T> &trace, idx first, idx inputs, idx group, const T *g, idx width, T *out
) {
    constexpr idx L = Vec<T>::lanes;
    int32_t row[CHUNK][GROUP];
    T value[CHUNK][GROUP];
    idx count[CHUNK] = {}, c = 0;
    for (idx i = 0; i < inputs; ++i) {
        const T *x = trace.value + (first + i) * trace.rows + group * GROUP;
        uint64_t seen = trace.seen[(first + i) * trace.groups + group];
        for (; seen; seen &= seen - 1) {
            const int at = __builtin_ctzll(seen);
            row[i][count[i]] = at, value[i][count[i]++] = x[at];
        }
    }
    for (; c + 8 * L <= width; c += 8 * L)
        for (idx i = 0; i < inputs; ++i)
            add_rows_part<T, 8, false>(out + i * width + c, g + c, width, row[i], value[i], count[i]);
    for (idx i = 0; i < inputs; ++i)
        add_rows(out + i * width + c, g + c, width, width - c, row[i], value[i], count[i]);
}

// out (inputs × width) += x̄ ⊗ g for at most CHUNK inputs: a dense product where that is less work,
// as each input of a group costs about what ten active rows do.
template <class T>
void add_traces(
    const Trace<T> &trace, idx first, idx inputs, idx rows, const T *g, idx width, T *out
) {
    idx work = 0;
    for (idx i = first * trace.groups; i < (first + inputs) * trace.groups; ++i)
        work += 10 + __builtin_popcountll(trace.seen[i]);
    if (work * 3 > inputs * rows * 2)
        return add_product<T>(inputs, width, rows, {trace.value + first * trace.rows, trace.rows, 1},
                              g, width, out, width);
    for (idx group = 0; group < trace.groups; ++group)
        add_group(trace, first, inputs, group, g + group * GROUP * width, width, out);
}

}  // namespace
