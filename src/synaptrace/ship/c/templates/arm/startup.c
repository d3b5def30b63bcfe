/* The start on a Cortex-M under an emulator with semihosting: memory, floating point, the command
   line, then main. A board has a start of its own; the network needs nothing of this. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern uint32_t data_from[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];
extern void initialise_monitor_handles(void);
extern int main(int count, char **words);
void reset(void);

#define WORDS 512
static char line[32768];
static char *words[WORDS];

/* Semihosting's SYS_GET_CMDLINE. */
static int read_line(void)
{
    struct {
        char *at;
        int32_t size;
    } block = {line, sizeof line};
    register int32_t r0 __asm("r0") = 0x15;
    register void *r1 __asm("r1") = &block;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0 == 0;
}

void reset(void)
{
    memcpy(data_start, data_from, (size_t)((char *)data_end - (char *)data_start));
    memset(bss_start, 0, (size_t)((char *)bss_end - (char *)bss_start));
#ifdef __ARM_FP
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20;
    __asm volatile("dsb\nisb");
#endif
    initialise_monitor_handles();
    int count = 0;
    if (read_line())
        for (char *word = strtok(line, " "); word && count < WORDS - 1; word = strtok(NULL, " "))
            words[count++] = word;
    exit(main(count, words));
}

static void fault(void)
{
    abort();
}

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*handlers[15])(void);
} vectors = {stack_top, {reset, fault, fault, fault, fault, fault}};
