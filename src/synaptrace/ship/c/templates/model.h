/* The network $name: its sizes, its constants, and the structs that the caller gives.

   Made by synaptrace $version from $source. Weights are in model.c. */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#ifndef REAL
#define REAL float /* double for tests */
#endif
typedef REAL real;
/* Of constants and functions: their form for that type. */
#define R(x) ((real)(x))
#define EXP(x) (sizeof(real) == sizeof(float) ? R(expf((float)(x))) : R(exp((double)(x))))
#define LOG(x) (sizeof(real) == sizeof(float) ? R(logf((float)(x))) : R(log((double)(x))))
#define SQRT(x) (sizeof(real) == sizeof(float) ? R(sqrtf((float)(x))) : R(sqrt((double)(x))))

#define INPUTS $inputs
#define CLASSES $classes
#define LAYERS $layers   /* hidden ones */
#define NEURONS $neurons /* of all hidden layers */
#define OUTPUTS $outputs /* of the last one, pooled: what the readout sees */
#define MAPS $maps       /* whether there are convolutions */
#define POOLED $pooled   /* outputs of the largest layer that pools; 0: none does */
#define STEPS $steps     /* of the sequences that it was trained on */
#define READOUT_DECAY $readout_decay
#define READOUT_GAIN $readout_gain
#define FIXED $fixed /* whether everything is in whole numbers */
$types
typedef $place place; /* of a neuron in its layer */
$parts
enum pooling { POOL_NONE, POOL_MAX, POOL_AVERAGE, POOL_ADAPTIVE };

/* A hidden layer; convolutions are 3x3 with padding 1. */
struct layer {
    int32_t inputs, neurons, outputs;
    int32_t first;        /* its first neuron among those of all layers */
    int32_t hard;         /* the reset: hard, or soft */
    state decay, threshold;
    state gain, own_gain;    /* what an input of 1, and an own spike, count */
    const stored *weight;    /* [input][neuron]; [input channel][3][3][channel] */
    const stored *recurrent; /* [neuron, a step before][neuron], or 0 */
    /* of a convolution; else channels is 0 */
    int32_t channels, height, width;
    int32_t pool, size, out_height, out_width; /* an enum pooling, of size x size places */
};

extern const struct layer layers[LAYERS];
extern const stored readout_weight[OUTPUTS * CLASSES]; /* [output][class] */

extern const char *const class_names[CLASSES];

/* All that changes from step to step. */
struct model {
    const stored *weight[LAYERS], *recurrent[LAYERS], *readout; /* of model.c, or a learner's */
    state membrane[NEURONS];
    state logits[CLASSES];
    int32_t count[LAYERS];  /* of each layer's spikes in this step */
    place spikes[NEURONS];  /* where: the first count[i] from layers[i].first on, in rising order */
#if POOLED > 0
    int32_t pooled_count;
    place pooled[POOLED];   /* what the layer at hand sends, and how much of it */
    state amount[POOLED];
    state sum[POOLED];
#endif
};

void model_init(struct model *m);               /* once: the weights of model.c */
void model_start(struct model *m);              /* before each sequence */
void model_step(struct model *m, const input *x); /* INPUTS numbers, each by model_input */
input model_input(real value);                  /* a number as the network takes it */
int model_answer(const struct model *m);        /* the class so far: the largest logit */

/* The pieces of a step, which learning uses too. */
void model_add(state *to, const stored *weight, state by, int32_t n); /* to += by weight */
void model_leak(state *membrane, state decay, int32_t n);
int32_t model_fire(const state *membrane, state threshold, int32_t n, place *spikes);
void model_reset(state *membrane, const struct layer *layer, state threshold, const place *spikes,
                 int32_t count);
void model_run(struct model *m, int32_t from, const input *x); /* layers `from` on, the readout */
/* What layer i sends: places, their number, and amounts, or 0 where each is 1. */
int32_t model_output(const struct model *m, int32_t i, const place **at, const state **amount);

#endif
