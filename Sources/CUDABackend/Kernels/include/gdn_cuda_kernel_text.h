// The prelude of all CUDA sources and the backend's own ones, as text inside the binary.
#ifndef GDN_CUDA_KERNEL_TEXT_H
#define GDN_CUDA_KERNEL_TEXT_H

/// Text of a file of `Sources/CUDABackend/Kernels`, e.g. `elementwise.cu`; null when there is no such file.
const char *gdn_cuda_kernel_text(const char *file);

#endif
