// See convolve.hpp. Positions are counted over padded maps, (height + 2) (width + 2) a row, so that
// a tap is a shift, and both the convolution and its gradient are nine products of matrices.
#include "convolve.hpp"

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "maps.hpp"

namespace {

typedef int64_t idx;
typedef uint16_t bf16;
constexpr idx MOST_BYTES = idx(16) << 20;
// Positions in a task, and of a gradient those whose errors stay in the first cache.
constexpr idx CHUNK = 512, NEAR = 128, TILE = SIDE * DEEP;

constexpr idx up(idx n, idx unit) { return (n + unit - 1) / unit * unit; }

bool enable() {
    unsigned a, b, c, d;
    constexpr unsigned tile = 1u << 24, bfloat = 1u << 22;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl"))
        return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & tile) || !(d & bfloat)) return false;
    constexpr long request = 0x1023, data = 18;  // Linux lends the tiles' registers on request
    return syscall(SYS_arch_prctl, request, data) == 0;
}

// Tiles 0–3 are sums, 4 and 5 left, 6 and 7 right operands, all of 16 rows of 64 bytes.
struct Tiles {
    Tiles() {
        alignas(64) struct {
            uint8_t palette = 1, start = 0, reserved[14] = {};
            uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } config;
        _tile_loadconfig(&config);
    }
    ~Tiles() { _tile_release(); }
};

inline uint32_t bits(float x) {
    uint32_t n;
    std::memcpy(&n, &x, sizeof n);
    return n;
}

struct Sizes {
    idx line, map;     // positions of a padded line and map
    idx inputs, outputs;  // padded to 32
    idx rows;          // of the batch at a time
    idx guard;         // zeros before the first position, for the taps above it
    explicit Sizes(const Convolution &job, bool gradient)
        : line(job.width + 2), map((job.height + 2) * line), inputs(up(job.inputs, DEEP)),
          outputs(up(job.outputs, PAIR)), guard(up(line + 1, DEEP)) {
        const idx each = map * 2 * (inputs + (gradient ? PARTS * outputs : 0));
        rows = std::max<idx>(1, std::min<idx>(MOST_BYTES / each, job.rows));
    }
    idx positions() const { return up(rows * map, PAIR); }
    idx length() const { return positions() + 2 * guard; }
    // An odd number of cache lines, so that channels don't share the same few sets.
    idx stride() const { return (up(length(), DEEP) / DEEP | 1) * DEEP; }
    idx input_bytes(bool gradient) const {
        return 2 * inputs * (gradient ? stride() : length());
    }
    idx error_bytes() const { return 2 * PARTS * outputs * positions(); }
    idx sum_bytes() const { return 4 * TAPS * inputs * outputs; }
    float *sums(const Convolution &job) const {
        return reinterpret_cast<float *>(static_cast<char *>(job.work) + input_bytes(true) +
                                         error_bytes());
    }
};

// Each place of rows first … first + n − 1: call(position, pointer) with its channels.
template <class F>
void places(const Convolution &job, const Sizes &s, const float *maps, idx channels, idx row, idx first, F call) {
    for (idx y = 0; y < job.height; ++y)
        for (idx x = 0; x < job.width; ++x)
            call((row - first) * s.map + (y + 1) * s.line + x + 1,
                 maps + ((row * job.height + y) * job.width + x) * channels);
}

// x as [position][channel]; returns the bits that bfloat16 has no room for.
uint32_t pack_input(const Convolution &job, const Sizes &s, idx row, idx first, bf16 *to) {
    uint32_t lost = 0;
    places(job, s, job.x, job.inputs, row, first, [&](idx at, const float *x) {
        bf16 *out = to + (s.guard + at) * s.inputs;
        for (idx i = 0; i < job.inputs; ++i) {
            lost |= bits(x[i]);
            out[i] = static_cast<bf16>(bits(x[i]) >> 16);
        }
    });
    return lost & 0xFFFFu;
}

inline __m512i words(const float *p, __mmask16 some) {
    return _mm512_castps_si512(_mm512_maskz_loadu_ps(some, p));
}

inline __mmask16 first(idx n) {
    return static_cast<__mmask16>(n >= SIDE ? 0xFFFF : n > 0 ? (1 << n) - 1 : 0);
}

// 0, step, 2 step … 15 step.
inline __m512i steps(idx step) {
    return _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
        _mm512_set1_epi32(static_cast<int>(step)));
}

