// The operations' CUDA sources, embedded as text; NVRTC compiles them on the machine that runs them.
#include "gdn_kernel_text.h"
#include <stddef.h>
#include <string.h>

static const char elements[] = {
#embed "Elements.cuh"
    , 0};
static const char rows[] = {
#embed "Rows.cuh"
    , 0};
static const char tiles[] = {
#embed "Tiles.cuh"
    , 0};
static const char rms_norm[] = {
#embed "../RMSNorm/kernel.cu"
    , 0};
static const char gated_rms_norm[] = {
#embed "../GatedRMSNorm/kernel.cu"
    , 0};
static const char l2_norm[] = {
#embed "../L2Norm/kernel.cu"
    , 0};
static const char activation[] = {
#embed "../Activation/kernel.cu"
    , 0};
static const char swiglu[] = {
#embed "../SwiGLU/kernel.cu"
    , 0};
static const char short_convolution[] = {
#embed "../ShortConvolution/convolution.cuh"
    , 0};
static const char short_convolution_forward[] = {
#embed "../ShortConvolution/forward.cu"
    , 0};
static const char short_convolution_backward[] = {
#embed "../ShortConvolution/backward.cu"
    , 0};
static const char gates[] = {
#embed "../Gates/kernel.cu"
    , 0};
static const char embedding[] = {
#embed "../Embedding/kernel.cu"
    , 0};
static const char cross_entropy[] = {
#embed "../CrossEntropy/kernel.cu"
    , 0};
static const char adamw[] = {
#embed "../AdamW/kernel.cu"
    , 0};
static const char gradient_clipping[] = {
#embed "../GradientClipping/kernel.cu"
    , 0};
static const char delta_warpgroup[] = {
#embed "../GatedDeltaRule/warpgroup.cuh"
    , 0};
static const char delta_chunk[] = {
#embed "../GatedDeltaRule/chunk.cuh"
    , 0};
static const char delta_prepare[] = {
#embed "../GatedDeltaRule/prepare.cu"
    , 0};
static const char delta_scan_passes[] = {
#embed "../GatedDeltaRule/scan.cuh"
    , 0};
static const char delta_forward_pass[] = {
#embed "../GatedDeltaRule/forward_pass.cuh"
    , 0};
static const char delta_backward_pass[] = {
#embed "../GatedDeltaRule/backward_pass.cuh"
    , 0};
static const char delta_forward_scan[] = {
#embed "../GatedDeltaRule/forward_scan.cu"
    , 0};
static const char delta_backward_scan[] = {
#embed "../GatedDeltaRule/backward_scan.cu"
    , 0};
static const char delta_segments[] = {
#embed "../GatedDeltaRule/segments.cu"
    , 0};
static const char delta_gradients[] = {
#embed "../GatedDeltaRule/gradients.cu"
    , 0};
static const char delta_step[] = {
#embed "../GatedDeltaRule/step.cu"
    , 0};
static const char decoding_chain[] = {
#embed "../Decoding/chain.cuh"
    , 0};
static const char decoding_product[] = {
#embed "../Decoding/product.cuh"
    , 0};
static const char decoding_project[] = {
#embed "../Decoding/project.cu"
    , 0};
static const char decoding_step[] = {
#embed "../Decoding/step.cu"
    , 0};
static const char decoding_output[] = {
#embed "../Decoding/output.cu"
    , 0};
static const char decoding_gate_up[] = {
#embed "../Decoding/gate_up.cu"
    , 0};
static const char decoding_down[] = {
#embed "../Decoding/down.cu"
    , 0};
static const char decoding_head[] = {
#embed "../Decoding/head.cu"
    , 0};
static const char decoding_rows[] = {
#embed "../Decoding/rows.cu"
    , 0};
static const char decoding_wide[] = {
#embed "../Decoding/wide.cuh"
    , 0};
static const char decoding_wide_project[] = {
#embed "../Decoding/wide_project.cu"
    , 0};
static const char decoding_wide_gate_up[] = {
#embed "../Decoding/wide_gate_up.cu"
    , 0};
static const char decoding_wide_part[] = {
#embed "../Decoding/wide_part.cu"
    , 0};

static const struct {
    const char *path, *text;
} sources[] = {
    {"Kernels/Elements.cuh", elements},
    {"Kernels/Rows.cuh", rows},
    {"Kernels/Tiles.cuh", tiles},
    {"RMSNorm/kernel.cu", rms_norm},
    {"GatedRMSNorm/kernel.cu", gated_rms_norm},
    {"L2Norm/kernel.cu", l2_norm},
    {"Activation/kernel.cu", activation},
    {"SwiGLU/kernel.cu", swiglu},
    {"ShortConvolution/convolution.cuh", short_convolution},
    {"ShortConvolution/forward.cu", short_convolution_forward},
    {"ShortConvolution/backward.cu", short_convolution_backward},
    {"Gates/kernel.cu", gates},
    {"Embedding/kernel.cu", embedding},
    {"CrossEntropy/kernel.cu", cross_entropy},
    {"AdamW/kernel.cu", adamw},
    {"GradientClipping/kernel.cu", gradient_clipping},
    {"GatedDeltaRule/warpgroup.cuh", delta_warpgroup},
    {"GatedDeltaRule/chunk.cuh", delta_chunk},
    {"GatedDeltaRule/prepare.cu", delta_prepare},
    {"GatedDeltaRule/scan.cuh", delta_scan_passes},
    {"GatedDeltaRule/forward_pass.cuh", delta_forward_pass},
    {"GatedDeltaRule/backward_pass.cuh", delta_backward_pass},
    {"GatedDeltaRule/forward_scan.cu", delta_forward_scan},
    {"GatedDeltaRule/backward_scan.cu", delta_backward_scan},
    {"GatedDeltaRule/segments.cu", delta_segments},
    {"GatedDeltaRule/gradients.cu", delta_gradients},
    {"GatedDeltaRule/step.cu", delta_step},
    {"Decoding/chain.cuh", decoding_chain},
    {"Decoding/product.cuh", decoding_product},
    {"Decoding/project.cu", decoding_project},
    {"Decoding/step.cu", decoding_step},
    {"Decoding/output.cu", decoding_output},
    {"Decoding/gate_up.cu", decoding_gate_up},
    {"Decoding/down.cu", decoding_down},
    {"Decoding/head.cu", decoding_head},
    {"Decoding/rows.cu", decoding_rows},
    {"Decoding/wide.cuh", decoding_wide},
    {"Decoding/wide_project.cu", decoding_wide_project},
    {"Decoding/wide_gate_up.cu", decoding_wide_gate_up},
    {"Decoding/wide_part.cu", decoding_wide_part},
};

const char *gdn_kernel_text(const char *path) {
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (strcmp(sources[i].path, path) == 0) return sources[i].text;
    return NULL;
}
