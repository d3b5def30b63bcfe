/* Mel features, causal: a frame every HOP samples.

     S  power in mel bands of the windowed frame; a full-scale sine has a power of about 1
     L = log(S + FLOOR), or PCEN: (E / (eps + M)^alpha + delta)^root - delta^root, where
         E = scale S and M = (1 - smoothing) M + smoothing E, at the first frame E
     x = (L, L - L', (L - L') - (L' - L'')), standardised
     RELATIVE: L = log(S / G + FLOOR), L' and L'' of the frames before by the present G; with P
         the loudest band, N = min(P, LEVEL_RISE N) where P is above LEVEL_LEAST, at first P, and
         G = max(P, LEVEL_FALL G, LEVEL_ABOVE N, LEVEL_LEAST)

   Where inputs are level crossings (delta), of L standardised alone, m its value at the last one and
   at the first frame:

     n = trunc((L - m) / THRESHOLD),  m = m + n THRESHOLD,  x = (n where it rose, -n where it fell)

   The Fourier transform of SIZE real numbers is one of HALF complex numbers (Stockham, any radices;
   no recursion, no reordering). */
#include <math.h>
#include <string.h>

#include "features.h"

void features_start(struct features *f)
{
    memset(f, 0, sizeof *f);
#if !PCEN && !RELATIVE && !CROSSINGS
    for (int32_t b = 0; b < BANDS; b++)
        f->last[b] = LOG(FLOOR);
#endif
}

/* L of band b. */
static real level(struct features *f, int32_t b, real power)
{
#if RELATIVE
    (void)b;
    return LOG(power / f->loudness + FLOOR);
#elif PCEN
    real energy = power * PCEN_SCALE, *m = &f->smooth[b];
    *m = f->frames ? (R(1) - PCEN_SMOOTHING) * *m + PCEN_SMOOTHING * energy : energy;
    real relative = energy * EXP(-PCEN_ALPHA * LOG(PCEN_EPS + *m));
    return EXP(PCEN_ROOT * LOG(relative + PCEN_DELTA)) - EXP(PCEN_ROOT * LOG(PCEN_DELTA));
#else
    (void)f;
    (void)b;
    return LOG(power + FLOOR);
#endif
}

#if RELATIVE
/* The level after a frame of power x. */
static void follow(struct features *f, const real *x)
{
    real loudest = x[0];
    for (int32_t b = 1; b < BANDS; b++)
        loudest = x[b] > loudest ? x[b] : loudest;
    if (loudest > LEVEL_LEAST) {
        real noise = f->noise * LEVEL_RISE;
        f->noise = f->noise > R(0) && noise < loudest ? noise : loudest;
    }
    real level = f->loudness * LEVEL_FALL;
    level = level < LEVEL_ABOVE * f->noise ? LEVEL_ABOVE * f->noise : level;
    level = level < loudest ? loudest : level;
    f->loudness = level < LEVEL_LEAST ? LEVEL_LEAST : level;
}
#endif

/* Transforms work[0]; returns which of the two holds the result. */
static int transform(struct features *f)
{
    int from = 0;
    int32_t n = HALF, stride = 1;
    for (int32_t stage = 0; stage < STAGES; stage++) {
        int32_t p = radix[stage], m = n / p;
        const real *x = f->work[from];
        real *y = f->work[1 - from];
        for (int32_t q = 0; q < m; q++)
            for (int32_t k = 0; k < p; k++)
                for (int32_t j = 0; j < stride; j++) {
                    real re = R(0), im = R(0);
                    for (int32_t r = 0; r < p; r++) {
                        int32_t turn = 2 * ((r * k * (HALF / p) + q * k * stride) % HALF);
                        int32_t at = 2 * (j + stride * (q + m * r));
                        re += x[at] * cosine[turn] + x[at + 1] * sine[turn];
                        im += x[at + 1] * cosine[turn] - x[at] * sine[turn];
                    }
                    int32_t to = 2 * (j + stride * (p * q + k));
                    y[to] = re;
                    y[to + 1] = im;
                }
        n = m;
        stride *= p;
        from = 1 - from;
    }
    return from;
}

/* Power of frequency k, from the transform z of the even samples plus i times the odd ones. */
static real power(const real *z, int32_t k)
{
    int32_t a = 2 * (k % HALF), b = 2 * ((HALF - k) % HALF);
    real even_re = (z[a] + z[b]) / R(2), even_im = (z[a + 1] - z[b + 1]) / R(2);
    real odd_re = (z[a + 1] + z[b + 1]) / R(2), odd_im = (z[b] - z[a]) / R(2);
    real re = even_re + odd_re * cosine[k] + odd_im * sine[k];
    real im = even_im + odd_im * cosine[k] - odd_re * sine[k];
    return re * re + im * im;
}

#if CROSSINGS
/* Crossings of band b, up and down, since the last ones. */
static void cross(struct features *f, int32_t b, real now, real *x)
{
    if (!f->frames)
        f->crossed[b] = now;
    int32_t n = (int32_t)((now - f->crossed[b]) / THRESHOLD);
    f->crossed[b] += (real)n * THRESHOLD;
    x[b] = n > 0 ? (real)n : R(0);
    x[BANDS + b] = n < 0 ? (real)-n : R(0);
}
#endif

void features_step(struct features *f, const real *sound, real *x)
{
    memmove(f->sound, f->sound + HOP, (SIZE - HOP) * sizeof(real));
    memcpy(f->sound + SIZE - HOP, sound, HOP * sizeof(real));
    for (int32_t i = 0; i < SIZE; i++)
        f->work[0][i] = f->sound[i] * window[i];
    int at = transform(f);
    const real *z = f->work[at];
    real *spectrum = f->work[1 - at];
    for (int32_t k = 0; k < HALF; k++)
        spectrum[k] = power(z, k);
    real top = power(z, HALF);
    for (int32_t b = 0; b < BANDS; b++) {
        real sum = R(0);
        for (int32_t k = 0; k < bands[b].count; k++) {
            int32_t frequency = bands[b].first + k;
            sum += mel[bands[b].weights + k] * (frequency < HALF ? spectrum[frequency] : top);
        }
        x[b] = sum;
    }
#if RELATIVE
    follow(f, x);
#endif
    for (int32_t b = 0; b < BANDS; b++) {
        real now = level(f, b, x[b]);
#if CROSSINGS
        cross(f, b, (now - feature_mean[b]) / feature_deviation[b], x);
#else
#if RELATIVE
        real last = level(f, b, f->last[b]), before = last - level(f, b, f->second[b]);
        f->second[b] = f->last[b];
        f->last[b] = x[b];
#else
        real last = f->last[b], before = f->change[b];
        f->last[b] = now;
        f->change[b] = now - last;
#endif
        x[b] = now;
        x[BANDS + b] = now - last;
        x[2 * BANDS + b] = now - last - before;
#endif
    }
#if PCEN || CROSSINGS
    f->frames = 1;
#endif
#if !CROSSINGS
    for (int32_t i = 0; i < CHANNELS; i++)
        x[i] = (x[i] - feature_mean[i]) / feature_deviation[i];
#endif
}
