/* Instructions, where an emulator counts them (qemu -icount shift=0): SysTick's ticks of 40 ns, an
   instruction a nanosecond. Elsewhere nothing is counted. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

#if defined(__arm__) && defined(EMULATED)
#define SYSTICK ((volatile uint32_t *)0xE000E010u)
#define TICK 40u
static void clock_start(void)
{
    SYSTICK[1] = 0xFFFFFFu; /* reload */
    SYSTICK[2] = 0;
    SYSTICK[0] = 5; /* the processor's clock, no interrupt */
}
static uint32_t clock_read(void) { return 0xFFFFFFu - SYSTICK[2]; }
#else
#define TICK 0u
static void clock_start(void) {}
static uint32_t clock_read(void) { return 0; }
#endif

static void clock_tell(const char *what, uint32_t ticks, uint32_t times)
{
    if (TICK)
        printf("instructions of %s: %lu\n", what, (unsigned long)(ticks / times * TICK));
}

#endif
