/* The forward pass, by events: only inputs that are not zero cost anything.

     v = decay u + W x + R s'      s' the layer's own spikes of the step before
     s = 1 where v >= threshold    u = v - threshold s, or v (1 - s) where the reset is hard
     m = READOUT_DECAY m + Wo s    the logits

   In struct model u and v are `membrane`, m is `logits`; of s there are the places of the neurons
   that spike, `spikes`, and their number, `count`. Sums are taken in one order: the leak, then
   inputs and then own spikes by their places. */
#include "model.h"

void model_init(struct model *m)
{
    for (int32_t i = 0; i < LAYERS; i++) {
        m->weight[i] = layers[i].weight;
        m->recurrent[i] = layers[i].recurrent;
    }
    m->readout = readout_weight;
    model_start(m);
}

void model_start(struct model *m)
{
    for (int32_t i = 0; i < NEURONS; i++)
        m->membrane[i] = 0;
    for (int32_t i = 0; i < CLASSES; i++)
        m->logits[i] = 0;
    for (int32_t i = 0; i < LAYERS; i++)
        m->count[i] = 0;
}

/* An input of 1, as a spike is, needs no multiplication. */
void model_add(state *to, const stored *weight, state by, int32_t n)
{
    if (by == 1)
        for (int32_t i = 0; i < n; i++)
            to[i] += (state)weight[i];
    else
        for (int32_t i = 0; i < n; i++)
            to[i] += by * (state)weight[i];
}

#if FIXED
/* Decays have 16 bits after the point; >> of a negative number rounds down, as on all of today's
   compilers. */
void model_leak(state *membrane, state decay, int32_t n)
{
    if (decay == 65536)
        return;
    for (int32_t i = 0; i < n; i++)
        membrane[i] = (state)(((int64_t)membrane[i] * decay + 32768) >> 16);
}

input model_input(real value)
{
    real scaled = value * INPUT_SCALE;
    if (scaled >= INPUT_MOST)
        return INPUT_MOST;
    if (scaled <= -INPUT_MOST)
        return -INPUT_MOST;
    return (input)(scaled < R(0) ? scaled - R(0.5) : scaled + R(0.5));
}
#else
void model_leak(state *membrane, state decay, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        membrane[i] *= decay;
}

input model_input(real value)
{
    return value;
}
#endif

/* Writes the places of the neurons that spike, in their order; returns how many there are. */
int32_t model_fire(const state *membrane, state threshold, int32_t n, place *spikes)
{
    int32_t count = 0;
    for (int32_t i = 0; i < n; i++)
        if (membrane[i] >= threshold)
            spikes[count++] = (place)i;
    return count;
}

void model_reset(state *membrane, const struct layer *layer, state threshold, const place *spikes,
                 int32_t count)
{
    for (int32_t k = 0; k < count; k++)
        membrane[spikes[k]] = layer->hard ? 0 : membrane[spikes[k]] - threshold;
}

#if MAPS
/* One input of a 3x3 convolution with padding 1 reaches up to nine places of every channel. */
static void convolve(state *membrane, const struct layer *layer, const stored *weight,
                     int32_t input, state by)
{
    int32_t area = layer->height * layer->width;
    int32_t channel = input / area;
    int32_t row = input % area / layer->width, column = input % layer->width;
    for (int32_t i = 0; i < 3; i++) {
        int32_t y = row + 1 - i;
        if (y < 0 || y >= layer->height)
            continue;
        for (int32_t j = 0; j < 3; j++) {
            int32_t x = column + 1 - j;
            if (x < 0 || x >= layer->width)
                continue;
            const stored *w = weight + ((channel * 3 + i) * 3 + j) * layer->channels;
            state *to = membrane + y * layer->width + x;
            for (int32_t c = 0; c < layer->channels; c++, to += area)
                *to += by * (state)w[c];
        }
    }
}
#endif

#if POOLED > 0
/* Whether row (or column) `at` of `size` is in place `out` of `outs`. */
static int covers(const struct layer *layer, int32_t at, int32_t size, int32_t out, int32_t outs)
{
    if (layer->pool == POOL_ADAPTIVE)
        return at >= out * size / outs && at < ((out + 1) * size + outs - 1) / outs;
    return at / layer->size == out;
}

#if FIXED
#define AVERAGE(sum, whole) (sum) /* weights are divided by the whole */
#else
#define AVERAGE(sum, whole) ((sum) / (state)(whole))
static int32_t extent(const struct layer *layer, int32_t size, int32_t out, int32_t outs)
{
    if (layer->pool == POOL_ADAPTIVE)
        return ((out + 1) * size + outs - 1) / outs - out * size / outs;
    return layer->size;
}
#endif

