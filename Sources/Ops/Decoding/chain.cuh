// Kernels that follow one another closely (sm_90): each is launched beside the one before it, does what does not depend on
// that one, and then waits for its end. Elsewhere they run one after the other.

#if ELEMENT_BFLOAT16
#define NAMED(name) name##_bfloat16
#else
#define NAMED(name) name##_float32
#endif

// Returns when the kernel before has ended and what it wrote can be read. Every thread of every block must wait: that the
// kernel before has ended says that those before it have, too.
DEVICE void wait_for_kernel_before() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// Lets the next kernel's blocks start as soon as all blocks of this one have and there is room.
DEVICE void let_next_kernel_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
