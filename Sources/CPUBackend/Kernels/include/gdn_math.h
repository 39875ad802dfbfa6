// Scalar functions written so that loops over them vectorise (no calls, no branches).
#ifndef GDN_MATH_H
#define GDN_MATH_H

#include <stdint.h>
#include <string.h>

#define GDN_INLINE static inline __attribute__((always_inline))

/// eˣ to about 1 unit in the last place; 0 below the smallest normal number, infinity above the largest, NaN stays NaN.
GDN_INLINE float gdn_expf(float x) {
    const float magic = 12582912.0f;  // 1.5 · 2²³: adding it rounds to an integer
    float clamped = x < -88.0f ? -88.0f : x;
    clamped = clamped > 89.0f ? 89.0f : clamped;
    float shifted = clamped * 1.44269504088896341f + magic;
    float n = shifted - magic;
    float r = clamped - n * 0.693145751953125f;
    r = r - n * 1.42860682030941723212e-6f;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    int32_t bits;
    memcpy(&bits, &shifted, 4);
    // Two factors, so that 2ⁿ overflows to infinity and not into the sign bit.
    int32_t exponent = bits - 0x4b400000;
    int32_t half = exponent >> 1;
    int32_t first_bits = (half + 127) << 23, second_bits = (exponent - half + 127) << 23;
    float first, second;
    memcpy(&first, &first_bits, 4);
    memcpy(&second, &second_bits, 4);
    float result = p * first * second;
    return x < -87.33654f ? 0.0f : result;
}

/// The nearest bfloat16, ties to even; NaN stays NaN.
GDN_INLINE uint16_t gdn_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    uint32_t quiet = (bits >> 16) | 0x40;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

/// A bfloat16 as a single, exact.
GDN_INLINE float gdn_f32(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float result;
    memcpy(&result, &bits, 4);
    return result;
}

/// 1 / (1 + e⁻ˣ), relative error below 2e-7 for |x| ≤ 87; below −87 it stays at 1.6e-38. NaN stays NaN.
GDN_INLINE float gdn_sigmoidf(float x) {
    // e⁻ˣ as in gdn_expf, but clamped to where 2ⁿ is one normal factor.
    const float magic = 12582912.0f;
    float clamped = x < -87.0f ? -87.0f : x;
    clamped = clamped > 87.0f ? 87.0f : clamped;
    float shifted = clamped * -1.44269504088896341f + magic;
    float n = shifted - magic;
    float r = n * -0.693145751953125f - clamped;
    r = r - n * 1.42860682030941723212e-6f;
    float p = 1.386376795e-3f;
    p = p * r + 8.367510242e-3f;
    p = p * r + 4.166723868e-2f;
    p = p * r + 1.666653379e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (bits << 23) + 0x3f800000;
    float power;
    memcpy(&power, &bits, 4);
    return 1.0f / (1.0f + p * power);
}

/// x · σ(x)
GDN_INLINE float gdn_siluf(float x) { return x * gdn_sigmoidf(x); }

/// d(x σ(x))/dx = σ (1 + x (1 − σ))
GDN_INLINE float gdn_silu_gradf(float x) {
    float s = gdn_sigmoidf(x);
    return s * (1.0f + x * (1.0f - s));
}

#endif
