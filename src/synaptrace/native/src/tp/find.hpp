// Where the events of a dense frame, or spikes, are.
#pragma once
#include "vec.hpp"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace {

// A bit for each lane of a comparison's result, the first lane's lowest.
template <class Truth>
INLINE uint64_t lane_bits(Truth truth) {
    static_assert(sizeof truth == VECTOR_BYTES, "a comparison has a lane for each number");
    constexpr bool wide = sizeof truth[0] == 8;
#if defined(__AVX512F__)
    const __m512i lanes = reinterpret_cast<__m512i>(truth);
    return wide ? _mm512_movepi64_mask(lanes) : _mm512_movepi32_mask(lanes);
#elif defined(__AVX__)
    return static_cast<unsigned>(wide ? _mm256_movemask_pd(reinterpret_cast<__m256d>(truth))
                                      : _mm256_movemask_ps(reinterpret_cast<__m256>(truth)));
#elif defined(__SSE2__)
    return static_cast<unsigned>(wide ? _mm_movemask_pd(reinterpret_cast<__m128d>(truth))
                                      : _mm_movemask_ps(reinterpret_cast<__m128>(truth)));
#else
    uint64_t bits = 0;
    for (idx i = 0; i < idx(VECTOR_BYTES / sizeof truth[0]); ++i)
        bits |= static_cast<uint64_t>(truth[i] & 1) << i;
    return bits;
#endif
}

// Calls each(i) for the elements i < n of which test(p[i]) holds, ascending; `test` compares a
// vector as well as a number. p may start anywhere.
template <class T, class Test, class Each>
INLINE void where(const T *p, idx n, Test test, Each each) {
    constexpr idx L = Vec<T>::lanes, some = 64;
    const auto bits = [&](idx i) {
        typename Vec<T>::type x;
        std::memcpy(&x, p + i, sizeof x);
        return lane_bits(test(x));
    };
    idx i = 0;
    for (; i + some <= n; i += some) {
        uint64_t word = 0;
#pragma GCC unroll 32
        for (idx v = 0; v < some / L; ++v) word |= bits(i + v * L) << v * L;
        for (; word; word &= word - 1) each(i + __builtin_ctzll(word));
    }
    for (; i + L <= n; i += L)
        for (uint64_t word = bits(i); word; word &= word - 1) each(i + __builtin_ctzll(word));
    for (; i < n; ++i)
        if (test(p[i])) each(i);
}

// The indices of elements ≥ 0, ascending; returns how many.
template <class T>
idx indices_of_spikes(const T *xi, idx n, int32_t *index) {
    idx count = 0;
    where(xi, n, [](auto x) { return x >= decltype(x){}; },
          [&](idx i) { index[count++] = static_cast<int32_t>(i); });
    return count;
}

// The indices and values of elements ≠ 0, ascending; `ones` is cleared where a value isn't 1.
template <class T>
idx indices_of_events(const T *x, idx n, int32_t *index, T *value, bool *ones) {
    idx count = 0;
    bool same = true;
    where(x, n, [](auto y) { return y != decltype(y){}; },
          [&](idx i) {
              index[count] = static_cast<int32_t>(i);
              value[count++] = x[i];
              same &= x[i] == T(1);
          });
    *ones &= same;
    return count;
}

}  // namespace
