// One token of the gated delta rule, for decoding: bound by reading and writing the state once.
#include "gdn_clones.h"
#include "gdn_math.h"
#include "gdn_ops.h"

#pragma STDC FP_CONTRACT ON

enum { COLUMNS = 64 };

// For a block of value columns, the part of the state stays in the nearest cache between the two passes:
//     x = Sᵀk, y = Sᵀq;   u = β (v − α x);   o = s (α y + (k·q) u);   S = α S + k uᵀ
// and u = β v where nothing is erased.
GDN_CLONES
void gdn_delta_step(const gdn_delta_shape *shape, float *state, float *output, const float *q, const float *k,
                    const float *v, float alpha, float beta) {
    long key_dim = shape->key_dim, value_dim = shape->value_dim;
    if (beta < 0) beta = 0;
    float scale = shape->scale, kq = 0, erased = shape->erases ? alpha : 0;
    for (long i = 0; i < key_dim; i++) kq += k[i] * q[i];
    long column = 0;
    for (; column + COLUMNS <= value_dim; column += COLUMNS) {
        float x[COLUMNS] = {0}, y[COLUMNS] = {0}, u[COLUMNS];
        for (long i = 0; i < key_dim; i++) {
            const float *row = state + i * value_dim + column;
            for (int j = 0; j < COLUMNS; j++) {
                x[j] += row[j] * k[i];
                y[j] += row[j] * q[i];
            }
        }
        for (int j = 0; j < COLUMNS; j++) {
            u[j] = beta * (v[column + j] - erased * x[j]);
            output[column + j] = scale * (alpha * y[j] + kq * u[j]);
        }
        for (long i = 0; i < key_dim; i++) {
            float *row = state + i * value_dim + column;
            for (int j = 0; j < COLUMNS; j++) row[j] = alpha * row[j] + k[i] * u[j];
        }
    }
    for (; column < value_dim; column++) {
        float x = 0, y = 0;
        for (long i = 0; i < key_dim; i++) {
            x += state[i * value_dim + column] * k[i];
            y += state[i * value_dim + column] * q[i];
        }
        float u = beta * (v[column] - erased * x);
        output[column] = scale * (alpha * y + kq * u);
        for (long i = 0; i < key_dim; i++)
            state[i * value_dim + column] = alpha * state[i * value_dim + column] + k[i] * u;
    }
}
