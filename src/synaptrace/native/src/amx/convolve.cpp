// Convolutions on the matrix unit of recent processors (Intel AMX), which knows bfloat16. Spikes are
// exact in it; the float32 operand is cut into three bfloat16 parts, which hold all its bits, so the
// products are exact and the sums those of float32. Compiled once.
#include "forward.hpp"
#include "gradient.hpp"

namespace {

int64_t bytes(const Convolution &job, Need need) {
    const bool gradient = need == GRADIENT;
    const Sizes s(job, gradient);
    if (need == PARTS_OF_WEIGHT) return PARTS * TAPS * s.inputs * s.outputs * sizeof(bf16);
    return s.input_bytes(gradient) + (gradient ? s.error_bytes() + s.sum_bytes() : 0);
}

}  // namespace

extern const Convolutions convolutions_amx;
const Convolutions convolutions_amx = {16, bytes, pack_weight, forward, gradient};
