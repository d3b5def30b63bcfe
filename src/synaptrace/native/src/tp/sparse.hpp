// Products of spikes with a matrix (outputs, inputs) where it lies, as PyTorch keeps it: the columns
// of inputs that are active in some row are turned into rows of a small tile, some outputs at a time,
// and meet the spikes there.
#pragma once
#include "turn.hpp"
#include "work.hpp"

namespace {

// Spikes, or other inputs, of some rows: those of row r are at offset[r] … offset[r + 1] − 1.
template <class T>
struct Lists {
    int32_t *index;
    T *value;
    idx *offset;
    bool ones;  // every value is one

    const T *values(idx r) const { return ones ? nullptr : value + offset[r]; }
    idx count(idx r) const { return offset[r + 1] - offset[r]; }
};

// Groups of columns, Vec<T>::lanes each, in which some of the rows are active; ascending.
struct Groups {
    int32_t *id;
    idx n;
};

template <class T>
struct Room {  // for one product at a time
    T *tile;        // (inputs, OUT<T>)
    T *sum;         // the same, zeros between two products
    int32_t *id;    // groups
    uint8_t *seen;  // groups
};

template <class T>
constexpr idx OUT = PAD_BYTES / sizeof(T);  // outputs at a time, which `padded` is a multiple of

template <class T>
Groups groups_of(const Lists<T> &s, idx first, idx rows, idx inputs, const Room<T> &room) {
    constexpr idx L = Vec<T>::lanes;
    const idx n = (inputs + L - 1) / L;
    std::memset(room.seen, 0, n);
    for (idx i = s.offset[first]; i < s.offset[first + rows]; ++i) room.seen[s.index[i] / L] = 1;
    Groups found{room.id, 0};
    for (idx i = 0; i < n; ++i)
        if (room.seen[i]) room.id[found.n++] = static_cast<int32_t>(i);
    return found;
}

// The tile's rows of a group, of outputs o … o + OUT − 1; beyond the last output stand copies of its.
template <class T>
INLINE void fetch(const T *weight, idx outputs, idx inputs, idx o, idx group, T *tile) {
    constexpr int L = Vec<T>::lanes, P = OUT<T>;
    const auto row = [&](idx k) { return weight + std::min(o + k, outputs - 1) * inputs; };
    if (inputs < L) {
        for (idx j = 0; j < inputs; ++j)
            for (idx k = 0; k < P; ++k) tile[j * P + k] = row(k)[j];
        return;
    }
    const idx c = std::min(group * L, inputs - L);  // the last group may begin in the one before
    for (idx h = 0; h < P; h += L) {
        typename Vec<T>::type r[L];
#pragma GCC unroll 16
        for (int k = 0; k < L; ++k) r[k] = load_anywhere(row(h + k) + c);
        turn<T>(r);
#pragma GCC unroll 16
        for (int j = 0; j < L; ++j) store(tile + (c + j) * P + h, r[j]);
    }
}

// Adds a group's rows of the tile to the matrix where it lies, and clears them.
template <class T>
INLINE void add_back(T *tile, T *to, idx outputs, idx inputs, idx o, idx group) {
    constexpr int L = Vec<T>::lanes, P = OUT<T>;
    const idx c = group * L, some = std::min<idx>(P, outputs - o);
    if (c + L > inputs) {
        for (idx k = 0; k < some; ++k)
            for (idx j = c; j < inputs; ++j) to[(o + k) * inputs + j] += tile[j * P + k];
        std::memset(tile + c * P, 0, (inputs - c) * P * sizeof(T));
        return;
    }
    for (idx h = 0; h < P; h += L) {
        typename Vec<T>::type r[L];
        T *first = to + (o + h) * inputs + c;
#pragma GCC unroll 16
        for (int j = 0; j < L; ++j) {
            r[j] = load(tile + (c + j) * P + h);
            store(tile + (c + j) * P + h, typename Vec<T>::type{});
        }
        if (h >= some) continue;
        turn<T>(r);
        if (h + L <= some) {
#pragma GCC unroll 16
            for (int k = 0; k < L; ++k) r[k] += load_anywhere(first + k * inputs);
#pragma GCC unroll 16
            for (int k = 0; k < L; ++k) std::memcpy(first + k * inputs, &r[k], sizeof r[k]);
        } else
            for (idx k = 0; k < some - h; ++k)
                for (int j = 0; j < L; ++j) first[k * inputs + j] += r[k][j];
    }
}

// out[0:OUT] += Σ value · the tile's row, in sums side by side, as none waits for another.
template <class T, bool ONES>
INLINE void gather_row_by(T *out, const T *tile, const int32_t *index, const T *value, idx n) {
    constexpr idx L = Vec<T>::lanes, P = OUT<T>, S = 4;
    typename Vec<T>::type sum[S][P / L] = {};
    const auto add = [&](idx i, idx s) {
        const T *row = tile + index[i] * P;
#pragma GCC unroll 16
        for (idx v = 0; v < P / L; ++v)
            sum[s][v] += ONES ? load(row + v * L) : load(row + v * L) * value[i];
    };
    idx i = 0;
    for (; i + S <= n; i += S)
#pragma GCC unroll 4
        for (idx s = 0; s < S; ++s) add(i + s, s);
    for (; i < n; ++i) add(i, 0);
#pragma GCC unroll 16
    for (idx v = 0; v < P / L; ++v)
        store(out + v * L, load(out + v * L) + ((sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v])));
}

