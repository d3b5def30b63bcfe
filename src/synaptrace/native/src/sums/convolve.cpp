// See sizes.hpp. Compiled once for each instruction set (LEVEL).
#include "forward.hpp"
#include "gradient.hpp"

namespace {

int64_t bytes(const Convolution &job, Need need) {
    const Sizes s(job, need);
    if (need == PARTS_OF_WEIGHT) return s.blocks * TAPS * s.fours * 4 * WIDE * sizeof(float);
    return s.codes + (need == GRADIENT ? s.blocks * s.results() * sizeof(float) : 0);
}

}  // namespace

#define NAME2(level) convolutions_##level
#define NAME(level) NAME2(level)
extern const Convolutions NAME(LEVEL);
const Convolutions NAME(LEVEL) = {1, bytes, pack_weight, forward, gradient};