/* The layer's spikes, pooled: places in order, with their amounts. */
static void pool(struct model *m, const struct layer *layer, const place *spikes, int32_t count)
{
    int32_t area = layer->height * layer->width, out_area = layer->out_height * layer->out_width;
    for (int32_t i = 0; i < layer->outputs; i++)
        m->sum[i] = 0;
    for (int32_t k = 0; k < count; k++) {
        int32_t channel = spikes[k] / area;
        int32_t row = spikes[k] % area / layer->width, column = spikes[k] % layer->width;
        int32_t all = layer->pool == POOL_ADAPTIVE; /* where places may overlap */
        int32_t y0 = all ? 0 : row / layer->size, x0 = all ? 0 : column / layer->size;
        for (int32_t y = y0; y < layer->out_height && (all || y == y0); y++)
            for (int32_t x = x0; x < layer->out_width && (all || x == x0); x++)
                if (covers(layer, row, layer->height, y, layer->out_height)
                    && covers(layer, column, layer->width, x, layer->out_width))
                    m->sum[channel * out_area + y * layer->out_width + x] += 1;
    }
    m->pooled_count = 0;
    for (int32_t i = 0; i < layer->outputs; i++) {
        if (m->sum[i] == 0)
            continue;
#if !FIXED
        int32_t y = i % out_area / layer->out_width, x = i % layer->out_width;
        int32_t whole = extent(layer, layer->height, y, layer->out_height)
                        * extent(layer, layer->width, x, layer->out_width);
#endif
        m->amount[m->pooled_count] = layer->pool == POOL_MAX ? 1 : AVERAGE(m->sum[i], whole);
        m->pooled[m->pooled_count++] = (place)i;
    }
}
#endif

int32_t model_output(const struct model *m, int32_t i, const place **at, const state **amount)
{
#if POOLED > 0
    if (layers[i].pool != POOL_NONE) {
        *at = m->pooled;
        *amount = m->amount;
        return m->pooled_count;
    }
#endif
    *at = m->spikes + layers[i].first;
    *amount = 0;
    return m->count[i];
}

/* One input of a layer, of the amount `by`, reaches its membranes. */
static void send(state *membrane, const struct layer *layer, const stored *weight, int32_t input,
                 state by)
{
#if MAPS
    if (layer->channels) {
        convolve(membrane, layer, weight, input, by);
        return;
    }
#endif
    model_add(membrane, weight + input * layer->neurons, by, layer->neurons);
}

void model_step(struct model *m, const input *x)
{
    model_run(m, 0, x);
}

void model_run(struct model *m, int32_t from, const input *x)
{
    for (int32_t i = from; i < LAYERS; i++) {
        const struct layer *layer = &layers[i]; /* until model_fire, spikes are the step before's */
        state *membrane = m->membrane + layer->first;
        place *spikes = m->spikes + layer->first;
        model_leak(membrane, layer->decay, layer->neurons);
        if (i == 0) {
            for (int32_t j = 0; j < INPUTS; j++)
                if (x[j] != 0)
                    send(membrane, layer, m->weight[0], j, (state)x[j] * layer->gain);
        }
#if LAYERS > 1
        else {
            const place *at;
            const state *amount;
            int32_t count = model_output(m, i - 1, &at, &amount);
            for (int32_t k = 0; k < count; k++)
                send(membrane, layer, m->weight[i], at[k],
                     amount ? amount[k] * layer->gain : layer->gain);
        }
#endif
        if (m->recurrent[i])
            for (int32_t k = 0; k < m->count[i]; k++)
                model_add(membrane, m->recurrent[i] + spikes[k] * layer->neurons, layer->own_gain,
                          layer->neurons);
        m->count[i] = model_fire(membrane, layer->threshold, layer->neurons, spikes);
        model_reset(membrane, layer, layer->threshold, spikes, m->count[i]);
#if POOLED > 0
        if (layer->pool != POOL_NONE)
            pool(m, layer, spikes, m->count[i]);
#endif
    }
    const place *at;
    const state *amount;
    int32_t count = model_output(m, LAYERS - 1, &at, &amount);
    model_leak(m->logits, READOUT_DECAY, CLASSES);
    for (int32_t k = 0; k < count; k++)
        model_add(m->logits, m->readout + at[k] * CLASSES,
                  amount ? amount[k] * READOUT_GAIN : READOUT_GAIN, CLASSES);
}

int model_answer(const struct model *m)
{
    int best = 0;
    for (int i = 1; i < CLASSES; i++)
        if (m->logits[i] > m->logits[best])
            best = i;
    return best;
}
