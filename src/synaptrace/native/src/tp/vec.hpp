// Inner loops on rows of numbers. Rows are padded with zeros to 64 bytes and start on 64 bytes.
// The vector types are GCC's and Clang's own: one source for SSE, AVX2, AVX-512 and NEON.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

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

// Asks for n numbers that are read soon.
template <class T>
INLINE void prefetch(const T *p, idx n) {
    constexpr idx line = 64 / sizeof(T);
    for (idx i = 0; i < n; i += line) __builtin_prefetch(p + i, 0, 2);
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

// exp of n numbers ≤ 0, as vectors; in float32 within two units in the last place, zero where it is
// below the normal numbers. x = n log 2 + r with |r| ≤ ½ log 2, and a polynomial in r (Cephes' expf).
INLINE void exps(float *x, idx n) {
    constexpr float low = -87.3f, magic = 12582912.f;  // 1.5 · 2²³: a sum with it is a whole number
    for (idx i = 0; i < n; ++i) {
        const float given = x[i], within = given > low ? given : low;  // what isn't a number: low
        const float whole = (within * 1.44269504088896341f + magic) - magic;
        const float r = (within - whole * 0.693359375f) + whole * 2.12194440e-4f;
        float y = 1.9875691500e-4f;
        y = y * r + 1.3981999507e-3f;
        y = y * r + 8.3334519073e-3f;
        y = y * r + 4.1665795894e-2f;
        y = y * r + 1.6666665459e-1f;
        y = y * r + 5.0000001201e-1f;
        y = (y * r * r + r) + 1.f;
        const int32_t bits = (static_cast<int32_t>(whole) + 127) << 23;
        float power;
        std::memcpy(&power, &bits, sizeof power);
        x[i] = given != given ? given : given < low ? 0.f : y * power;
    }
}

INLINE void exps(double *x, idx n) {
    for (idx i = 0; i < n; ++i) x[i] = std::exp(x[i]);
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
