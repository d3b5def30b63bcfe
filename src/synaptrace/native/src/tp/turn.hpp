// Squares of numbers, transposed in registers.
#pragma once
#include <utility>

#include "vec.hpp"

namespace {

template <class V, int D, size_t... J>
INLINE void turn_pair(V &a, V &b, std::index_sequence<J...>) {
#if defined(__clang__) || __GNUC__ >= 12
    constexpr int L = sizeof...(J);
    const V x = a, y = b;
    a = __builtin_shufflevector(x, y, (int(J) & D ? L + int(J) - D : int(J))...);
    b = __builtin_shufflevector(x, y, (int(J) & D ? L + int(J) : int(J) + D)...);
#else
    const V x = a, y = b;
    ((a[J] = J & D ? y[J - D] : x[J], b[J] = J & D ? y[J] : x[J + D]), ...);
#endif
}

// lanes × lanes numbers, transposed: in step D the blocks of D × D beside the diagonal change places.
template <class T, int D = 1>
INLINE void turn(typename Vec<T>::type *r) {
    constexpr int L = Vec<T>::lanes;
    if constexpr (D < L) {
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i)
            if (!(i & D)) turn_pair<typename Vec<T>::type, D>(r[i], r[i + D], std::make_index_sequence<L>());
        turn<T, D * 2>(r);
    }
}

}  // namespace
