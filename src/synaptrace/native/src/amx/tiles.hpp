// The matrix unit's registers.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace {

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

}  // namespace