// The upper halves of x, rounded to nearest even, still as the bits of floats.
inline __m512i rounded(__m512 x) {
    const __m512i n = _mm512_castps_si512(x);
    const __m512i even = _mm512_and_si512(_mm512_srli_epi32(n, 16), _mm512_set1_epi32(1));
    const __m512i most = _mm512_add_epi32(_mm512_set1_epi32(0x7FFF), even);
    return _mm512_and_si512(_mm512_add_epi32(n, most), _mm512_set1_epi32(static_cast<int>(0xFFFF0000u)));
}

// x as [channel][position]: pairs of positions as words, which 16 channels scatter to their lines.
uint32_t pack_transposed(const Convolution &job, const Sizes &s, idx row, idx first_row, bf16 *to) {
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
    const __m512i lines = steps(SIDE);
    __m512i lost = _mm512_setzero_si512();
    for (idx y = 0; y < job.height; ++y) {
        const float *line = job.x + (row * job.height + y) * job.width * job.inputs;
        bf16 *out = to + s.guard + (row - first_row) * s.map + (y + 1) * s.line + 1;
        for (idx from = 0; from < job.inputs; from += SIDE) {
            const idx channels = std::min(SIDE, job.inputs - from);
            const __mmask16 some = first(channels);
            for (idx x = 0; x < job.width; x += DEEP) {
                const idx wide = std::min(DEEP, job.width - x);
                alignas(64) uint32_t part[SIDE * SIDE];
                const float *at = line + x * job.inputs + from;
                for (idx j = 0; j < wide; j += 2, at += 2 * job.inputs) {
                    const __m512i even = words(at, some);
                    const __m512i odd = words(at + job.inputs, j + 1 < wide ? some : __mmask16(0));
                    lost = _mm512_or_si512(lost, _mm512_or_si512(even, odd));
                    const __m512i pair = _mm512_or_si512(_mm512_srli_epi32(even, 16),
                                                         _mm512_and_si512(odd, upper));
                    _mm512_i32scatter_epi32(part + j / 2, lines, pair, 4);
                }
                for (idx i = 0; i < channels; ++i)
                    std::memcpy(out + (from + i) * s.stride() + x, part + i * SIDE, wide * sizeof(bf16));
            }
        }
    }
    return static_cast<uint32_t>(_mm512_reduce_or_epi32(lost)) & 0xFFFFu;
}

// g as [part][16 channels][pair of positions][channel][2].
void pack_error(const Convolution &job, const Sizes &s, idx row, idx first_row, bf16 *to) {
    const idx blocks = s.outputs / SIDE, pairs = s.positions() / 2;
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
    places(job, s, job.g, job.outputs, row, first_row, [&](idx at, const float *g) {
        for (idx b = 0; b * SIDE < job.outputs; ++b) {
            __m512 rest = _mm512_maskz_loadu_ps(first(job.outputs - b * SIDE), g + b * SIDE);
            bf16 *out = to + (b * pairs + at / 2) * DEEP;
            for (idx p = 0; p < PARTS; ++p, out += blocks * pairs * DEEP) {
                const __m512i part = rounded(rest);
                rest = _mm512_sub_ps(rest, _mm512_castsi512_ps(part));
                // The other half of the word is the pair's other place: what is there stays.
                const __m512i there = _mm512_load_si512(out);
                const __m512i both =
                    at % 2 ? _mm512_or_si512(_mm512_andnot_si512(upper, there), part)
                           : _mm512_or_si512(_mm512_and_si512(upper, there), _mm512_srli_epi32(part, 16));
                _mm512_store_si512(out, both);
            }
        }
    });
}

// Sums of 32 positions × 32 outputs over all taps and inputs.
void products(const Sizes &s, const bf16 *x, const bf16 *weight, float *sums) {
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    for (idx tap = 0; tap < TAPS; ++tap) {
        const bf16 *at = x + ((tap / 3 - 1) * s.line + tap % 3 - 1) * s.inputs;
        for (idx i = 0; i < s.inputs; i += DEEP) {
            _tile_loadd(4, at + i, s.inputs * 2);
            _tile_loadd(5, at + i + SIDE * s.inputs, s.inputs * 2);
            for (idx p = 0; p < PARTS; ++p, weight += 2 * TILE) {
                _tile_loadd(6, weight, 64);
                _tile_loadd(7, weight + TILE, 64);
                _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
            }
        }
    }
    _tile_stored(0, sums, PAIR * 4); _tile_stored(1, sums + SIDE, PAIR * 4);
    _tile_stored(2, sums + SIDE * PAIR, PAIR * 4);
    _tile_stored(3, sums + SIDE * PAIR + SIDE, PAIR * 4);
}

