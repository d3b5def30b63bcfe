
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
#define READOUT_TRACE_DECAY $readout_trace_decay
#define LABEL_THRESHOLD $label_threshold
#define LABEL_GAIN $label_gain         /* what a label, and an own spike there, count */
#define LABEL_OWN_GAIN $label_own_gain
#define LABEL_DECAY $label_decay       /* of the label's own trace */
#define UNIT $unit                     /* what a spike adds to a trace, and an input of 1 */
#define INPUT_UNIT $input_unit
#define SURROGATE $surrogate
#define SCALE $scale
$constants
#define IDENTITY UINT32_C($identity)   /* of the weights before: what was learned fits no others */

enum surrogate { ATAN = 1, FAST_SIGMOID, TRIANGLE };

/* How a layer learns; places are in the learner's arrays, -1: nothing there. */
struct learning {
    int32_t weight, recurrent;             /* what learns */
    int32_t input_trace, recurrent_trace;  /* of the sample, then of each class */
    state presynaptic_decay, trace_decay;
#if FIXED
    int32_t point, scale, own_scale;       /* bits after the point: of membranes, of weights */
    int32_t most, own_most;                /* where weights stop */
#endif
};

#if FIXED
extern const uint16_t powers[65]; /* of 2, from 1 (2^15) down to a half */
#endif
#if TARGETS > 0
extern const struct learning learnings[TARGETS];
extern const stored label_weight[]; /* [class][neuron of layer 1] */
extern const stored *const label_recurrent; /* [neuron][neuron], or 0 */
#endif
