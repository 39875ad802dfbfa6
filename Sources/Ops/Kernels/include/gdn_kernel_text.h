// The operations' CUDA sources, as text inside the binary.
#ifndef GDN_KERNEL_TEXT_H
#define GDN_KERNEL_TEXT_H

/// Text of a source by its path below `Sources/Ops`, e.g. `RMSNorm/kernel.cu`; null when there is no such source.
const char *gdn_kernel_text(const char *path);

#endif