// Outputs 32 j … of the positions from … to − 1, for rows first … of the batch.
void forward_part(const Convolution &job, const Sizes &s, idx first, idx rows, idx j, idx from, idx to) {
    const Tiles tiles;
    const bf16 *x = static_cast<const bf16 *>(job.work) + s.guard * s.inputs;
    const bf16 *weight = static_cast<const bf16 *>(job.parts) +
                         j * TAPS * (s.inputs / DEEP) * PARTS * 2 * TILE;
    const idx some = std::min(PAIR, job.outputs - j * PAIR);
    alignas(64) float sums[PAIR * PAIR];
    for (idx at = from; at < to; at += PAIR) {
        products(s, x + at * s.inputs, weight, sums);
        for (idx i = 0; i < PAIR; ++i) {
            const idx row = (at + i) / s.map, place = (at + i) % s.map;
            const idx py = place / s.line - 1, px = place % s.line - 1;
            if (row >= rows || py < 0 || py >= job.height || px < 0 || px >= job.width) continue;
            std::memcpy(job.out + (((first + row) * job.height + py) * job.width + px) * job.outputs +
                            j * PAIR,
                        sums + i * PAIR, some * sizeof(float));
        }
    }
}

// Adds what the packed positions give for outputs 32 j … and inputs from … to − 1 to the sums, which
// are [32 outputs][tap][input][output].
void gradient_part(const Convolution &job, const Sizes &s, idx j, idx from, idx to) {
    const Tiles tiles;
    const bf16 *x = static_cast<const bf16 *>(job.work) + s.guard;
    const bf16 *g = static_cast<const bf16 *>(job.work) + s.input_bytes(true) / 2;
    const idx blocks = s.outputs / SIDE, pairs = s.positions() / 2, stride = s.stride() * 2;
    float *sums = s.sums(job) + j * TAPS * s.inputs * PAIR;
    for (idx chunk = 0; chunk < s.positions(); chunk += NEAR) {
        const idx end = std::min(chunk + NEAR, s.positions());
        for (idx i = from; i < to; i += PAIR)
            for (idx tap = 0; tap < TAPS; ++tap) {
                const bf16 *left = x + i * s.stride() + (tap / 3 - 1) * s.line + tap % 3 - 1;
                float *sum = sums + (tap * s.inputs + i) * PAIR;
                constexpr idx row = PAIR * sizeof(float);
                _tile_loadd(0, sum, row); _tile_loadd(1, sum + SIDE, row);
                _tile_loadd(2, sum + SIDE * PAIR, row);
                _tile_loadd(3, sum + SIDE * PAIR + SIDE, row);
                for (idx at = chunk; at < end; at += DEEP) {
                    _tile_loadd(4, left + at, stride);
                    _tile_loadd(5, left + SIDE * s.stride() + at, stride);
                    for (idx p = 0; p < PARTS; ++p) {
                        const bf16 *right = g + ((p * blocks + 2 * j) * pairs + at / 2) * DEEP;
                        _tile_loadd(6, right, 64);
                        _tile_loadd(7, right + pairs * DEEP, 64);
                        _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
                        _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
                    }
                }
                _tile_stored(0, sum, row); _tile_stored(1, sum + SIDE, row);
                _tile_stored(2, sum + SIDE * PAIR, row);
                _tile_stored(3, sum + SIDE * PAIR + SIDE, row);
            }
    }
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int64_t synaptrace_convolution() {
    static const bool can = enable();
    return can ? sizeof(Convolution) : 0;
}

EXPORT int64_t synaptrace_convolution_bytes(const Convolution *job, int64_t gradient) {
    const Sizes s(*job, gradient);
    return s.input_bytes(gradient) + (gradient ? s.error_bytes() + s.sum_bytes() : 0);
}

// weight (outputs, 3, 3, inputs) → parts [32 outputs][tap][32 inputs][part][16 outputs][pairs of
// inputs][output][2].
EXPORT void synaptrace_convolution_pack(const Convolution *job, const float *weight, void *parts) {
    const Sizes s(*job, false);
    const idx deep = s.inputs / DEEP;
    const __m512i lines = steps(SIDE);
    // A tile has a line for each pair of inputs; an output's word in each is scattered at once.
    share(job->threads, s.outputs / SIDE * TAPS, [&](idx task) {
        const idx outputs = task / TAPS, tap = task % TAPS;
        for (idx from = 0; from < s.inputs; from += DEEP) {
            bf16 *to = static_cast<bf16 *>(parts) + outputs % 2 * TILE +
                       ((outputs / 2 * TAPS + tap) * deep + from / DEEP) * PARTS * 2 * TILE;
            for (idx o = 0; o < SIDE; ++o) {
                const idx output = outputs * SIDE + o;
                const idx left = output < job->outputs ? job->inputs - from : 0;
                const float *at = weight + (std::min(output, job->outputs - 1) * TAPS + tap) * job->inputs + from;
                __m512 low = _mm512_maskz_loadu_ps(first(left), at);
                __m512 high = _mm512_maskz_loadu_ps(first(left - SIDE), at + SIDE);
                for (idx p = 0; p < PARTS; ++p) {
                    const __m512i one = rounded(low), two = rounded(high);
                    const __m256i front = _mm512_cvtepi32_epi16(_mm512_srli_epi32(one, 16));
                    const __m256i back = _mm512_cvtepi32_epi16(_mm512_srli_epi32(two, 16));
                    const __m512i pairs = _mm512_inserti64x4(_mm512_castsi256_si512(front), back, 1);
                    _mm512_i32scatter_epi32(to + p * 2 * TILE + 2 * o, lines, pairs, 4);
                    low = _mm512_sub_ps(low, _mm512_castsi512_ps(one));
                    high = _mm512_sub_ps(high, _mm512_castsi512_ps(two));
                }
            }
        }
    });
}

// Returns 1, and nothing is computed, where x isn't exact in bfloat16.
EXPORT int64_t synaptrace_convolution_forward(const Convolution *job) {
    const Sizes s(*job, false);
    bf16 *x = static_cast<bf16 *>(job->work);
    std::memset(x, 0, s.input_bytes(false));
    for (idx first = 0; first < job->rows; first += s.rows) {
        const idx rows = std::min(s.rows, job->rows - first);
        std::atomic<uint32_t> lost{0};
        share(job->threads, rows, [&](idx i) { lost |= pack_input(*job, s, first + i, first, x); });
        if (lost) return 1;
        const idx chunks = (rows * s.map + CHUNK - 1) / CHUNK, columns = s.outputs / PAIR;
        share(job->threads, columns * chunks, [&](idx i) {
            const idx from = i % chunks * CHUNK;
            forward_part(*job, s, first, rows, i / chunks, from, std::min(from + CHUNK, rows * s.map));
        });
    }
    return 0;
}

// Returns 1, and nothing is of use, where x isn't exact in bfloat16.
EXPORT int64_t synaptrace_convolution_gradient(const Convolution *job) {
    const Sizes s(*job, true);
    bf16 *x = static_cast<bf16 *>(job->work), *g = x + s.input_bytes(true) / 2;
    std::memset(x, 0, s.input_bytes(true) + s.error_bytes() + s.sum_bytes());
    for (idx first = 0; first < job->rows; first += s.rows) {
        const idx rows = std::min(s.rows, job->rows - first);
        if (rows < s.rows) std::memset(x, 0, s.input_bytes(true) + s.error_bytes());
        std::atomic<uint32_t> lost{0};
        share(job->threads, rows, [&](idx i) {
            lost |= pack_transposed(*job, s, first + i, first, x);
            pack_error(*job, s, first + i, first, g);
        });
        if (lost) return 1;
        constexpr idx group = 4 * PAIR;
        const idx columns = s.outputs / PAIR, groups = (s.inputs + group - 1) / group;
        share(job->threads, columns * groups, [&](idx i) {
            const idx from = i % groups * group;
            gradient_part(*job, s, i / groups, from, std::min(from + group, s.inputs));
        });
    }
    const float *sums = s.sums(*job);
    share(job->threads, TAPS * job->inputs, [&](idx i) {
        const idx in = i / job->inputs * s.inputs + i % job->inputs;
        for (idx o = 0; o < job->outputs; o += PAIR)
            std::memcpy(job->out + i * job->outputs + o,
                        sums + (o / PAIR * TAPS * s.inputs + in) * PAIR,
                        std::min(PAIR, job->outputs - o) * sizeof(float));
    });
    return 0;
}