template <class T>
INLINE void gather_row(T *out, const T *tile, const int32_t *index, const T *value, idx n) {
    if (value)
        gather_row_by<T, false>(out, tile, index, value, n);
    else
        gather_row_by<T, true>(out, tile, index, value, n);
}

// Whether there are at most so many spikes, twice over, for a group of columns that turning the
// groups isn't worth it; as measured with eight lanes.
constexpr idx GATHER_FEW = 5, SCATTER_FEW = 7;
template <class T>
bool few(const Lists<T> &x, idx first, idx rows, const Groups &active, idx most) {
    return 2 * (x.offset[first + rows] - x.offset[first]) <= most * active.n;
}

// `gather` of few spikes, number by number.
template <class T, bool ONES>
void gather_few(
    const T *weight, idx outputs, idx inputs, const Lists<T> &x, idx first, idx rows, T *out, idx width
) {
    constexpr int some = 8;  // sums at a time, and rows of weights that stay in the first cache
    for (idx o = 0; o < outputs; o += some) {
        const T *row[some];
        for (int k = 0; k < some; ++k) row[k] = weight + std::min(o + k, outputs - 1) * inputs;
        const idx last = std::min<idx>(some, outputs - o);
        for (idx r = 0; r < rows; ++r) {
            const idx from = x.offset[first + r], to = x.offset[first + r + 1];
            T total[some] = {};
            for (idx i = from; i < to; ++i) {
                const idx at = x.index[i];
#pragma GCC unroll 8
                for (int k = 0; k < some; ++k)
                    total[k] += ONES ? row[k][at] : row[k][at] * x.value[i];
            }
            for (idx k = 0; k < last; ++k) out[r * width + o + k] += total[k];
        }
    }
}

// `scatter` of few spikes, number by number, to outputs o … o + some − 1.
template <class T, bool ONES>
INLINE void scatter_few(
    T *grad, idx some, idx inputs, const Lists<T> &x, idx first, idx rows, const T *g, idx width
) {
    constexpr int P = OUT<T>;
    for (idx r = 0; r < rows; ++r) {
        T own[P];
        for (int k = 0; k < P; ++k) own[k] = g[r * width + k];
        for (idx i = x.offset[first + r]; i < x.offset[first + r + 1]; ++i) {
            T *to = grad + x.index[i];
            if (some == P)
#pragma GCC unroll 16
                for (int k = 0; k < P; ++k) to[k * inputs] += ONES ? own[k] : own[k] * x.value[i];
            else
                for (idx k = 0; k < some; ++k) to[k * inputs] += own[k] * (ONES ? T(1) : x.value[i]);
        }
    }
}

// out (rows, width) += x Wᵀ for rows first … of x, which are those of `out` from its first on.
template <class T>
void gather(
    const T *weight, idx outputs, idx inputs, const Lists<T> &x, idx first, idx rows,
    const Groups &active, T *out, idx width, const Room<T> &room
) {
    constexpr idx P = OUT<T>;
    if (few(x, first, rows, active, GATHER_FEW))
        return x.ones ? gather_few<T, true>(weight, outputs, inputs, x, first, rows, out, width)
                      : gather_few<T, false>(weight, outputs, inputs, x, first, rows, out, width);
    for (idx o = 0; o < outputs; o += P) {
        for (idx i = 0; i < active.n; ++i)
            fetch(weight, outputs, inputs, o, active.id[i], room.tile);
        for (idx r = 0; r < rows; ++r) {
            const int32_t *index = x.index + x.offset[first + r];
            gather_row(out + r * width + o, room.tile, index, x.values(first + r), x.count(first + r));
        }
    }
}

