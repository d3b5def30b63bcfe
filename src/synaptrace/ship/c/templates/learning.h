
/* Learning: Traces Propagation with a row of the target stream for every class. */
#define LEARN 1
#define TARGETS $targets               /* hidden layers through which the target stream runs */
#define TARGET_NEURONS $target_neurons /* of these */
#define TRACES $traces                 /* of the sample: of all layers, or of the last alone */
#define LEARNED $learned               /* weights that learn */
#define LEARNED_READOUT $readout_at    /* where the readout's begin among them; -1: it stays */
#define PRESYNAPTIC $presynaptic       /* traces of inputs and of own spikes */
#ifndef ADAM
#define ADAM $adam                     /* else SGD with momentum */
#endif
#define READOUT_TRACE_DECAY R($readout_trace_decay)
#define LABEL_THRESHOLD R($label_threshold)
#define LABEL_DECAY R($label_decay)    /* of the label's own trace */
#define TEMPERATURE R($temperature)    /* 0: it sets itself */
#define MARGIN R($margin)
#define SURROGATE $surrogate
#define SCALE R($scale)
#define IDENTITY UINT32_C($identity)   /* of the weights before: what was learned fits no others */

enum surrogate { ATAN = 1, FAST_SIGMOID, TRIANGLE };

/* How a layer learns; places are in the learner's arrays, -1: nothing there. */
struct learning {
    int32_t weight, recurrent;             /* what learns */
    int32_t input_trace, recurrent_trace;  /* of the sample, then of each class */
    real presynaptic_decay, trace_decay;
};

#if TARGETS > 0
extern const struct learning learnings[TARGETS];
extern const real label_weight[]; /* [class][neuron of layer 1] */
extern const real *const label_recurrent; /* [neuron][neuron], or 0 */
#endif
