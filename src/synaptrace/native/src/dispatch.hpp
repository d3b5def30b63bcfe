// The one list of instruction sets. Sources that gain by them are compiled once for each (setup.py
// has the flags) into a table of functions with its name; a level is its place in the list.
#pragma once
#include <cstdint>

struct Kernels;
struct Maps;
struct Convolutions;

struct Target {
    const char *name;
    bool (*usable)();         // whether this processor has it
    const Kernels *kernels;   // [2], for float32 and float64: sequences of dense networks
    const Maps *maps;
    const Convolutions *convolutions;
};

const Target &target(int64_t level);