// The tiles of all groups and outputs of a matrix, (padded outputs / OUT, inputs, OUT).
template <class T>
void keep(const T *weight, idx outputs, idx inputs, T *kept) {
    constexpr idx L = Vec<T>::lanes;
    for (idx o = 0; o < outputs; o += OUT<T>)
        for (idx group = 0; group * L < inputs; ++group)
            fetch(weight, outputs, inputs, o, group, kept + o * inputs);
}

// `gather` from the tiles that `keep` has made.
template <class T>
void gather_kept(
    const T *kept, idx outputs, idx inputs, const Lists<T> &x, idx first, idx rows, T *out, idx width
) {
    for (idx o = 0; o < outputs; o += OUT<T>)
        for (idx r = first; r < first + rows; ++r) {
            T *to = out + (r - first) * width + o;
            gather_row(to, kept + o * inputs, x.index + x.offset[r], x.values(r), x.count(r));
        }
}

template <class T, bool ONES>
INLINE void scatter_row(T *tile, const T *g, const int32_t *index, const T *value, idx n) {
    constexpr idx L = Vec<T>::lanes, P = OUT<T>;
    typename Vec<T>::type row[P / L];
#pragma GCC unroll 16
    for (idx v = 0; v < P / L; ++v) row[v] = load(g + v * L);
    for (idx i = 0; i < n; ++i) {
        T *at = tile + index[i] * P;
#pragma GCC unroll 16
        for (idx v = 0; v < P / L; ++v)
            store(at + v * L, load(at + v * L) + (ONES ? row[v] : row[v] * value[i]));
    }
}

// grad += gᵀ x, or with `fresh` = gᵀ x, over rows first … of x, which are those of g (rows, width)
// from its first on.
template <class T>
void scatter(
    T *grad, bool fresh, idx outputs, idx inputs, const Lists<T> &x, idx first, idx rows,
    const Groups &active, const T *g, idx width, const Room<T> &room
) {
    constexpr idx P = OUT<T>;
    const bool each = few(x, first, rows, active, SCATTER_FEW);  // number by number
    for (idx o = 0; o < outputs; o += P) {
        const idx some = std::min(P, outputs - o);
        if (fresh) std::memset(grad + o * inputs, 0, some * inputs * sizeof(T));
        if (each && x.ones)
            scatter_few<T, true>(grad + o * inputs, some, inputs, x, first, rows, g + o, width);
        else if (each)
            scatter_few<T, false>(grad + o * inputs, some, inputs, x, first, rows, g + o, width);
        if (each) continue;
        for (idx r = 0; r < rows; ++r) {
            const int32_t *index = x.index + x.offset[first + r];
            const idx n = x.count(first + r);
            if (x.ones)
                scatter_row<T, true>(room.sum, g + r * width + o, index, nullptr, n);
            else
                scatter_row<T, false>(room.sum, g + r * width + o, index, x.values(first + r), n);
        }
        for (idx i = 0; i < active.n; ++i)
            add_back(room.sum, grad, outputs, inputs, o, active.id[i]);
    }
}

// grad += aᵀ b, or with `fresh` = aᵀ b: a (rows, outputs), b (rows, padded inputs); `out` is room for
// eight rows of b.
template <class T>
void add_dense(
    T *grad, bool fresh, idx outputs, idx inputs, const T *a, idx a_row, const T *b, idx rows, T *out
) {
    const idx width = padded<T>(inputs);
    for (idx o = 0; o < outputs; o += CHUNK) {
        const idx some = std::min(CHUNK, outputs - o);
        std::memset(out, 0, some * width * sizeof(T));
        add_product<T>(some, width, rows, {a + o, 1, a_row}, b, width, out, width);
        for (idx k = 0; k < some; ++k) {
            T *to = grad + (o + k) * inputs;
            const T *from = out + k * width;
            if (fresh)
                std::memcpy(to, from, inputs * sizeof(T));
            else
                for (idx i = 0; i < inputs; ++i) to[i] += from[i];
        }
    }
}

}  // namespace
