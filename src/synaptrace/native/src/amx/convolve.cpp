// See convolve.hpp. Compiled once, for processors with Intel AMX.
#include "forward.hpp"
#include "gradient.hpp"

namespace {

int64_t bytes(const Convolution &job, bool gradient) {
    const Sizes s(job, gradient);
    return s.input_bytes(gradient) + (gradient ? s.error_bytes() + s.sum_bytes() : 0);
}

}  // namespace

extern const Convolutions convolutions_amx;
const Convolutions convolutions_amx = {bytes, pack_weight, forward, gradient};
