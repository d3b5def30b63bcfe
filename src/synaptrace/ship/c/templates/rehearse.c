#include "rehearse.h"

/* Marsaglia, J. Stat. Softw. 8(14), 2003: xorshift. */
static uint32_t draw(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

void rehearse(struct learner *l, struct model *m, uint32_t *seed, fraction share, input *x)
{
    uint32_t i = draw(seed) % REHEARSED;
    const int8_t *stored_input = rehearsal_input + rehearsal_start[i];
    learn_start(l, m, rehearsal_label[i], share);
    for (int32_t t = 0; t < rehearsal_steps[i]; t++, stored_input += INPUTS) {
        for (int32_t j = 0; j < INPUTS; j++)
            x[j] = model_input(R(stored_input[j]) * REHEARSAL_UNIT);
        learn_step(l, m, x);
    }
}
