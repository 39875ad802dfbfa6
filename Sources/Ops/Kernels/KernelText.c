// The CUDA sources, embedded as text; NVRTC compiles them on the machine that runs them.
#include "gdn_ops.h"
