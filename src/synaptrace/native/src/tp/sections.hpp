// What a sequence's phases take, told at the end of the process where the library is compiled with
// CXXFLAGS=-DSYNAPTRACE_SECTIONS. Processor time of the first thread.
#pragma once
#include "job.hpp"

#if defined(SYNAPTRACE_SECTIONS)
#include <cstdio>
#include <ctime>

class Section {
  public:
    Section(Phase phase, int64_t thread) : phase_(phase), first_(!thread) {}
    ~Section() {
        static Told told;
        if (first_) told.seconds[phase_] += now() - start_;
    }
    Section(const Section &) = delete;

  private:
    struct Told {
        double seconds[INFER + 1] = {};
        ~Told() {
            const char *name[] = {"pack", "targets", "distances", "samples", "fold", "filter",
                                  "gradients", "unpack", "repack", "infer"};
            for (int i = 0; i <= INFER; ++i)
                if (seconds[i] > 0) std::fprintf(stderr, "%-10s %9.4f s\n", name[i], seconds[i]);
        }
    };
    static double now() {
        timespec time;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
    }
    const double start_ = now();
    const Phase phase_;
    const bool first_;
};
#else
struct Section {
    Section(Phase, int64_t) {}
};
#endif
