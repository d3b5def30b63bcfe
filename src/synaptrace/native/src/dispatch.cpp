// See dispatch.hpp.
#include "dispatch.hpp"

#if defined(WITH_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "convolve/convolve.hpp"
#include "maps/maps.hpp"
#include "tp/job.hpp"

// Tables of one instruction set, as the sources that are compiled for each name them.
#define DECLARE(level)                       \
    extern const Kernels kernels_##level[2]; \
    extern const Maps maps_##level;          \
    extern const Convolutions convolutions_##level;

DECLARE(plain)
#if defined(WITH_AVX2)
DECLARE(avx2)
#endif
#if defined(WITH_AVX512)
DECLARE(avx512)
#endif
#if defined(WITH_AMX)
extern const Convolutions convolutions_amx;
#endif

namespace {

bool always() { return true; }

#if defined(WITH_AVX2)
bool has_avx2() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

#if defined(WITH_AVX512)
bool has_avx512() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

#if defined(WITH_AMX)
bool has_amx() {
    unsigned a, b, c, d;
    constexpr unsigned tile = 1u << 24, bfloat = 1u << 22;
    if (!has_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    if (!(d & tile) || !(d & bfloat)) return false;
    constexpr long request = 0x1023, data = 18;  // Linux lends the tiles' registers on request
    return syscall(SYS_arch_prctl, request, data) == 0;
}
#endif

// From the plainest on, which every processor has.
const Target targets[] = {
    {"plain", always, kernels_plain, &maps_plain, &convolutions_plain},
#if defined(WITH_AVX2)
    {"avx2", has_avx2, kernels_avx2, &maps_avx2, &convolutions_avx2},
#endif
#if defined(WITH_AVX512)
    {"avx512", has_avx512, kernels_avx512, &maps_avx512, &convolutions_avx512},
#endif
#if defined(WITH_AMX)  // a matrix unit for convolutions; the rest is AVX-512's
    {"amx", has_amx, kernels_avx512, &maps_avx512, &convolutions_amx},
#endif
};

}  // namespace

const Target &target(int64_t level) { return targets[level]; }

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int64_t synaptrace_levels() { return sizeof targets / sizeof *targets; }

EXPORT const char *synaptrace_level_name(int64_t level) { return targets[level].name; }

EXPORT int64_t synaptrace_level_usable(int64_t level) { return targets[level].usable(); }

EXPORT int64_t synaptrace_level_convolves(int64_t level, int64_t inputs) {
    return inputs >= targets[level].convolutions->least;
}
