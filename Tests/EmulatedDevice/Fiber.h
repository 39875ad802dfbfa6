// Fibers: stacks of their own, switched by hand in a few nanoseconds.
#pragma once
#include <stddef.h>
#include <stdint.h>

#if !defined(__x86_64__)
#error "the emulated device runs on x86-64"
#endif

struct Fiber {
    void *stack_pointer;
};

asm(R"(
.text
.globl gdn_fiber_switch
.type gdn_fiber_switch, @function
gdn_fiber_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size gdn_fiber_switch, .-gdn_fiber_switch
)");
extern "C" void gdn_fiber_switch(Fiber *from, Fiber *to);
inline void fiber_switch(Fiber *from, Fiber *to) { gdn_fiber_switch(from, to); }
inline void fiber_make(Fiber *fiber, void *stack, size_t size, void (*entry)()) {
    void **top = (void **)((uintptr_t)stack + size - 64);
    *--top = nullptr;
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++) *--top = nullptr;
    fiber->stack_pointer = top;
}
