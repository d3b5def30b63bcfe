// Inner loops on rows of numbers. Rows are padded with zeros to 64 bytes and start on 64 bytes.
// The vector types are GCC's and Clang's own: one source for SSE, AVX2, AVX-512 and NEON.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define MANY_REGISTERS 1
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define MANY_REGISTERS 0
#else
#define VECTOR_BYTES 16
#if defined(__aarch64__)
#define MANY_REGISTERS 1
#else
#define MANY_REGISTERS 0
#endif
#endif
#define INLINE inline __attribute__((always_inline))

namespace {

typedef int64_t idx;
constexpr idx PAD_BYTES = 64;

template <class T>
struct Vec {
    typedef T type __attribute__((vector_size(VECTOR_BYTES)));
    static constexpr idx lanes = VECTOR_BYTES / sizeof(T);
};

template <class T>
constexpr idx padded(idx n) {
    constexpr idx unit = PAD_BYTES / sizeof(T);
    return (n + unit - 1) / unit * unit;
}

template <class T>
INLINE typename Vec<T>::type load(const T *p) {
    return *reinterpret_cast<const typename Vec<T>::type *>(p);
}

template <class T>
INLINE void store(T *p, typename Vec<T>::type v) {
    *reinterpret_cast<typename Vec<T>::type *>(p) = v;
}

template <class T>
INLINE typename Vec<T>::type load_anywhere(const T *p) {
    typename Vec<T>::type v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

template <class T>
INLINE T sum(typename Vec<T>::type v) {
    T lane[Vec<T>::lanes];
    std::memcpy(lane, &v, sizeof v);
    for (idx half = Vec<T>::lanes / 2; half; half /= 2)
        for (idx i = 0; i < half; ++i) lane[i] += lane[i + half];
    return lane[0];
}

// out[0:width] += Σ_i value_i · row(index_i), the rows `stride` apart; no value: ones.
template <class T, int N, bool ONES>
INLINE void add_rows_part(
    T *out, const T *rows, idx stride, const int32_t *index, const T *value, idx n
) {
    typename Vec<T>::type total[N];
    constexpr idx L = Vec<T>::lanes;
#pragma GCC unroll 16
    for (int v = 0; v < N; ++v) total[v] = load(out + v * L);
    for (idx i = 0; i < n; ++i) {
        const T *row = rows + index[i] * stride;
#pragma GCC unroll 16
        for (int v = 0; v < N; ++v)
            total[v] += ONES ? load(row + v * L) : load(row + v * L) * value[i];
    }
#pragma GCC unroll 16
    for (int v = 0; v < N; ++v) store(out + v * L, total[v]);
}

template <class T, bool ONES>
void add_rows_by(
    T *out, const T *rows, idx stride, idx width, const int32_t *index, const T *value, idx n
) {
    constexpr idx L = Vec<T>::lanes;
    idx c = 0;
    for (; c + 8 * L <= width; c += 8 * L)
        add_rows_part<T, 8, ONES>(out + c, rows + c, stride, index, value, n);
    for (; c + 2 * L <= width; c += 2 * L)
        add_rows_part<T, 2, ONES>(out + c, rows + c, stride, index, value, n);
    for (; c < width; c += L)
        add_rows_part<T, 1, ONES>(out + c, rows + c, stride, index, value, n);
}

template <class T>
void add_rows(
    T *out, const T *rows, idx stride, idx width, const int32_t *index, const T *value, idx n
) {
    if (!n) return;
    if (value)
        add_rows_by<T, false>(out, rows, stride, width, index, value, n);
    else
        add_rows_by<T, true>(out, rows, stride, width, index, value, n);
}

// A strided operand: element (i, k) is at p[i · row + k · col].
template <class T>
struct View {
    const T *p;
    idx row, col;
};

// out (m × n) += a (m × k) b (k × n); b's and out's rows are padded, n is a padded width.
template <class T, int M, int N>
INLINE void add_product_part(idx k, View<T> a, const T *b, idx b_row, T *out, idx out_row) {
    typename Vec<T>::type total[M][N];
    constexpr idx L = Vec<T>::lanes;
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 8
        for (int v = 0; v < N; ++v) total[i][v] = load(out + i * out_row + v * L);
    for (idx j = 0; j < k; ++j) {
#pragma GCC unroll 8
        for (int i = 0; i < M; ++i) {
            const T x = a.p[i * a.row + j * a.col];
#pragma GCC unroll 8
            for (int v = 0; v < N; ++v) total[i][v] += x * load(b + j * b_row + v * L);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 8
        for (int v = 0; v < N; ++v) store(out + i * out_row + v * L, total[i][v]);
}

template <class T, int N>
INLINE void add_product_columns(
    idx m, idx k, View<T> a, const T *b, idx b_row, T *out, idx out_row
) {
    idx i = 0;
    for (; i + 4 <= m; i += 4)
        add_product_part<T, 4, N>(k, {a.p + i * a.row, a.row, a.col}, b, b_row,
                                  out + i * out_row, out_row);
    for (; i < m; ++i)
        add_product_part<T, 1, N>(k, {a.p + i * a.row, a.row, a.col}, b, b_row,
                                  out + i * out_row, out_row);
}

template <class T>
void add_product(idx m, idx n, idx k, View<T> a, const T *b, idx b_row, T *out, idx out_row) {
    constexpr idx L = Vec<T>::lanes, deep = 256;  // so many rows of b stay in the first cache
    constexpr int N = MANY_REGISTERS ? 4 : VECTOR_BYTES == 32 ? 3 : 2;
    for (idx j = 0; j < k; j += deep) {
        const idx some = std::min(deep, k - j);
        const View<T> part{a.p + j * a.col, a.row, a.col};
        const T *rows = b + j * b_row;
        idx c = 0;
        for (; c + N * L <= n; c += N * L)
            add_product_columns<T, N>(m, some, part, rows + c, b_row, out + c, out_row);
        for (; c < n; c += L)
            add_product_columns<T, 1>(m, some, part, rows + c, b_row, out + c, out_row);
    }
}

// out (m × c) = a (m × n) bᵀ, b (c × n): scalar products of padded rows.
template <class T, int M, int C>
INLINE void products_part(idx n, const T *a, idx a_row, const T *b, idx b_row, T *out, idx out_row) {
    typename Vec<T>::type total[M][C] = {};
    for (idx j = 0; j < n; j += Vec<T>::lanes)
#pragma GCC unroll 8
        for (int i = 0; i < M; ++i)
#pragma GCC unroll 8
            for (int c = 0; c < C; ++c)
                total[i][c] += load(a + i * a_row + j) * load(b + c * b_row + j);
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) out[i * out_row + c] = sum<T>(total[i][c]);
}

template <class T, int M>
INLINE void products_rows(idx c, idx n, const T *a, idx a_row, const T *b, idx b_row, T *out, idx out_row) {
    constexpr int C = MANY_REGISTERS ? 4 : 2;
    idx j = 0;
    for (; j + C <= c; j += C)
        products_part<T, M, C>(n, a, a_row, b + j * b_row, b_row, out + j, out_row);
    for (; j < c; ++j)
        products_part<T, M, 1>(n, a, a_row, b + j * b_row, b_row, out + j, out_row);
}

template <class T>
void products(idx m, idx c, idx n, const T *a, idx a_row, const T *b, idx b_row, T *out, idx out_row) {
    idx i = 0;
    for (; i + 4 <= m; i += 4)
        products_rows<T, 4>(c, n, a + i * a_row, a_row, b, b_row, out + i * out_row, out_row);
    for (; i < m; ++i)
        products_rows<T, 1>(c, n, a + i * a_row, a_row, b, b_row, out + i * out_row, out_row);
}

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

// Calls each(i) for the elements i < n of which test(p[i]) holds, ascending; `test` compares a vector
// as well as a number. p may start anywhere.
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

// to (columns × rows, rows `to_row` apart) = transpose of from (rows × columns), a part of it.
template <class T>
void transpose(const T *from, idx from_row, T *to, idx to_row, idx rows, idx columns) {
    constexpr idx tile = 16;
    for (idx i = 0; i < rows; i += tile)
        for (idx j = 0; j < columns; j += tile) {
            const idx i_end = std::min(i + tile, rows), j_end = std::min(j + tile, columns);
            for (idx jj = j; jj < j_end; ++jj)
                for (idx ii = i; ii < i_end; ++ii) to[jj * to_row + ii] = from[ii * from_row + jj];
        }
}

}  // namespace
