/* What was learned, as one piece to store; learn.h has its layout. */
#include <string.h>

#include "learn_parts.h"

static void put(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get(const uint8_t *at)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)at[i] << 8 * i;
    return value;
}

#if FIXED
static void put_weights(const struct learner *l, uint8_t *at)
{
    put(at, l->seed);
    at += 4;
    for (int32_t i = 0; i < LEARNED; i++, at += 2) {
        at[0] = (uint8_t)(l->weight[i] & 255);
        at[1] = (uint8_t)(l->weight[i] >> 8 & 255);
    }
}

static int32_t weight_at(const uint8_t *at, int32_t i)
{
    int32_t value = at[4 + 2 * i] | at[5 + 2 * i] << 8;
    return value < 32768 ? value : value - 65536;
}

static int bounded(const uint8_t *at, int32_t from, int32_t n, int32_t most)
{
    for (int32_t i = from; i < from + n; i++)
        if (weight_at(at, i) > most || weight_at(at, i) < -most)
            return 0;
    return 1;
}

/* A checksum is no proof: weights beyond their bounds overflow sums, and seed 0 draws only 0. */
static int sound(const uint8_t *at)
{
    int right = get(at) != 0;
#if TARGETS > 0
    for (int32_t i = 0; i < TARGETS; i++) {
        const struct learning *how = &learnings[i];
        int32_t inputs = layers[i].inputs, n = layers[i].neurons;
        if (how->weight >= 0)
            right = right && bounded(at, how->weight, inputs * n, how->most);
        if (how->recurrent >= 0)
            right = right && bounded(at, how->recurrent, n * n, how->own_most);
    }
#endif
#if LEARNED_READOUT >= 0
    right = right && bounded(at, LEARNED_READOUT, OUTPUTS * CLASSES, READOUT_MOST);
#endif
    return right;
}

static void get_weights(struct learner *l, const uint8_t *at)
{
    l->seed = get(at);
    for (int32_t i = 0; i < LEARNED; i++)
        l->weight[i] = (stored)weight_at(at, i);
}
#else
static void put_weights(const struct learner *l, uint8_t *at)
{
    for (int32_t i = 0; i < LEARNED; i++, at += 4) {
        float value = (float)l->weight[i];
        uint32_t bits;
        memcpy(&bits, &value, 4);
        put(at, bits);
    }
}

static int sound(const uint8_t *at) /* no infinities and nothing that is no number */
{
    for (int32_t i = 0; i < LEARNED; i++)
        if ((get(at + 4 * i) >> 23 & 255u) == 255u)
            return 0;
    return 1;
}

static void get_weights(struct learner *l, const uint8_t *at)
{
    for (int32_t i = 0; i < LEARNED; i++, at += 4) {
        uint32_t bits = get(at);
        float value;
        memcpy(&value, &bits, 4);
        l->weight[i] = (real)value;
    }
}
#endif

/* CRC-32 (IEEE 802.3), bit by bit. */
static uint32_t checksum(const uint8_t *at, uint32_t n)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (uint32_t i = 0; i < n; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1u ? 0xEDB88320u : 0u);
    }
    return ~crc;
}

#define MAGIC 0x4C505453u /* "STPL" */

void learn_save(const struct learner *l, uint8_t *blob)
{
    put(blob, MAGIC);
    put(blob + 4, BLOB_VERSION);
    put(blob + 8, IDENTITY);
    put(blob + 12, LEARNED);
    put_weights(l, blob + 16);
    put(blob + BLOB_BYTES - 4, checksum(blob, BLOB_BYTES - 4));
}

int learn_load(struct learner *l, const uint8_t *blob, uint32_t bytes)
{
    if (bytes != BLOB_BYTES || get(blob) != MAGIC || get(blob + 4) != BLOB_VERSION
        || get(blob + 8) != IDENTITY || get(blob + 12) != LEARNED
        || get(blob + BLOB_BYTES - 4) != checksum(blob, BLOB_BYTES - 4)
        || !sound(blob + 16))
        return 0;
    get_weights(l, blob + 16);
    learn_forget(l);
    return 1;
}
