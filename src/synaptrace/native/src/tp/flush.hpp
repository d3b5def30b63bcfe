// Numbers too small to matter.
#pragma once
#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

// While it lives, this thread takes numbers below the normal ones (1e-38 in float32) for zeros.
// Processors do arithmetic on them in many times the time, and Adam's moments of weights that have
// stopped learning are full of them.
class FlushTiny {
  public:
#if defined(__x86_64__)
    FlushTiny() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }  // results and operands
    ~FlushTiny() { _mm_setcsr(before_); }
    FlushTiny(const FlushTiny &) = delete;

  private:
    unsigned before_;
#elif defined(__aarch64__)
    FlushTiny() {
        __asm__ volatile("mrs %0, fpcr" : "=r"(before_));
        __asm__ volatile("msr fpcr, %0" : : "r"(before_ | 1u << 24));
    }
    ~FlushTiny() { __asm__ volatile("msr fpcr, %0" : : "r"(before_)); }
    FlushTiny(const FlushTiny &) = delete;

  private:
    uint64_t before_;
#else
    FlushTiny() {}
#endif
};
