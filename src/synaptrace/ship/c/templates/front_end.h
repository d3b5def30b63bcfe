
/* The front end: from sound to the network's inputs (features.c). */
#define FRONT_END 1
#define RATE $rate       /* samples a second */
#define CLIP $clip       /* samples of a clip in training */
#define SIZE $size       /* of a frame */
#define HOP $hop         /* from one frame to the next: a step of the network */
#define HALF (SIZE / 2)
#define BANDS $bands
#define CHANNELS $channels /* standardised: the bands, and unless they spike their differences */
#define CROSSINGS $crossings /* whether inputs are counts of the bands' level crossings */
#define THRESHOLD R($threshold) /* of one, in standard deviations */
#define STAGES $stages   /* of the Fourier transform */
#define MEL_WEIGHTS $mel_weights
#define FLOOR R($floor)  /* added to the power before the logarithm */
#define RELATIVE $relative /* power by its own recent level */
#define LEVEL_FALL R($level_fall)
#define LEVEL_RISE R($level_rise)
#define LEVEL_ABOVE R($level_above)
#define LEVEL_LEAST R($level_least)
#define PCEN $pcen       /* per-channel energy normalisation in the logarithm's place */
#define PCEN_SMOOTHING R($smoothing)
#define PCEN_ALPHA R($alpha)
#define PCEN_DELTA R($delta)
#define PCEN_ROOT R($root)
#define PCEN_EPS R($eps)
#define PCEN_SCALE R($scale)

struct band {
    int32_t first, count; /* frequencies */
    int32_t weights;      /* where its weights begin */
};

extern const int32_t radix[STAGES]; /* their product is HALF */
extern const real window[SIZE], cosine[SIZE], sine[SIZE], mel[MEL_WEIGHTS];
extern const struct band bands[BANDS];
extern const real feature_mean[CHANNELS], feature_deviation[CHANNELS];
