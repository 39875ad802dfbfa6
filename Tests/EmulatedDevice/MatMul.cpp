// Stands in for cuBLASLt: column-major products of float32 or bfloat16 matrices, sums rounded once. With the TF32 compute type
// the operands lose the bits that TF32 has not.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <functional>
#include <vector>

namespace {

struct Description {
    int compute, transpose[2] = {0, 0};
};
struct Layout {
    int type;
    uint64_t rows, columns;
    int64_t ld;
};
constexpr int FLOAT32 = 0, BFLOAT16 = 14, TF32_COMPUTE = 77;

float load(const void *base, int type, int64_t at) {
    if (type == FLOAT32) return ((const float *)base)[at];
    uint32_t bits = (uint32_t)((const uint16_t *)base)[at] << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
void store(void *base, int type, int64_t at, float x) {
    if (type == FLOAT32) {
        ((float *)base)[at] = x;
        return;
    }
    uint32_t u;
    memcpy(&u, &x, 4);
    ((uint16_t *)base)[at] = (u & 0x7fffffff) > 0x7f800000 ? 0x7fff : (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
float tf32(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    u = (u + 0xfff + ((u >> 13) & 1)) & ~0x1fffu;
    memcpy(&x, &u, 4);
    return x;
}

// op(X) as rows × columns, row-major.
std::vector<float> gathered(const void *x, const Layout &layout, bool transposed, bool rounds) {
    int64_t rows = transposed ? layout.columns : layout.rows, columns = transposed ? layout.rows : layout.columns;
    std::vector<float> out(rows * columns);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            float value = load(x, layout.type, transposed ? i * layout.ld + j : j * layout.ld + i);
            out[i * columns + j] = rounds ? tf32(value) : value;
        }
    return out;
}

void multiply(const Description &d, float alpha, const void *a, const Layout &la, const void *b, const Layout &lb, float beta,
              const void *c, void *out, const Layout &lc) {
    bool rounds = d.compute == TF32_COMPUTE;
    int64_t m = lc.rows, n = lc.columns, k = d.transpose[0] ? la.rows : la.columns;
    if ((int64_t)(d.transpose[1] ? lb.columns : lb.rows) != k) abort();
    std::vector<float> left = gathered(a, la, d.transpose[0], rounds), right = gathered(b, lb, d.transpose[1], rounds);
    std::vector<double> sums(n);
    for (int64_t i = 0; i < m; i++) {
        for (double &sum : sums) sum = 0;
        for (int64_t x = 0; x < k; x++) {
            double factor = left[i * k + x];
            const float *row = &right[x * n];
            for (int64_t j = 0; j < n; j++) sums[j] += factor * row[j];
        }
        for (int64_t j = 0; j < n; j++) {
            float old = beta == 0 ? 0 : beta * load(c, lc.type, j * lc.ld + i);
            store(out, lc.type, j * lc.ld + i, alpha * (float)sums[j] + old);
        }
    }
}

}  // namespace

extern "C" {

void emu_submit(std::function<void()> *work);  // of the device

size_t cublasLtGetVersion() { return 0; }
int cublasLtCreate(void **handle) { return *handle = new int(0), 0; }
int cublasLtDestroy(void *handle) { return delete (int *)handle, 0; }
int cublasLtMatmulDescCreate(Description **d, int compute, int) { return *d = new Description{compute}, 0; }
int cublasLtMatmulDescDestroy(Description *d) { return delete d, 0; }
int cublasLtMatmulDescSetAttribute(Description *d, int attribute, const void *value, size_t) {
    if (attribute != 3 && attribute != 4) return 15;
    return memcpy(&d->transpose[attribute - 3], value, 4), 0;
}
int cublasLtMatrixLayoutCreate(Layout **l, int type, uint64_t rows, uint64_t columns, int64_t ld) {
    if ((type != FLOAT32 && type != BFLOAT16) || ld < (int64_t)rows) return 7;
    return *l = new Layout{type, rows, columns, ld}, 0;
}
int cublasLtMatrixLayoutDestroy(Layout *l) { return delete l, 0; }
int cublasLtMatmulPreferenceCreate(void **p) { return *p = new int(0), 0; }
int cublasLtMatmulPreferenceDestroy(void *p) { return delete (int *)p, 0; }
int cublasLtMatmulPreferenceSetAttribute(void *, int, const void *, size_t) { return 0; }
int cublasLtMatmulAlgoGetHeuristic(void *, Description *, Layout *, Layout *, Layout *, Layout *, void *, int, void *result,
                                   int *found) {
    memset(result, 0, 96);
    return *found = 1, 0;
}
int cublasLtMatmul(void *, Description *d, const float *alpha, const void *a, Layout *la, const void *b, Layout *lb,
                   const float *beta, const void *c, Layout *, void *out, Layout *lc, const void *, void *, size_t, void *) {
    auto work = [d = *d, alpha = *alpha, a, la = *la, b, lb = *lb, beta = *beta, c, out, lc = *lc] {
        multiply(d, alpha, a, la, b, lb, beta, c, out, lc);
    };
    return emu_submit(new std::function<void()>(work)), 0;
}
}
