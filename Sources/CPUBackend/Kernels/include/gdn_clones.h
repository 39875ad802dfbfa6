// One function, compiled for several instruction sets and chosen when the program starts.
#ifndef GDN_CLONES_H
#define GDN_CLONES_H

/// Put before a hot function. Vector values must not cross the boundary of such a function: pass pointers.
/// Empty where the loader cannot choose (other processors) and under the thread sanitizer, which dies of it.
#if defined(__x86_64__) && !__has_feature(thread_sanitizer)
#define GDN_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define GDN_CLONES
#endif

#endif
