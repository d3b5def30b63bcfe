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

static void get_weights(struct learner *l, const uint8_t *at)
{
    l->seed = get(at);
    at += 4;
    for (int32_t i = 0; i < LEARNED; i++, at += 2) {
        int32_t value = at[0] | at[1] << 8;
        l->weight[i] = (stored)(value < 32768 ? value : value - 65536);
    }
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
        || get(blob + BLOB_BYTES - 4) != checksum(blob, BLOB_BYTES - 4))
        return 0;
    get_weights(l, blob + 16);
    learn_forget(l);
    return 1;
}
